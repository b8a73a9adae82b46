"""Carrying imports out: their lines become subscribers, and members of an audience; of each that does not it is kept why.

A part is taken in one transaction with how far the import is, so that it goes on where it was after a crash, each line taken once, and
can be called off between two parts.
"""

from typing import Final

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError, Fault
from clarion.jobs.queue import Job, Queue
from clarion.notifications.recipients import (
    Recipient,
    UserId,
    columns_of,
    distinct,
    wrong_said,
)
from clarion.notifications.tables import Line
from clarion.settings import Limits
from clarion.storage import audiences as audience_sql
from clarion.storage import receiving as sql
from clarion.storage import subscribers as people_sql
from clarion.storage.slices import in_slices, total
from clarion.storage.store import Store, Tx
from clarion.telemetry import get_logger

_log = get_logger(__name__)

IMPORT: Final = "import"  # the job, and the scope of its idempotency keys
TURN_S: Final = 20.0  # of one import, before the others' jobs get theirs
SLICE: Final = 500  # parts that are removed in one transaction
REASON_CHARS: Final = 300


class Importer:
    """Takes the lines of imports.

    Args:
        store: Where they are.
        queue: Has the jobs.
        limits: `import_faults`.
        clock: The time.
    """

    def __init__(self, store: Store, queue: Queue, limits: Limits, *, clock: Clock) -> None:
        self._store, self._queue, self._limits, self._clock = store, queue, limits, clock

    async def carry_out(self, work: Job) -> None:
        """Take the parts that are left, or remove them, if it was called off or never came: the handler of the job."""
        began = self._clock.monotonic()
        while await self._take_part(work.tenant, work.id):
            if self._clock.monotonic() - began > TURN_S:
                await self._queue.put_off(work, 0.0, attempts=0)
                return
        await drop_parts(self._store, work.tenant, work.id)

    async def _take_part(self, tenant: str, id: str) -> bool:
        """Take the next lines; returns whether there may be more."""
        of = {"tenant": tenant, "id": id}
        parts = await self._store.fetch(sql.PART, **of)
        people: list[tuple[int, str | Recipient]] = []
        wrong: list[sql.Fault] = []
        found = msgspec.json.decode(parts[0].lines, type=list[Line]) if parts else []
        for line in found:
            try:
                people.append((line.number, _read(line)))
            except ValueError as exc:
                wrong.append(sql.Fault(line.number, str(exc)))
        async with self._store.transaction() as tx:
            held = await tx.fetch(sql.HOLD, **of)
            if not held or held[0].state != "running":
                return False
            if not parts:
                await tx.execute(sql.END, **of, state="done", now_ms=self._clock.now_ms())
                return False
            if not await tx.execute(sql.DROP_PART, **of, n=parts[0].n):
                return True  # somebody else has taken it
            wrong += await self._take(tx, tenant, held[0].audience, people)
            wrong.sort(key=lambda each: each.line)
            room = max(0, self._limits.import_faults - held[0].failed)
            told = [
                sql.NewFault(tenant, id, each.line, each.reason[:REASON_CHARS])
                for each in wrong[:room]
            ]
            if told:
                await tx.apply(sql.ADD_FAULTS, told)
            await tx.execute(sql.GO_ON, **of, done=len(found), failed=len(wrong))
        return True

    async def _take(
        self, tx: Tx, tenant: str, audience: str, people: list[tuple[int, str | Recipient]]
    ) -> list[sql.Fault]:
        once, now_ms = distinct([each for _, each in people]), self._clock.now_ms()
        if not once:
            return []
        described = [
            people_sql.Described(
                tenant, each.id, **columns_of(each.described or Recipient(each.id)), at_ms=now_ms
            )
            for each in once
        ]
        await tx.apply(people_sql.DESCRIBE, described)
        if not audience:
            return []
        members = [audience_sql.Membership(tenant, audience, each.id, now_ms) for each in once]
        taken = {each.n for each in await tx.apply(audience_sql.ADD_MEMBERS, members)}
        lost = {each.id for n, each in enumerate(once, 1) if n not in taken}
        why = f"there is no audience {audience!r} any more"
        return [sql.Fault(number, why) for number, each in people if _id(each) in lost]


async def drop_parts(store: Store, tenant: str, id: str) -> None:
    """Remove lines that nobody imports any more; those that are left by a database that is away go with the job, within a day."""
    try:
        await total(in_slices(store, sql.DROP_PARTS, SLICE, tenant=tenant, id=id))
    except ClarionError as exc:
        _log.warning("lines that nobody imports stay for a day", job=id, code=exc.code)


def _read(line: Line) -> str | Recipient:
    """Whom a line describes; raises ValueError with what is wrong."""
    if line.wrong:
        raise ValueError(line.wrong)
    try:
        found: str | Recipient = _decode(line.text)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc, Recipient)
        raise ValueError(f"{fault.pointer}: {fault.detail}".removeprefix(": ")) from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(f"no JSON: {exc}") from exc
    if isinstance(found, str):
        return found
    if (wrong := wrong_said(found.attributes, found.time_zone)) is not None:
        raise ValueError(f"{wrong.pointer}: {wrong.detail}")
    return found


_decode: Final = msgspec.json.Decoder(UserId | Recipient, float_hook=float).decode


def _id(each: str | Recipient) -> str:
    return each if isinstance(each, str) else each.id
