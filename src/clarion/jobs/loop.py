"""One loop over a table that leases: it looks when something is due, when it is woken, and now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from clarion.errors import ClarionError
from clarion.ids import Ids
from clarion.jobs.queue import backoff_s
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

POLL_S = 5.0  # between two looks when nothing is known to be due: another node may have written something
Look = Callable[[], Awaitable[float]]
"""Takes what is due; returns how long to wait before the next look (s), unless woken."""


class Loop:
    """Looks until it is closed.

    Args:
        name: For the log and the task.
        look: Called one at a time. Whatever it raises is logged, and it is called again with backoff: nothing is lost, the rows are in the store.
        ids: For jitter.
        poll_s: The longest wait.
    """

    def __init__(self, name: str, look: Look, ids: Ids, *, poll_s: float = POLL_S) -> None:
        self._name, self._look, self._ids, self._poll_s = name, look, ids, poll_s
        self._wake = asyncio.Event()
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = spawn(self._forever(), name=self._name)

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def close(self) -> None:
        """Look no more; returns when a look that runs has come to its end."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _forever(self) -> None:
        failures = 0
        while not self._is_closing:
            self._wake.clear()
            try:
                wait_s = await self._look()
                failures = 0
            except Exception as exc:  # noqa: BLE001  a bug, too, must not end what everybody waits for
                failures += 1
                wait_s = min(self._poll_s, backoff_s(failures, self._ids))
                is_known = isinstance(exc, ClarionError)
                # A database that is away for an hour is a line of each loop, not a thousand.
                known = logging.WARNING if failures == 1 else logging.DEBUG
                _log.log(
                    known if is_known else logging.ERROR,
                    "cannot look for what is due",
                    loop=self._name,
                    code=exc.code if isinstance(exc, ClarionError) else type(exc).__name__,
                    retry_s=round(wait_s, 3),
                    exc_info=None if is_known else exc,
                )
            await self._sleep(min(wait_s, self._poll_s))

    async def _sleep(self, seconds: float) -> None:
        if not self._is_closing and not self._wake.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
