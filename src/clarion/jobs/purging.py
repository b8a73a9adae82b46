"""Removing what is kept no longer: every log and table says what is too old, and one purger removes it slice by slice.

A slice is a short transaction, since whoever commits beside it waits until its part of the database's log is on the disk, too. After each the purger rests
nine times as long as it took; what both cost is measured (benchmarks/purge.py, benchmarks/retention.py). Whatever is stopped half-way goes on with the next run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from clarion.clock import Clock
from clarion.errors import ServerError, UsageError
from clarion.telemetry import get_logger, rows_purged

_log = get_logger(__name__)

Slices = Callable[[], AsyncIterator[int]]
"""Removes a slice (some hundred rows, one transaction) with each step, and gives how many rows went; ends when nothing too old is left."""

EVERY_S: Final = 3_600.0  # between two runs
LONGEST_S: Final = 1_800.0  # for one run: what is left then waits for the next one
RESTS: Final = 9.0  # as long as the slice before


class Purger:
    """What is to be removed, and how.

    Args:
        clock: Says how long a slice took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slices: dict[str, Slices] = {}

    def add(self, name: str, slices: Slices) -> None:
        """Remove something from now on in each run.

        Args:
            name: Of the table or log, for the metric.
            slices: An async generator function.

        Raises:
            UsageError: There is one of that name.
        """
        if name in self._slices:
            raise UsageError(f"{name} are purged already")
        self._slices[name] = slices

    async def run(self) -> None:
        """Remove everything that is too old; one kind's failure does not keep the others.

        Raises:
            ServerError: Of the store, from the last that failed; the others are done.
        """
        failed: ServerError | None = None
        for name, slices in self._slices.items():
            try:
                await self._purge(name, slices)
            except ServerError as exc:
                _log.warning("not purged", what=name, error=exc.code)
                failed = exc
        if failed is not None:
            raise failed

    async def _purge(self, name: str, slices: Slices) -> None:
        began = self._clock.monotonic()
        async for count in slices():
            rows_purged.labels(name).inc(count)
            await asyncio.sleep(RESTS * (self._clock.monotonic() - began))
            began = self._clock.monotonic()
