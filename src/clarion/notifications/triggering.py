"""Triggers: accepted in one durable commit, then planned slice by slice into everybody's runs.

Who accepts a trigger plans it at once, under a lease like any job's: if that process dies, another plans on from the last slice
that was committed. A slice's runs and messages are written together with the cursor, so that nobody gets anything twice.
"""

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import (
    ClarionError,
    Fault,
    Invalid,
    NotFound,
    pointer_step,
)
from clarion.ids import Ids
from clarion.jobs.queue import LEASE_S, MAX_ATTEMPTS, Job, Queue
from clarion.notifications.at_once import IN_LINE, TOGETHER, AtOnce, is_small
from clarion.notifications.catalog import Catalog, Read
from clarion.notifications.content import check_json
from clarion.notifications.notifications import check_key
from clarion.notifications.planning import Planner
from clarion.notifications.recipients import (
    Named,
    columns_of,
    people_of,
    strangers,
)
from clarion.notifications.rules import doings
from clarion.notifications.targets import Asked, Targets
from clarion.notifications.trigger_shapes import (
    Cancelled,
    CreateTrigger,
    Received,
    Trigger,
    TriggerAccepted,
    accepted,
    former,
    keyed,
    text_of,
)
from clarion.notifications.workflows.occurrences import is_floating, moment_of
from clarion.notifications.workflows.when import read_at
from clarion.settings import Limits
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as run_sql
from clarion.storage import subscribers as people_sql
from clarion.storage import triggers as sql
from clarion.storage.jobs import PRIORITIES
from clarion.storage.store import Store, Tx
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

PLANNING: Final = (
    32  # triggers, or lines of small ones, that are planned by who accepted them, at a time
)
PAYLOAD_BYTES: Final = 64 * 1024  # of JSON
FAULTS: Final = 20  # of a payload that are told
JOB: Final = sql.JOB


class Triggers:
    """Accepts triggers and plans them.

    Args:
        store: Where they are kept.
        catalog: Workflows.
        planner: Plans what was accepted.
        at_once: Accepts and plans, where it can.
        targets: Knows whom it can be for.
        queue: Holds the planning that is not done.
        limits: `recipients`.
        clock: Time of acceptance.
        ids: Of triggers and runs.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        planner: Planner,
        at_once: AtOnce,
        targets: Targets,
        queue: Queue,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._catalog, self._queue = store, catalog, queue
        self._planner, self._at_once, self._targets = planner, at_once, targets
        self._limits, self._clock, self._ids = limits, clock, ids
        self._planning: dict[asyncio.Task[None], None] = {}
        self._lines: dict[tuple[str, str], list[sql.NewTrigger]] = {}

    async def accept(
        self,
        caller: Principal,
        body: CreateTrigger,
        idempotency_key: str | None = None,
        received: Received | None = None,
    ) -> TriggerAccepted:
        """Run a workflow for recipients.

        Args:
            caller: Whose tenant the recipients belong to, and who owns the key.
            body: What to run for whom. A recipient that is only named must be known; one that is described becomes known.
            idempotency_key: Makes the call safe to repeat for 24 hours.
            received: Recipients who have come in already, beside those of the body; None: none.

        Raises:
            Conflict: The workflow is not active.
            Invalid: There is no such workflow, a recipient is not known, or the payload is not as the workflow says.
            IdempotencyConflict: The key was used with another body.
            OutcomeUnknown: The write had begun and its end was not seen: repeat it with the same key.
        """
        check_key(idempotency_key)
        who = f"{caller.kind}:{caller.id}"
        if received is None and (done := await self._try_at_once(caller, body, idempotency_key)):
            return done
        row = await self.prepare(caller.tenant, who, body, received=received)
        if not idempotency_key:
            await self._store.apply(sql.PUT_TRIGGER, [row])
            return self.begin(row, sql.TriggerOutcome(1, 1, None, None))
        row = keyed(row, idempotency_key, text_of(body, received))
        [outcome] = await self._store.apply(sql.ACCEPT_TRIGGER, [row])
        return self.begin(row, outcome)

    async def prepare(
        self,
        tenant: str,
        caller: str,
        body: CreateTrigger,
        *,
        local_start: str = "",
        are_known: bool = False,
        received: Received | None = None,
    ) -> sql.NewTrigger:
        """What is written when a trigger is accepted: for `ACCEPT_TRIGGER`, and then `begin`.

        Args:
            tenant: Whose.
            caller: Who triggers it.
            body: What for whom.
            local_start: What each recipient's own clock shows when their run begins.
            are_known: Whoever is not known meanwhile is left out, instead of refused.
            received: Recipients who have come in already; None: none.

        Raises:
            Conflict, Invalid: As `accept`.
        """
        current = await self._current(tenant, body.workflow)
        people, row = await self._row(
            tenant, caller, body, current, local_start=local_start, received=received
        )
        if not are_known:
            await self._describe(tenant, people)
            await self._check_known(tenant, people)
        return row

    async def judge(self, tenant: str, body: CreateTrigger, read: Read | None = None) -> None:
        """Refuse what could not be accepted; nothing is written.

        Args:
            tenant: Whose.
            body: What for whom.
            read: The workflow as it may be; None: as it is.

        Raises:
            Conflict, Invalid: As `accept`.
        """
        current = await self._current(tenant, body.workflow) if read is None else (0, read)
        people, _ = await self._row(tenant, "", body, current)
        await self._check_known(tenant, people)

    async def _row(
        self,
        tenant: str,
        caller: str,
        body: CreateTrigger,
        current: tuple[int, Read],
        *,
        local_start: str = "",
        received: Received | None = None,
    ) -> tuple[list[Named], sql.NewTrigger]:
        version, read = current
        _check_payload(read, body.payload)
        now_ms = self._clock.now_ms()
        start_ms = 0
        if body.at is not None:
            # One that is past is now: a call that is repeated must not fail for its delay.
            rule = read_at(body.at, body.zone, now_ms, may_be_past=True)
            start_ms = moment_of(rule).at_ms
            local_start = rule.local if is_floating(rule) else ""
        elif body.zone is not None:
            raise Invalid("a zone is that of `at`", faults=[Fault("/zone", "there is no `at`")])
        people = self._people(body)
        asked = await self._asked(tenant, body, people, has_rows=received is not None)
        row = sql.NewTrigger(
            tenant=tenant,
            caller=caller,
            id=self._ids.ordered(now_ms) if received is None else received.id,
            workflow=body.workflow,
            version=version,
            actor=body.actor or "",
            payload=_text(body.payload),
            asked=_text(asked),
            cancel_key=body.cancel_key or "",
            at_ms=now_ms,
            lease_ms=now_ms,
            max_attempts=MAX_ATTEMPTS,
            priority=PRIORITIES.index(body.priority or read.workflow.priority),
            start_ms=start_ms,
            local_start=local_start,
        )
        if start_ms <= now_ms and self._has_time_for(row):
            row = msgspec.structs.replace(row, lease_ms=now_ms + int(LEASE_S * 1000))
        return people, row

    def _has_time_for(self, row: sql.NewTrigger) -> bool:
        """More than can be planned at a time is left to the worker, which takes no more than it can do."""
        line = self._lines.get((row.tenant, row.workflow)) if is_small(row) else None
        return len(self._planning) < PLANNING if line is None else len(line) < IN_LINE

    def begin(self, row: sql.NewTrigger, outcome: sql.TriggerOutcome) -> TriggerAccepted:
        """After the commit: plan what was accepted, and answer.

        Raises:
            IdempotencyConflict: The key was used with another body.
        """
        if not outcome.is_accepted:
            return former(outcome, row.digest)
        if row.lease_ms > row.at_ms:
            # The lease is this process': the job is claimed by nobody else before it ends.
            self._plan_soon(row)
        else:
            self._queue.notify()
        return accepted(row)

    async def check(self, tenant: str, body: CreateTrigger, *, has_rows: bool = False) -> None:
        """Refuse what could never be accepted; whether the workflow is active and those whom it names are known may be different when it is.

        Raises:
            Invalid: As `accept`.
        """
        try:
            kept = await self._catalog.find(tenant, body.workflow)
        except NotFound as exc:
            raise _no_workflow(exc) from exc
        read = await self._catalog.version(tenant, body.workflow, kept.version)
        _check_payload(read, body.payload)
        await self._asked(tenant, body, self._people(body), has_rows=has_rows)

    async def find(self, tenant: str, id: str) -> Trigger:
        """A trigger as it stands.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            counts = await self._store.fetch(sql.COUNTS, tenant=tenant, id=id)
            runs = {each.status: each.count for each in counts}
            return Trigger(
                row.id,
                row.workflow,
                row.version,
                row.state,
                row.total,
                runs,
                as_datetime(row.created_ms),
                as_datetime(row.start_ms) if row.start_ms else None,
            )
        raise NotFound(f"there is no trigger {id}")

    async def cancel(self, tenant: str, id: str) -> Cancelled:
        """Call off what has not happened yet: when this returns, nothing more of it begins.

        What is over stays as it came out: `triggers` is 0. What was called off before is called off: it is 1.

        Raises:
            NotFound: There is no such trigger.
        """
        async with self._store.transaction() as tx:
            return await self._cancel(tx, tenant, id)

    async def cancel_by_key(self, tenant: str, cancel_key: str) -> Cancelled:
        """The same of all triggers that were given this key, and are not over; a thousand at a time."""
        async with self._store.transaction() as tx:
            rows = await tx.fetch(sql.BY_CANCEL_KEY, tenant=tenant, cancel_key=cancel_key, n=1_000)
            found = [await self._cancel(tx, tenant, row.id) for row in rows]
        return Cancelled(
            sum(each.triggers for each in found),
            sum(each.runs for each in found),
            sum(each.messages for each in found),
        )

    async def settled(self) -> None:
        """Wait until what was accepted here is planned."""
        await self._at_once.settled()
        while self._planning:
            await asyncio.wait(tuple(self._planning))

    # ── accepting ──
    async def _try_at_once(
        self, caller: Principal, body: CreateTrigger, idempotency_key: str | None
    ) -> TriggerAccepted | None:
        """Accept and plan it in one commit; None: it goes another way, and nothing was written."""
        tenant = caller.tenant
        if (believed := self._catalog.believed(tenant, body.workflow)) is None:
            return None
        try:
            people, row = await self._row(tenant, f"{caller.kind}:{caller.id}", body, believed)
        except Invalid:
            return None  # perhaps only by a version that is current no more
        if row.lease_ms <= row.at_ms:
            return None
        if idempotency_key:
            row = keyed(row, idempotency_key, text_of(body, None))
        await self._describe(tenant, people)
        outcome = await self._at_once.write(row)
        if outcome is None:
            return None
        return accepted(row) if outcome.is_accepted else former(outcome, row.digest)

    async def _current(self, tenant: str, workflow: str) -> tuple[int, Read]:
        try:
            return await self._catalog.current(tenant, workflow)
        except NotFound as exc:
            raise _no_workflow(exc) from exc

    def _people(self, body: CreateTrigger) -> list[Named]:
        found = people_of(body.recipients, self._limits.recipients)
        return [each for each in found if each.id != body.actor]

    async def _asked(
        self, tenant: str, body: CreateTrigger, people: Sequence[Named], *, has_rows: bool
    ) -> Asked:
        if not (
            has_rows
            or body.recipients
            or body.audiences
            or body.filter
            or body.everyone
            or body.did
        ):
            raise Invalid(
                "nobody is named: give recipients, audiences, a filter, did, or everyone",
                faults=[Fault("/recipients", "nobody is named")],
            )
        now_ms = self._clock.now_ms()
        asked = Asked(
            users=[each.id for each in people],
            has_rows=has_rows,
            audiences=list(dict.fromkeys(body.audiences)),
            filter=body.filter or "",
            everyone=body.everyone,
            did=doings(body.did, now_ms),
            exclude=list(dict.fromkeys(body.exclude)),
            exclude_audiences=list(dict.fromkeys(body.exclude_audiences)),
        )
        await self._targets.check(tenant, asked)
        return asked

    async def _describe(self, tenant: str, people: Sequence[Named]) -> None:
        now_ms = self._clock.now_ms()
        described = [
            people_sql.Described(tenant, each.id, **columns_of(each.described), at_ms=now_ms)
            for each in people
            if each.described is not None
        ]
        if described:
            await self._store.apply(people_sql.DESCRIBE, described)

    async def _check_known(self, tenant: str, people: Sequence[Named]) -> None:
        named = [each for each in people if each.described is None]
        if not named:
            return
        rows = [people_sql.Named(tenant, each.id) for each in named]
        known: list[people_sql.Known] = await self._store.apply(people_sql.KNOWN, rows)
        there = {row.id for row in known}
        if unknown := [each for each in named if each.id not in there]:
            raise strangers(unknown)

    # ── planning ──
    def _plan_soon(self, row: sql.NewTrigger) -> None:
        if not is_small(row):
            self._spawn(self._plan_first(row))
            return
        # Those of a workflow that come while one is planned are planned together after it: what slows one workflow down slows no other.
        name = (row.tenant, row.workflow)
        if (line := self._lines.get(name)) is not None:
            line.append(row)
            return
        self._lines[name] = [row]
        self._spawn(self._plan_line(name))

    def _spawn(self, planning: Coroutine[Any, Any, None]) -> None:
        task = spawn(planning, name="plan-trigger")
        self._planning[task] = None
        task.add_done_callback(self._planning.pop)

    async def _plan_line(self, name: tuple[str, str]) -> None:
        line = self._lines[name]
        try:
            while line:
                rows = line[:TOGETHER]
                del line[: len(rows)]
                if not await self._planner.together(rows):
                    for row in rows:
                        await self._plan_first(row)
        except ClarionError as exc:
            # Nothing is lost: the leases end, and a worker plans them.
            _log.warning("triggers could not be planned yet", workflow=name[1], code=exc.code)
        finally:
            del self._lines[name]

    async def _plan_first(self, row: sql.NewTrigger) -> None:
        job = Job(row.tenant, row.id, JOB, b"{}", 0, 1, MAX_ATTEMPTS, row.at_ms)
        try:
            if await self._planner.slice(job):
                # The rest is a worker's, who holds the lease for as long as it takes.
                await self._queue.put_off(job, 0.0, attempts=0)
                self._queue.notify()
        except ClarionError as exc:
            # Nothing is lost: the lease ends, and a worker plans it.
            _log.warning("trigger could not be planned yet", trigger=job.id, code=exc.code)

    async def _cancel(self, tx: Tx, tenant: str, id: str) -> Cancelled:
        held = await tx.fetch(sql.HOLD, tenant=tenant, id=id)
        if not held:
            raise NotFound(f"there is no trigger {id}")
        runs = await tx.execute(run_sql.CANCEL_OF_TRIGGER, tenant=tenant, id=id)
        messages = await tx.fetch(
            sent_sql.CANCEL_OF_TRIGGER, tenant=tenant, id=id, now_ms=self._clock.now_ms()
        )
        if held[0].state == "planned" and not runs and not messages:
            return Cancelled(0, 0, 0)
        await tx.execute(sql.CANCEL, tenant=tenant, id=id)
        return Cancelled(1, runs, sum(each.status == "cancelled" for each in messages))


def _no_workflow(exc: NotFound) -> Invalid:
    return Invalid(str(exc), faults=[Fault("/workflow", "unknown")])


def check_size(payload: dict[str, Any]) -> None:
    """Refuse a payload that is too large.

    Raises:
        Invalid: It has more than 64 KiB of JSON, is too deep, or has what a browser would not get.
    """
    check_json(payload, PAYLOAD_BYTES, "/payload")


def _check_payload(read: Read, payload: dict[str, Any]) -> None:
    check_size(payload)
    if read.schema is None:
        return
    faults = [
        Fault(
            "/payload" + "".join(f"/{pointer_step(str(step))}" for step in error.instance_path),
            error.message[:200],
        )
        for error in itertools.islice(read.schema.iter_errors(payload), FAULTS)
    ]
    if faults:
        raise Invalid("the payload is not what the workflow asks for", faults=faults)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
