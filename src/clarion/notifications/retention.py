"""Retention: what has become of runs, digests and messages is known for a while, then removed. Inboxes keep what they have."""

from collections.abc import AsyncIterator
from typing import Final

from clarion.clock import Clock
from clarion.settings import Limits
from clarion.storage import dead_letters as letter_sql
from clarion.storage import run_retention as sql
from clarion.storage.store import Procedure, Sql, Store

AT_ONCE: Final = 500  # rows of a slice
_DAY_MS: Final = 86_400_000


class Retention:
    """Removes what is too old; see `jobs.purging.Slices`.

    Args:
        store: Where it is.
        limits: `run_days`.
        clock: The time.
    """

    def __init__(self, store: Store, limits: Limits, clock: Clock) -> None:
        self._store, self._limits, self._clock = store, limits, clock

    async def purge(self) -> AsyncIterator[int]:
        """Remove what is older than `limits.run_days`, and the throttles whose window is over."""
        async for count in self._delete(sql.FORGET_THROTTLES, self._clock.now_ms()):
            yield count
        if not self._limits.run_days:
            return
        before = self._clock.now_ms() - self._limits.run_days * _DAY_MS
        for old, forget in (
            (sql.OLD_RUNS, sql.FORGET_RUNS),
            (sql.OLD_OUTGOING, sql.FORGET_OUTGOING),
        ):
            async for count in self._forget(old, forget, before):
                yield count
        for statement in (sql.FORGET_BATCHES, sql.FORGET_TRIGGERS, letter_sql.FORGET_ACTS):
            async for count in self._delete(statement, before):
                yield count

    async def _forget(
        self, old: Sql[sql.Old], forget: Procedure, before: int
    ) -> AsyncIterator[int]:
        while rows := await self._store.fetch(old, before=before, n=AT_ONCE):
            await self._store.apply(forget, rows)
            yield len(rows)

    async def _delete(self, statement: Sql[None], before: int) -> AsyncIterator[int]:
        count = AT_ONCE
        while count == AT_ONCE:
            async with self._store.transaction() as tx:
                count = await tx.execute(statement, before=before, n=AT_ONCE)
            yield count
