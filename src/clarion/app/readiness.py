"""Whether this process can serve: database and Redis are looked at every two seconds, so that whoever asks waits for nothing and loads nothing."""

import asyncio
from collections.abc import Awaitable, Callable

from clarion.api import Readiness
from clarion.app.partition import Backplane
from clarion.errors import ClarionError
from clarion.telemetry import get_logger, loop_late_seconds, ready

_log = get_logger(__name__)

PROBE_S = 2.0  # between two looks at whether the store answers


class Probe:
    """Looks at the store and Redis, and knows whether the server begins or stops.

    Args:
        ping: Asks the store.
        backplane: How Redis is.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        backplane: Callable[[], Awaitable[Backplane]],
    ) -> None:
        self._ping, self._backplane = ping, backplane
        self._not_serving = {"server": "starting"}
        self.now = Readiness(False, self._not_serving)

    def started(self) -> None:
        """Everything is there: from the next look on the store decides."""
        self._not_serving = {}

    def stopping(self) -> None:
        """Not ready from now on, whatever the store says."""
        self._not_serving = {"server": "stopping"}
        self._say(Readiness(False, self._not_serving))

    async def run(self) -> None:
        """Look again and again."""
        time = asyncio.get_running_loop().time
        while True:
            await self.look()
            due = time() + PROBE_S
            await asyncio.sleep(PROBE_S)
            loop_late_seconds.observe(max(0.0, time() - due))

    async def look(self) -> None:
        """Ask the store, and how Redis is."""
        store: dict[str, str] = {}
        backplane = Backplane()
        try:
            async with asyncio.timeout(PROBE_S):
                await self._ping()
                backplane = await self._backplane()
        except (ClarionError, TimeoutError) as exc:
            store = {"store": str(exc) or "no answer"}
        except Exception:  # noqa: BLE001  who cannot look is not ready, whatever it is
            _log.exception("the store cannot be looked at")
            store = {"store": "cannot be looked at"}
        # Only now: a stop that began while the store was asked must not be taken back.
        reasons = self._not_serving | store
        is_ready = not reasons and not backplane.is_lone
        self._say(
            Readiness(is_ready, reasons | ({"redis": backplane.reason} if backplane.reason else {}))
        )

    def _say(self, now: Readiness) -> None:
        if now.ready != self.now.ready and "server" not in (now.reasons | self.now.reasons):
            if now.ready:
                _log.info("ready again")
            else:
                _log.warning("not ready: balancers send nobody here", **now.reasons)
        self.now = now
        ready.set(now.ready)
