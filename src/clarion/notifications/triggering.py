"""Triggers: accepted in one durable commit, then planned slice by slice into everybody's runs.

Who accepts a trigger plans it at once, under a lease like any job's: if that process dies, another plans on from the last slice
that was committed. A slice's runs and messages are written together with the cursor, so that nobody gets anything twice.
"""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import (
    ClarionError,
    Fault,
    IdempotencyConflict,
    Invalid,
    NotFound,
    pointer_step,
)
from clarion.ids import Ids, digest
from clarion.jobs.queue import LEASE_S, MAX_ATTEMPTS, Job, Queue
from clarion.notifications.catalog import Catalog, Read
from clarion.notifications.content import check_json
from clarion.notifications.facts import recipient_facts
from clarion.notifications.going import Going
from clarion.notifications.notifications import check_key
from clarion.notifications.recipients import (
    Named,
    Recipient,
    UserId,
    columns_of,
    people_of,
    strangers,
)
from clarion.notifications.runs import Runs
from clarion.notifications.workflows.advance import Begin, State
from clarion.notifications.workflows.definition import Key, Workflow
from clarion.settings import Limits
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as run_sql
from clarion.storage import subscribers as people_sql
from clarion.storage import triggers as sql
from clarion.storage.store import Store, Tx
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

SLICE: Final = 500  # recipients that are planned in one transaction
PLANNING: Final = 32  # triggers that are planned by who accepted them, at a time
PAYLOAD_BYTES: Final = 64 * 1024  # of JSON
FAULTS: Final = 20  # of a payload that are told
JOB: Final = sql.JOB


class CreateTrigger(Struct, frozen=True, forbid_unknown_fields=True):
    """Which workflow to run for whom. A person named twice gets it once."""

    workflow: Key
    recipients: Annotated[list[UserId | Recipient], Meta(min_length=1)]
    payload: Annotated[
        dict[str, Any], Meta(description="JSON for templates and conditions, at most 64 KiB")
    ] = {}
    actor: UserId | None = None
    """Who did what this tells of: they are not told."""
    cancel_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """Names it for `cancel`, while it waits."""


class TriggerAccepted(Struct, frozen=True):
    """The answer to a trigger: it is on disk, and runs from here on."""

    id: str
    workflow: str
    version: int
    durability: Literal["fsync"]
    created_at: datetime


class Trigger(Struct, frozen=True):
    """A trigger as it stands. `recipients` were found so far; `runs` counts those that have something to explain or to do."""

    id: str
    workflow: str
    version: int
    state: str
    recipients: int
    runs: dict[str, int]
    created_at: datetime


class Cancelled(Struct, frozen=True):
    """What was called off: runs that had not ended, and messages that nobody had sent."""

    triggers: int
    runs: int
    messages: int


class Triggers:
    """Accepts triggers and plans them.

    Args:
        store: Where they are kept.
        catalog: Workflows.
        runs: Carries on what is planned.
        queue: Holds the planning that is not done.
        limits: `recipients`.
        clock: Time of acceptance.
        ids: Of triggers and runs.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        runs: Runs,
        queue: Queue,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._catalog, self._runs, self._queue = store, catalog, runs, queue
        self._limits, self._clock, self._ids = limits, clock, ids
        self._planning: dict[asyncio.Task[None], None] = {}

    async def accept(
        self, caller: Principal, body: CreateTrigger, idempotency_key: str | None = None
    ) -> TriggerAccepted:
        """Run a workflow for recipients.

        Args:
            caller: Whose tenant the recipients belong to, and who owns the key.
            body: What to run for whom. A recipient that is only named must be known; one that is described becomes known.
            idempotency_key: Makes the call safe to repeat for 24 hours.

        Raises:
            Conflict: The workflow is not active.
            Invalid: There is no such workflow, a recipient is not known, or the payload is not as the workflow says.
            IdempotencyConflict: The key was used with another body.
            OutcomeUnknown: The write had begun and its end was not seen: repeat it with the same key.
        """
        tenant = caller.tenant
        version, read = await self._current(tenant, body.workflow)
        _check_payload(read, body.payload)
        check_key(idempotency_key)
        people = [
            each
            for each in people_of(body.recipients, self._limits.recipients)
            if each.id != body.actor
        ]
        await self._know(tenant, people)
        now_ms = self._clock.now_ms()
        # More than can be planned at a time is left to the worker, which takes no more than it can do.
        is_mine = len(self._planning) < PLANNING
        id = self._ids.ordered(now_ms)
        answer = TriggerAccepted(id, body.workflow, version, "fsync", as_datetime(now_ms))
        key = idempotency_key or ""
        row = sql.NewTrigger(
            tenant=tenant,
            caller=f"{caller.kind}:{caller.id}",
            id=id,
            workflow=body.workflow,
            version=version,
            actor=body.actor or "",
            payload=_text(body.payload),
            asked=_text({"users": sorted(each.id for each in people)}),
            cancel_key=body.cancel_key or "",
            at_ms=now_ms,
            lease_ms=now_ms + (int(LEASE_S * 1000) if is_mine else 0),
            max_attempts=MAX_ATTEMPTS,
            idem_key=key,
            digest=digest(msgspec.json.encode(body, order="sorted")) if key else "",
            answer=_text(answer) if key else "",
        )
        [outcome] = await self._store.apply(sql.ACCEPT_TRIGGER, [row])
        if not outcome.is_accepted:
            return _former(outcome, row.digest)
        if is_mine:
            # The lease is this process': the job is claimed by nobody else before it ends.
            self._plan_soon(Job(tenant, id, JOB, b"{}", 0, 1, MAX_ATTEMPTS, now_ms))
        else:
            self._queue.notify()
        return answer

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
            )
        raise NotFound(f"there is no trigger {id}")

    async def cancel(self, tenant: str, id: str) -> Cancelled:
        """Call off what has not happened yet: when this returns, nothing more of it begins.

        Raises:
            NotFound: There is no such trigger.
        """
        async with self._store.transaction() as tx:
            if not await tx.fetch(sql.HOLD, tenant=tenant, id=id):
                raise NotFound(f"there is no trigger {id}")
            runs, messages = await self._cancel(tx, tenant, id)
        return Cancelled(1, runs, messages)

    async def cancel_by_key(self, tenant: str, cancel_key: str) -> Cancelled:
        """Call off all triggers that were given this key."""
        runs = messages = 0
        async with self._store.transaction() as tx:
            found = await tx.fetch(sql.BY_CANCEL_KEY, tenant=tenant, cancel_key=cancel_key, n=1_000)
            for row in found:
                await tx.fetch(sql.HOLD, tenant=tenant, id=row.id)
                some = await self._cancel(tx, tenant, row.id)
                runs, messages = runs + some[0], messages + some[1]
        return Cancelled(len(found), runs, messages)

    async def plan(self, job: Job) -> None:
        """Plan a trigger, from where it was left: the handler of the job `plan_trigger`."""
        cursor: str | None = job.read().get("after", "")
        while cursor is not None:
            cursor = await self._plan_slice(job, cursor)

    async def settled(self) -> None:
        """Wait until what was accepted here is planned."""
        while self._planning:
            await asyncio.wait(tuple(self._planning))

    # ── accepting ──
    async def _current(self, tenant: str, workflow: str) -> tuple[int, Read]:
        try:
            return await self._catalog.current(tenant, workflow)
        except NotFound as exc:
            raise Invalid(str(exc), faults=[Fault("/workflow", "unknown")]) from exc

    async def _know(self, tenant: str, people: Sequence[Named]) -> None:
        now_ms = self._clock.now_ms()
        described = [
            people_sql.Described(tenant, each.id, **columns_of(each.described), at_ms=now_ms)
            for each in people
            if each.described is not None
        ]
        if described:
            await self._store.apply(people_sql.DESCRIBE, described)
        named = [each for each in people if each.described is None]
        if not named:
            return
        rows = [people_sql.Named(tenant, each.id) for each in named]
        known: list[people_sql.Known] = await self._store.apply(people_sql.KNOWN, rows)
        there = {row.id for row in known}
        if unknown := [each for each in named if each.id not in there]:
            raise strangers(unknown)

    # ── planning ──
    def _plan_soon(self, job: Job) -> None:
        task = spawn(self._plan_first(job), name="plan-trigger")
        self._planning[task] = None
        task.add_done_callback(self._planning.pop)

    async def _plan_first(self, job: Job) -> None:
        try:
            if await self._plan_slice(job, "") is not None:
                # The rest is a worker's, who holds the lease for as long as it takes.
                await self._queue.put_off(job, 0.0, attempts=0)
                self._queue.notify()
        except ClarionError as exc:
            # Nothing is lost: the lease ends, and a worker plans it.
            _log.warning("trigger could not be planned yet", trigger=job.id, code=exc.code)

    async def _plan_slice(self, job: Job, after: str) -> str | None:
        """Plan the recipients behind a cursor; returns the cursor behind them, None at the end."""
        [row] = await self._store.fetch(sql.FIND, tenant=job.tenant, id=job.id)
        users: list[str] = [
            user for user in msgspec.json.decode(row.asked)["users"] if user > after
        ]
        some, more = users[:SLICE], len(users) > SLICE
        workflow = (await self._catalog.version(job.tenant, row.workflow, row.version)).workflow
        goings = await self._goings(job.tenant, row, workflow, some)
        cursor = some[-1] if more else None

        is_wanted = True

        async def within(tx: Tx) -> bool:
            nonlocal is_wanted
            [held] = await tx.fetch(sql.HOLD, tenant=job.tenant, id=job.id)
            is_wanted = held.state == "planning"
            if cursor is None or not is_wanted:
                await self._queue.finish_within(tx, job)
            else:
                await self._queue.save_within(tx, job, {"after": cursor})
            if is_wanted:
                state = "planned" if cursor is None else "planning"
                await tx.execute(
                    sql.GO_ON, tenant=job.tenant, id=job.id, count=len(goings), state=state
                )
            return is_wanted

        await self._runs.carry(goings, within)
        return cursor if is_wanted else None

    async def _goings(
        self, tenant: str, row: sql.TriggerRow, workflow: Workflow, users: Sequence[str]
    ) -> list[Going]:
        rows = [people_sql.Named(tenant, user) for user in users]
        known: list[people_sql.Known] = (
            await self._store.apply(people_sql.KNOWN, rows) if rows else []
        )
        payload = msgspec.json.decode(row.payload)
        now_ms = self._clock.now_ms()
        return [
            Going(
                tenant=tenant,
                id=self._ids.ordered(now_ms),
                trigger=row.id,
                usr=person.id,
                workflow=workflow,
                version=row.version,
                state=State(),
                event=Begin(),
                payload=payload,
                actor=row.actor,
                recipient=recipient_facts(
                    person.id,
                    person.name,
                    person.email,
                    person.phone,
                    person.locale,
                    person.time_zone,
                    person.attributes,
                ),
                created_ms=now_ms,
            )
            for person in known
        ]

    async def _cancel(self, tx: Tx, tenant: str, id: str) -> tuple[int, int]:
        await tx.execute(sql.CANCEL, tenant=tenant, id=id)
        runs = await tx.execute(run_sql.CANCEL_OF_TRIGGER, tenant=tenant, id=id)
        messages = await tx.execute(
            sent_sql.CANCEL_OF_TRIGGER, tenant=tenant, id=id, now_ms=self._clock.now_ms()
        )
        return runs, messages


def _check_payload(read: Read, payload: dict[str, Any]) -> None:
    check_json(payload, PAYLOAD_BYTES, "/payload")
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


def _former(outcome: sql.TriggerOutcome, digest: str) -> TriggerAccepted:
    if outcome.digest != digest:
        raise IdempotencyConflict(
            "this Idempotency-Key was used with another body: take a new key for a new trigger"
        )
    assert outcome.answer is not None, "kept with the key"
    return msgspec.json.decode(outcome.answer, type=TriggerAccepted)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
