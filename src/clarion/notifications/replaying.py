"""Replaying: what would have become of a run under another version, while nothing is sent, counted, fetched or written.

What is recorded of the run is read here, with what is known now; `rerun` goes through the steps with it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from clarion.clock import Clock, maybe_datetime
from clarion.errors import Invalid, NotFound
from clarion.notifications.catalog import Catalog
from clarion.notifications.deciding import Decider
from clarion.notifications.going import Going
from clarion.notifications.history import Replayed, told
from clarion.notifications.knowing import Knowing
from clarion.notifications.past import Past
from clarion.notifications.rerun import Rerun
from clarion.notifications.sayings import Sayings
from clarion.notifications.supposing import Suppose
from clarion.notifications.suppressions import Suppressions
from clarion.notifications.workflows.definition import Step
from clarion.notifications.workflows.moves import State
from clarion.storage import runs as sql
from clarion.storage import triggers as trigger_sql
from clarion.storage.store import Store


class Replay(Struct, frozen=True):
    """A run under another version. `status`, `due_at`: as of a run; `left_out`: steps that were recorded, and to which it does not come."""

    id: str
    workflow: str
    version: int
    run_version: int
    status: str
    due_at: datetime | None
    error: str | None
    steps: list[Replayed]
    left_out: list[str]


class Replays:
    """Replays runs.

    Args:
        store: Where they are.
        catalog: Workflows in their versions.
        suppose: What is known of recipients now.
        decider: Says what preferences make of messages.
        sayings: Which templates they would use.
        knowing: Who is there, and what has been done.
        suppressions: Those that are not written to.
        clock: Beyond its time nothing is replayed.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        suppose: Suppose,
        decider: Decider,
        sayings: Sayings,
        knowing: Knowing,
        suppressions: Suppressions,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._catalog, self._suppose = store, catalog, suppose
        self._decider, self._sayings, self._knowing = decider, sayings, knowing
        self._suppressions, self._clock = suppressions, clock

    async def replay(self, tenant: str, id: str, version: int | None = None) -> Replay:
        """What would have become of a run under a version of its workflow; None: the current one.

        Raises:
            NotFound: There is no such run, or no such version.
            Unavailable: The version asks who is there, and nobody can say so.
        """
        row = next(iter(await self._store.fetch(sql.FIND, tenant=tenant, id=id)), None)
        if row is None:
            raise NotFound(f"there is no run {id}")
        [of] = await self._store.fetch(trigger_sql.FIND, tenant=tenant, id=row.trigger_id)
        going = await self._suppose.going(
            tenant,
            row.usr,
            workflow=row.workflow,
            version=version,
            payload=msgspec.json.decode(of.payload),
            actor=of.actor,
        )
        going.id, going.state = id, State(starts=of.local_start)
        going.created_ms, going.since_ms = row.created_ms, max(of.created_ms, of.start_ms)
        await self._suppressions.load([going])
        await self._knowing.find_out([going])
        books = await self._sayings.books([going])
        records = await self._store.fetch(sql.RECORDS, tenant=tenant, run=id)
        rerun = Rerun(
            going,
            await self._past(going, row, records),
            lambda step, now_ms: self._decider.may(going, step, {}, books, now_ms),
            self._knowing.done,
            self._clock.now_ms(),
        )
        status, due_ms, error = await rerun.go()
        come_to = {each.step for each in rerun.steps}
        return Replay(
            id,
            row.workflow,
            going.version,
            row.version,
            status,
            maybe_datetime(due_ms),
            error,
            rerun.steps,
            list(dict.fromkeys(each.step for each in records if each.step not in come_to)),
        )

    async def _past(self, going: Going, row: sql.RunRow, records: list[sql.RecordRow]) -> Past:
        state = msgspec.json.decode(row.state, type=State)
        steps = await self._steps(going.tenant, row)
        waits = steps[state.at : state.at + 1] if row.status == "running" else ()
        return Past(
            [told(each) for each in records],
            state.left,
            await self._messages(going, state.left),
            {step.id: step for step in steps},
            {step.id: row.run_ms for step in waits if row.run_ms is not None},
        )

    async def _steps(self, tenant: str, row: sql.RunRow) -> Sequence[Step]:
        """The steps of the run's own version; none, where a channel of it is gone."""
        try:
            read = await self._catalog.version(tenant, row.workflow, row.version)
        except (Invalid, NotFound):
            return ()
        return read.workflow.steps

    async def _messages(
        self, going: Going, left: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, list[sql.MessageState]]:
        steps = [step for step, each in left.items() if "message" in each]
        asked = [sql.Named(going.tenant, going.usr, left[step]["message"]) for step in steps]
        found: dict[str, list[sql.MessageState]] = {}
        for state in await self._store.apply(sql.MESSAGE_STATES, asked) if asked else ():
            found.setdefault(steps[state.n - 1], []).append(state)
        return found
