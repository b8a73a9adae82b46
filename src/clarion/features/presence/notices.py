"""Hearing of what users have chosen, on whatever node: one after the other, and again until it has been heeded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from clarion.bus import Bus
from clarion.errors import ServerError
from clarion.features.presence.people import CHANNEL
from clarion.telemetry import Tasks, get_logger

_log = get_logger(__name__)

AGAIN_S: Final = 1.0  # until the database is asked again that was not there

User = tuple[str, str]
"""Tenant and user."""
_decode = msgspec.json.Decoder(User).decode


class Notices:
    """Listens.

    Args:
        bus: Where nodes tell each other.
        heed: Takes a user who has chosen something; called again if it raises a `ServerError`.
        known: Of whom this node has to be told: they are looked at anew when notices may have been lost.
    """

    def __init__(
        self,
        bus: Bus,
        heed: Callable[[str, str], Awaitable[None]],
        known: Callable[[], Sequence[User]],
    ) -> None:
        self._bus = bus
        self._heed = heed
        self._known = known
        self._waiting: dict[User, None] = {}
        self._woken = asyncio.Event()
        self._tasks = Tasks()
        bus.on_gap(self._gap)

    def start(self) -> None:
        """Begin to listen."""
        self._bus.subscribe(CHANNEL, self._receive)
        self._tasks.spawn(self._work(), name="presence: what users have chosen")

    async def close(self) -> None:
        """Listen no more."""
        self._bus.unsubscribe(CHANNEL, self._receive)
        await self._tasks.close()

    def _receive(self, data: bytes) -> None:
        self._waiting[_decode(data)] = None
        self._woken.set()

    def _gap(self, channels: Sequence[str]) -> None:
        if CHANNEL in channels:
            self._waiting |= dict.fromkeys(self._known())
            self._woken.set()

    async def _work(self) -> None:
        while True:
            while self._waiting:
                user = next(iter(self._waiting))
                del self._waiting[user]
                try:
                    await self._heed(*user)
                except ServerError as exc:
                    _log.warning("what a user chose is not heeded yet", error=exc.code)
                    self._waiting[user] = None
                    await asyncio.sleep(AGAIN_S)
                except Exception:  # noqa: BLE001  a bug that one user meets must not leave the others unheeded
                    _log.exception("what a user chose failed")
            self._woken.clear()
            await self._woken.wait()
