"""The history of runs: what became of each step, and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from clarion.clock import as_datetime, maybe_datetime
from clarion.errors import NotFound
from clarion.notifications.sight.shown import RunFound
from clarion.storage import runs as sql
from clarion.storage.store import Store


class Told(Struct, frozen=True):
    """What became of a step: `sent`, `skipped`, `suppressed`, `stopped`, `passed`, `waiting`, `failed`; `read`: path → what was found there."""

    step: str
    outcome: str
    why: str
    read: Mapping[str, Any]
    at: datetime


class Replayed(Told, frozen=True, kw_only=True):
    """What would have become of a step. `differs`: its outcome or why is not what was recorded; `assumed`: what was read or answered that no record of the run tells."""

    differs: bool
    assumed: list[str]


class Run(RunFound, frozen=True):
    """One recipient's way through a workflow. `due_at`: when it goes on, null if not by itself. `steps` of one run that is asked for alone."""

    steps: list[Told] | None = None


class History:
    """Reads what runs have left.

    Args:
        store: Where it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def runs(
        self, tenant: str, trigger: str, after: str, limit: int
    ) -> tuple[list[Run], bool]:
        """Runs of a trigger behind a recipient, and whether there are more."""
        found = await self._store.fetch(
            sql.OF_TRIGGER, tenant=tenant, trigger_id=trigger, after=after, n=limit + 1
        )
        return [_run(row) for row in found[:limit]], len(found) > limit

    async def run(self, tenant: str, id: str) -> Run:
        """One run with all its steps.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            records = await self._store.fetch(sql.RECORDS, tenant=tenant, run=id)
            return msgspec.structs.replace(_run(row), steps=[told(each) for each in records])
        raise NotFound(f"there is no run {id}")


def _run(row: sql.RunRow) -> Run:
    return Run(
        row.id,
        row.trigger_id,
        row.usr,
        row.workflow,
        row.version,
        row.status,
        maybe_datetime(row.run_ms),
        row.error,
        as_datetime(row.created_ms),
    )


def told(row: sql.RecordRow) -> Told:
    """A record, as it is told."""
    read = msgspec.json.decode(row.read) if row.read else {}
    return Told(row.step, row.outcome, row.why, read, as_datetime(row.at_ms))
