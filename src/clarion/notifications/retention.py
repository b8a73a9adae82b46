"""Retention: what has become of runs, digests and messages is known for a while, then removed. What inboxes keep is `ageing`'s."""

from collections.abc import AsyncIterator
from typing import Final

from clarion.clock import Clock
from clarion.settings import Limits
from clarion.storage import dead_letters as letter_sql
from clarion.storage import run_retention as sql
from clarion.storage.slices import in_slices
from clarion.storage.store import Procedure, Sql, Store

AT_ONCE: Final = 100  # rows of a slice
_DAY_MS: Final = 86_400_000


class Retention:
    """Removes what is too old; see `jobs.purging.Slices`.

    Args:
        store: Where it is.
        limits: `run_days`, `message_days`, `trigger_days`.
        clock: The time.
    """

    def __init__(self, store: Store, limits: Limits, clock: Clock) -> None:
        self._store, self._limits, self._clock = store, limits, clock

    async def purge(self) -> AsyncIterator[int]:
        """Remove what is older than each table's setting says, and the throttles whose window is over."""
        async for count in in_slices(
            self._store, sql.FORGET_THROTTLES, AT_ONCE, before=self._clock.now_ms()
        ):
            yield count
        limits = self._limits
        for days, old, forget in (
            (limits.run_days, sql.OLD_RUNS, sql.FORGET_RUNS),
            (limits.message_days, sql.OLD_OUTGOING, sql.FORGET_OUTGOING),
        ):
            async for count in self._forget(old, forget, self._before(days)):
                yield count
        for days, statement in (
            (limits.run_days, sql.FORGET_BATCHES),
            (limits.trigger_days, sql.FORGET_TRIGGERS),
            (limits.trigger_days, letter_sql.FORGET_ACTS),
        ):
            async for count in in_slices(
                self._store, statement, AT_ONCE, before=self._before(days)
            ):
                yield count

    def _before(self, days: int) -> int:
        """What is older goes; nothing is older than the beginning of time."""
        return self._clock.now_ms() - days * _DAY_MS if days else 0

    async def _forget(
        self, old: Sql[sql.Old], forget: Procedure, before: int
    ) -> AsyncIterator[int]:
        while rows := await self._store.fetch(old, before=before, n=AT_ONCE):
            await self._store.apply(forget, rows)
            yield len(rows)
