"""Planning: the recipients of a trigger, slice by slice, each slice in one transaction with the cursor behind it.

Whoever plans holds the trigger's job under a lease, and its row while it writes: what is paused, called off or planned by another
meanwhile, it leaves alone. A crash repeats nothing and forgets nobody.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError, Conflict
from clarion.ids import Ids
from clarion.jobs.queue import Job, Queue
from clarion.notifications.bulk import Alike, Bulk
from clarion.notifications.catalog import Catalog
from clarion.notifications.facts import recipient_facts
from clarion.notifications.going import Going
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.evaluate import INBOX, is_for_all
from clarion.notifications.preferences.evaluate import Asked as Message
from clarion.notifications.runs import Runs
from clarion.notifications.targets import Asked, Targets
from clarion.notifications.workflows.definition import Workflow
from clarion.notifications.workflows.moves import Begin, State
from clarion.storage import subscribers as people_sql
from clarion.storage import triggers as sql
from clarion.storage.jobs import FINISH, LOW, NORMAL, Held
from clarion.storage.store import Store, Tx
from clarion.storage.targets import Candidate
from clarion.telemetry import get_logger

_log = get_logger(__name__)

SLICE: Final = 500  # recipients that are planned in one transaction
ALIKE_SLICE: Final = 1_000  # … where all are told the same
TURN_S: Final = 20.0  # of one trigger, before the others' jobs get theirs


class Planner:
    """Plans triggers.

    Args:
        store: Where they are.
        catalog: Workflows.
        runs: Carries on what is planned.
        bulk: Writes what is the same for all.
        queue: Holds the jobs.
        targets: Finds recipients.
        book: Knows who wants something else.
        clock: The time.
        ids: Of runs.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        runs: Runs,
        bulk: Bulk,
        queue: Queue,
        targets: Targets,
        book: Book,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._catalog, self._runs, self._bulk = store, catalog, runs, bulk
        self._book = book
        self._queue, self._targets, self._clock, self._ids = queue, targets, clock, ids

    async def plan(self, job: Job) -> None:
        """Plan a trigger, from where it was left: the handler of the job `plan_trigger`."""
        began = self._clock.monotonic()
        while await self.slice(job):
            if self._clock.monotonic() - began > TURN_S:
                await self._queue.put_off(job, 0.0, attempts=0)
                return

    async def slice(self, job: Job) -> bool:
        """Plan the next recipients; returns whether there may be more."""
        found = await self._store.fetch(sql.FIND, tenant=job.tenant, id=job.id)
        if not found or not _is_open(found[0]):
            async with self._store.transaction() as tx:
                # Looked at again while it is held: who resumes it has another job made of it.
                held = await tx.fetch(sql.HOLD, tenant=job.tenant, id=job.id)
                is_open = bool(held) and _is_open(held[0])
                if not is_open:
                    await self._queue.finish_within(tx, job)
            return is_open
        [row] = found
        workflow = (await self._catalog.version(job.tenant, row.workflow, row.version)).workflow
        alike = await self._alike(row, job.tenant, workflow)
        asked = msgspec.json.decode(row.asked, type=Asked)
        sliced = await self._targets.slice(
            job.tenant,
            asked,
            row.upto,
            SLICE if alike is None else ALIKE_SLICE,
            trigger=row.id,
            is_bare=alike is not None,
        )
        people = [each for each in sliced.people if each.usr != row.actor]
        users: list[str] = []
        if alike is None:
            recipients = {each.usr: recipient_facts(each.usr, each) for each in people}
        else:
            users, recipients = await self._apart(job.tenant, people)
        goings = self._goings(job.tenant, row, workflow, recipients)
        is_wanted = False

        async def within(tx: Tx) -> Container[str]:
            nonlocal is_wanted
            [held] = await tx.fetch(sql.HOLD, tenant=job.tenant, id=job.id)
            is_wanted = _is_open(held) and held.upto == row.upto
            # Who was erased since the slice was read must not be written to; who is erased later finds what was written.
            there = await _there(tx, job.tenant, [each.usr for each in people])
            users[:] = [user for user in users if user in there]
            if sliced.after is None or not is_wanted:
                await self._queue.finish_within(tx, job)
            else:
                await self._queue.save_within(tx, job, {})
                await self._queue.set_priority_within(tx, job, _priority(row.priority, SLICE))
            if is_wanted:
                await tx.execute(
                    sql.GO_ON,
                    tenant=job.tenant,
                    id=job.id,
                    count=len(there),
                    state="planned" if sliced.after is None else "planning",
                    upto=row.upto if sliced.after is None else sliced.after,
                )
                if alike is not None and users:
                    await self._bulk.write(tx, job.tenant, alike, users)
            return {each.id for each in goings if each.usr in there} if is_wanted else ()

        await self._runs.carry(goings, within)
        if alike is not None and users and is_wanted:
            await self._bulk.written(job.tenant, alike, users)
        is_more = is_wanted and sliced.after is not None
        if is_more and row.expected is None and not row.upto:
            await self._expect(job.tenant, job.id, asked)
        return is_more

    async def together(self, rows: Sequence[sql.NewTrigger]) -> bool:
        """Plan triggers of one tenant's workflow that name all their people, as they were accepted, in one transaction.

        Returns:
            Whether it was done; if not, nothing of it was: each is to be planned by itself.
        """
        asked = [msgspec.json.decode(row.asked, type=Asked) for row in rows]
        known = await self.known(rows[0].tenant, [u for each in asked for u in each.users])
        goings: list[Going] = []
        planned: list[sql.Planned] = []
        for row, each in zip(rows, asked, strict=True):
            read = await self._catalog.version(row.tenant, row.workflow, row.version)
            excluded = frozenset(each.exclude)
            whom = {u: known[u] for u in each.users if u in known and u not in excluded}
            goings += self.begin(row, read.workflow, whom)
            planned.append(sql.Planned(row.tenant, row.id, len(whom)))

        async def within(tx: Tx) -> Container[str]:
            mine: list[sql.PlannedHere] = await tx.apply(sql.PLAN_WHOLE, planned)
            if len(mine) < len(planned):
                raise Conflict("some were called off, or are planned by somebody else")
            await tx.apply(FINISH, [Held(row.tenant, row.id, 0) for row in rows])
            return {each.id for each in goings}

        try:
            await self._runs.carry(goings, within)
        except ClarionError as exc:
            _log.info("triggers are planned one by one", count=len(rows), code=exc.code)
            return False
        return True

    async def known(self, tenant: str, users: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What workflows may ask about people, by id; who is not known is not in it."""
        named = [people_sql.Named(tenant, user) for user in dict.fromkeys(users)]
        found: list[people_sql.Known] = await self._store.apply(people_sql.KNOWN, named)
        return {each.id: recipient_facts(each.id, each) for each in found}

    def begin(
        self,
        row: sql.NewTrigger,
        workflow: Workflow,
        recipients: Mapping[str, Mapping[str, Any]],
    ) -> list[Going]:
        """The runs of a trigger, as they begin."""
        return self._goings(row.tenant, sql.row_of(row), workflow, recipients)

    async def _expect(self, tenant: str, id: str, asked: Asked) -> None:
        """Say how many there are about, once, of a send that takes longer than a slice."""
        expected = await self._targets.count(tenant, asked, trigger=id)
        if expected is not None:
            async with self._store.transaction() as tx:
                await tx.execute(sql.EXPECT, tenant=tenant, id=id, expected=expected)

    async def _alike(
        self, row: sql.TriggerRow, tenant: str, workflow: Workflow
    ) -> list[Alike] | None:
        """What is said alike to all who have said nothing about what they want; None: each has to be looked at."""
        if row.local_start:
            return None  # everybody's run waits for a clock of its own
        _, others = await self._book.of(tenant, ())
        message = Message(
            workflow.key, workflow.category, INBOX, workflow.is_critical, workflow.preferences
        )
        if not is_for_all(message, others, self._clock.now_ms()):
            return None
        return await self._bulk.alike(row, tenant, workflow)

    async def _apart(
        self, tenant: str, people: Sequence[Candidate]
    ) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """Those who have said nothing about what they want, and the others with what is known of them: each of these is asked."""
        users = [each.usr for each in people]
        wishes, _ = await self._book.of(tenant, users)
        own = [user for user in users if user in wishes]
        return [user for user in users if user not in wishes], await self.known(tenant, own)

    def _goings(
        self,
        tenant: str,
        row: sql.TriggerRow,
        workflow: Workflow,
        recipients: Mapping[str, Mapping[str, Any]],
    ) -> list[Going]:
        payload = msgspec.json.decode(row.payload)
        now_ms = self._clock.now_ms()
        return [
            Going(
                tenant=tenant,
                id=self._ids.ordered(now_ms),
                trigger=row.id,
                usr=usr,
                workflow=workflow,
                version=row.version,
                state=State(starts=row.local_start),
                event=Begin(),
                payload=payload,
                actor=row.actor,
                recipient=recipient,
                created_ms=now_ms,
                since_ms=max(row.created_ms, row.start_ms),
                priority=_priority(row.priority, row.total),
            )
            for usr, recipient in recipients.items()
        ]


async def _there(tx: Tx, tenant: str, users: Sequence[str]) -> set[str]:
    ids = msgspec.json.encode(users).decode()
    return {each.id for each in await tx.fetch(people_sql.THERE, tenant=tenant, ids=ids)}


def _priority(asked: int, before: int) -> int:
    """Of those who come after so many: what is normal is so for a slice, the rest of a bulk send waits for everybody else's."""
    return LOW if asked == NORMAL and before >= SLICE else asked


def _is_open(row: sql.TriggerRow) -> bool:
    return row.state == "planning" and not row.hold
