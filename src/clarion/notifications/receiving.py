"""Triggers whose recipients come in line by line: any number that `limits.stream_recipients` lets in, a thousand of them held at a time.

The first line is the trigger without its workflow and recipients, each further one a recipient. They are staged in rows under the id
that the trigger will have. Nothing is accepted, and nobody becomes known, before the last line was read and all were right; what is
left by a caller that has gone is removed at once, what a process leaves that dies is removed by a job.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

import msgspec

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import ClarionError, Fault, Invalid, OutcomeUnknown
from clarion.ids import Ids, digest
from clarion.jobs.queue import Job, Queue
from clarion.notifications.notifications import check_key
from clarion.notifications.recipients import Recipient, UserId, columns_of, wrong_said
from clarion.notifications.trigger_shapes import (
    CreateTrigger,
    Received,
    TriggerAccepted,
    former,
    text_of,
)
from clarion.notifications.triggering import Triggers
from clarion.settings import Limits
from clarion.storage import receiving as sql
from clarion.storage import repeats as key_sql
from clarion.storage import triggers as trigger_sql
from clarion.storage.slices import in_slices, total
from clarion.storage.store import Store
from clarion.telemetry import get_logger, limit_exceeded

_log = get_logger(__name__)

DROP: Final = "drop_recipients"  # the job that removes what was staged
SLICE: Final = 1_000  # recipients that are staged at a time
FAULTS: Final = 20  # lines whose faults are told
KEPT_MS: Final = 24 * 3_600_000

_read_recipient: Final = UserId | Recipient


class Values(Protocol):
    """Lines that are JSON, as they come in."""

    @property
    def digest(self) -> str:
        """Of what was read so far."""
        ...

    def values(self) -> AsyncGenerator[tuple[int, Any], None]:
        """Numbers and values of lines; raises what the sender is to be told."""
        ...


class Receiver:
    """Takes in triggers of many recipients.

    Args:
        store: Where they are staged.
        triggers: Accepts them.
        queue: Removes what is left.
        limits: `stream_recipients`.
        clock: The time.
        ids: Of triggers.
    """

    def __init__(
        self,
        store: Store,
        triggers: Triggers,
        queue: Queue,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._triggers, self._queue = store, triggers, queue
        self._limits, self._clock, self._ids = limits, clock, ids

    async def accept(
        self, caller: Principal, workflow: str, lines: Values, idempotency_key: str | None = None
    ) -> TriggerAccepted:
        """Run a workflow for those who stand on the lines.

        Args:
            caller: Whose tenant they belong to, and who owns the key.
            workflow: Which.
            lines: First `{payload?, actor?, …}`, as `CreateTrigger` without `workflow` and `recipients`; then a recipient on each.
            idempotency_key: As of `Triggers.accept`; the body is all of the lines.

        Raises:
            Invalid: A line is not right (of 20 such it is told), a recipient is not known, or there are too many; see `Triggers.accept`.
            Malformed, TooLarge: A line cannot be read.
            Conflict, IdempotencyConflict, OutcomeUnknown: As `Triggers.accept`.
        """
        tenant, now_ms = caller.tenant, self._clock.now_ms()
        check_key(idempotency_key)
        id = self._ids.ordered(now_ms)
        is_kept = False
        async with aclosing(lines.values()) as values:
            head, body = await self._head(tenant, workflow, values)
            await self._queue.enqueue(
                self._queue.job(DROP, {"trigger": id}, tenant=tenant, run_ms=now_ms + KEPT_MS)
            )
            try:
                count = await self._stage(tenant, id, values)
                received = Received(id, lines.digest) if count else None
                if received is not None:
                    before = await self._before(caller, body, received, idempotency_key)
                    if before is not None:
                        return before
                    await self._make_known(tenant, id)
                is_kept = True  # it may be accepted from here on, whatever is heard of it
                try:
                    answer = await self._triggers.accept(caller, body, idempotency_key, received)
                except Invalid as exc:
                    raise _invalid(head, exc.faults, exc.message) from exc
                is_kept = answer.id == id
                return answer
            except ClarionError as exc:
                is_kept = is_kept and isinstance(exc, OutcomeUnknown)
                raise
            finally:
                if not is_kept:
                    await self._drop(tenant, id)

    async def drop(self, job: Job) -> None:
        """Remove what was staged for a trigger that was planned, or never came: the handler of the job."""
        id: str = job.read()["trigger"]
        found = await self._store.fetch(trigger_sql.FIND, tenant=job.tenant, id=id)
        if found and found[0].state == "planning":
            await self._queue.put_off(job, KEPT_MS / 1000, attempts=0)
            return
        await self._drop(job.tenant, id)

    async def _head(
        self, tenant: str, workflow: str, values: AsyncGenerator[tuple[int, Any], None]
    ) -> tuple[int, CreateTrigger]:
        async for number, value in values:
            if not isinstance(value, dict) or not value.keys().isdisjoint(_NOT_HERE):
                why = "the first line is an object: a trigger without workflow and recipients"
                raise Invalid(why, faults=[Fault(f"/{number}", why)])
            try:
                body = msgspec.convert({**value, "workflow": workflow}, CreateTrigger)
                await self._triggers.check(tenant, body, has_rows=True)
            except msgspec.ValidationError as exc:
                raise _invalid(number, [Fault.of(exc, CreateTrigger)]) from exc
            except Invalid as exc:
                raise _invalid(number, exc.faults, exc.message) from exc
            return number, body
        raise Invalid("there are no lines: the first one is the trigger, then its recipients")

    async def _stage(
        self, tenant: str, id: str, values: AsyncGenerator[tuple[int, Any], None]
    ) -> int:
        """Take in recipients; returns how many lines there were."""
        count = 0
        slice: list[sql.NewRecipient] = []
        faults: list[Fault] = []
        async for number, value in values:
            count += 1
            if count > self._limits.stream_recipients:
                raise self._too_many()
            try:
                slice.append(_staged(tenant, id, number, value))
            except Invalid as exc:
                faults += exc.faults
            if len(faults) >= FAULTS:
                break
            if len(slice) >= SLICE:
                await self._write(slice, faults)
                slice = []
        await self._write(slice, faults)
        if faults:
            raise Invalid(
                f"{len(faults)} lines are not right"
                if len(faults) < FAULTS
                else "many lines are not right",
                faults=faults,
            )
        unknown = await self._store.fetch(sql.STRANGERS, tenant=tenant, id=id, n=FAULTS)
        if unknown:
            raise Invalid(
                'some recipients are not known here: describe them, as in {"id": "ann"}, and they become known',
                faults=[Fault(f"/{each.line}", f"{each.usr} is not known") for each in unknown],
            )
        return count

    async def _write(self, rows: Sequence[sql.NewRecipient], faults: Sequence[Fault]) -> None:
        if rows and not faults:  # else nothing will come of them
            await self._store.apply(sql.STAGE, rows)

    async def _before(
        self, caller: Principal, body: CreateTrigger, received: Received, key: str | None
    ) -> TriggerAccepted | None:
        """The answer to the same call that was made before: then nobody has to become known."""
        if key is None:
            return None
        of = {"tenant": caller.tenant, "caller": f"{caller.kind}:{caller.id}", "key": key}
        for kept in await self._store.fetch(key_sql.FIND, **of, route=trigger_sql.ROUTE):
            return former(kept, digest(text_of(body, received)))
        return None

    async def _make_known(self, tenant: str, id: str) -> None:
        after = ""
        of = {"tenant": tenant, "id": id}
        while True:
            [last] = await self._store.fetch(sql.NEXT, **of, after=after, n=SLICE)
            if last.usr is None:
                return
            async with self._store.transaction() as tx:
                now_ms = self._clock.now_ms()
                await tx.execute(sql.DESCRIBE, **of, after=after, upto=last.usr, now_ms=now_ms)
            after = last.usr

    async def _drop(self, tenant: str, id: str) -> None:
        try:
            await total(in_slices(self._store, sql.DROP_RECIPIENTS, SLICE, tenant=tenant, id=id))
        except ClarionError as exc:
            _log.warning("staged recipients stay for a day", trigger=id, code=exc.code)

    def _too_many(self) -> Invalid:
        limit = self._limits.stream_recipients
        limit_exceeded.labels("stream_recipients").inc()
        why = f"more recipients than limits.stream_recipients = {limit}"
        return Invalid(why, faults=[Fault("", f"at most {limit} recipients")], limit=limit)


_NOT_HERE: Final = frozenset({"workflow", "recipients"})


def _staged(tenant: str, id: str, number: int, value: Any) -> sql.NewRecipient:
    try:
        found = msgspec.convert(value, _read_recipient)
    except msgspec.ValidationError as exc:
        raise _invalid(number, [Fault.of(exc)]) from exc
    if isinstance(found, str):
        return sql.NewRecipient(tenant, id, found, number, 0)
    if (wrong := wrong_said(found.attributes, found.time_zone)) is not None:
        raise _invalid(number, [wrong])
    return sql.NewRecipient(tenant, id, found.id, number, 1, **columns_of(found))


def _invalid(number: int, faults: Sequence[Fault], why: str = "") -> Invalid:
    told = [Fault(f"/{number}{each.pointer}", each.detail) for each in faults]
    detail = why or Invalid(faults=faults[:1]).message
    return Invalid(f"line {number}: {detail}", faults=told)
