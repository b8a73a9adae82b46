"""Imports: people who come in line by line, as subscribers or into an audience; accepted here, followed, called off and forgotten.

The body is stored part by part while it comes in, and becomes an import when its end was seen: a caller that breaks off has imported
nothing. A job takes the parts then: `importing`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Protocol

import msgspec

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import Conflict, Fault, IdempotencyConflict, Invalid, NotFound
from clarion.ids import Ids, digest
from clarion.jobs.queue import Queue
from clarion.notifications.importing import IMPORT, drop_parts
from clarion.notifications.notifications import check_key
from clarion.notifications.progress import Job, Rates, is_given_up
from clarion.notifications.tables import Line, rows
from clarion.settings import Limits
from clarion.storage import audiences as audience_sql
from clarion.storage import receiving as sql
from clarion.storage import repeats as key_sql
from clarion.storage.slices import in_slices
from clarion.storage.store import Param, Store
from clarion.telemetry import get_logger, limit_exceeded

_log = get_logger(__name__)

CSV: Final = "text/csv"
PART_LINES: Final = 500
PART_CHARS: Final = 128 * 1024
SLICE: Final = 500  # faults that are read at a time, or removed
KEPT_MS: Final = 24 * 3_600_000
_DAY_MS: Final = 86_400_000


class Texts(Protocol):
    """Lines as they come in."""

    media: str
    number: int

    @property
    def digest(self) -> str:
        """Of what was read so far."""
        ...

    def __aiter__(self) -> AsyncIterator[str]:
        """Their texts; `number` is that of the last one. Raises what the sender is to be told."""
        ...


class NotTaken(msgspec.Struct, frozen=True):
    """A line that was not taken, and why."""

    line: int
    reason: str


class Imports:
    """The imports of tenants.

    Args:
        store: Where they are.
        queue: Carries them out.
        limits: `import_lines`, `run_days`.
        clock: The time.
        ids: Of imports.
    """

    scope = "subscribers:read"

    def __init__(
        self, store: Store, queue: Queue, limits: Limits, *, clock: Clock, ids: Ids
    ) -> None:
        self._store, self._queue, self._limits = store, queue, limits
        self._clock, self._ids = clock, ids
        self._rates = Rates(clock)

    async def accept(
        self, caller: Principal, lines: Texts, *, audience: str = "", key: str | None = None
    ) -> Job:
        """Take in lines; returns when all are on disk, before anybody is imported.

        Args:
            caller: Whose tenant it is, and who owns the key.
            lines: A subscriber on each: JSON (an id, or what should be known of them), or CSV.
            audience: Into which they are put; '': none.
            key: Makes the call safe to repeat for 24 hours.

        Raises:
            Invalid: There is no such audience, no line, or more than `limits.import_lines`; CSV without a head.
            Malformed, TooLarge: A line cannot be read.
            IdempotencyConflict: The key was used with another body.
        """
        check_key(key)
        tenant, now_ms = caller.tenant, self._clock.now_ms()
        if audience and not await self._store.fetch(
            audience_sql.FIND, tenant=tenant, audience=audience
        ):
            why = f"there is no audience {audience!r}: `PUT /v1/audiences/{audience}` makes it"
            raise Invalid(why, faults=[Fault("?audience", "there is no such audience")])
        id = self._ids.ordered(now_ms)
        work = self._queue.job(IMPORT, {}, tenant=tenant, id=id, run_ms=now_ms + KEPT_MS)
        await self._queue.enqueue(work)
        is_kept = False
        try:
            total = await self._store_lines(tenant, id, lines)
            is_kept = True  # from here on it may be accepted, whatever is heard of it
            found = await self._begin(caller, id, lines, audience, total, key)
            is_kept = found == id
        except (Invalid, IdempotencyConflict):
            is_kept = False
            raise
        finally:
            if not is_kept:
                await drop_parts(self._store, tenant, id)
        self._queue.notify()
        return await self.find(tenant, found)

    async def find(self, tenant: str, id: str) -> Job:
        """How far an import is.

        Raises:
            NotFound: There is none.
        """
        row = await self._row(tenant, id)
        is_failed = False
        if row.state == "running" and await is_given_up(self._store, tenant, id):
            row = await self._row(tenant, id)  # it may have ended meanwhile
            is_failed = row.state == "running"
        job = Job(
            row.id,
            "import",
            "failed" if is_failed else row.state,
            row.total,
            row.done,
            row.failed,
            0.0,
            None,
            as_datetime(row.created_ms),
        )
        return self._rates.told(job, (self._clock.now_ms() - row.created_ms) / 1000)

    async def cancel(self, tenant: str, id: str) -> Job:
        """Take no more lines; who was taken stays.

        Raises:
            NotFound: There is none.
            Conflict: It is done.
        """
        async with self._store.transaction() as tx:
            held = await tx.fetch(sql.HOLD, tenant=tenant, id=id)
            if not held:
                raise _missing(id)
            if held[0].state == "done":
                raise Conflict(f"import {id} is done")
            await tx.execute(
                sql.END, tenant=tenant, id=id, state="cancelled", now_ms=self._clock.now_ms()
            )
        await drop_parts(self._store, tenant, id)
        return await self.find(tenant, id)

    async def faults(self, tenant: str, id: str) -> AsyncGenerator[NotTaken, None]:
        """Lines that were not taken, in their order; of more than `limits.import_faults` the first.

        Raises:
            NotFound: There is no such import.
        """
        if not await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            raise _missing(id)
        after = 0
        while found := await self._store.fetch(
            sql.FAULTS, tenant=tenant, id=id, after=after, n=SLICE
        ):
            for each in found:
                yield NotTaken(each.line, each.reason)
            after = found[-1].line

    async def purge(self) -> AsyncIterator[int]:
        """Remove what is older than `limits.run_days`; see `jobs.purging.Slices`."""
        if not self._limits.run_days:
            return
        before = self._clock.now_ms() - self._limits.run_days * _DAY_MS
        for statement in (sql.OLD_FAULTS, sql.OLD_IMPORTS):
            async for count in in_slices(self._store, statement, SLICE, before=before):
                yield count

    async def _row(self, tenant: str, id: str) -> sql.Import:
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            return row
        raise _missing(id)

    # ── taking in ──
    async def _store_lines(self, tenant: str, id: str, lines: Texts) -> int:
        total, size, n = 0, 0, 0
        part: list[Line] = []

        async def write() -> None:
            nonlocal n
            text = msgspec.json.encode(part).decode()
            async with self._store.transaction() as tx:
                await tx.execute(sql.ADD_PART, tenant=tenant, id=id, n=n, lines=text)
            n += 1
            part.clear()

        async for line in _lines_of(lines):
            total += 1
            if total > self._limits.import_lines:
                raise self._too_many()
            part.append(line)
            size += len(line.text)
            if len(part) >= PART_LINES or size >= PART_CHARS:
                await write()
                size = 0
        if part:
            await write()
        if not total:
            raise Invalid("there are no lines", faults=[Fault("", "at least one line")])
        return total

    async def _begin(
        self, caller: Principal, id: str, lines: Texts, audience: str, total: int, key: str | None
    ) -> str:
        """Make an import of what is stored; returns its id, or that of the one that the same call has begun before."""
        of: dict[str, Param] = {"tenant": caller.tenant, "id": id, "now_ms": self._clock.now_ms()}
        whose = {"tenant": caller.tenant, "caller": f"{caller.kind}:{caller.id}", "route": IMPORT}
        mark = digest(f"{audience}\n{lines.media}\n{lines.digest}")
        async with self._store.transaction() as tx:
            if key is not None and not await tx.execute(
                key_sql.TAKE,
                **whose,
                key=key,
                digest=mark,
                subject=id,
                answer=id,
                now_ms=of["now_ms"],
            ):
                [kept] = await tx.fetch(key_sql.FIND, **whose, key=key)
                if kept.digest != mark:
                    raise IdempotencyConflict(
                        "this Idempotency-Key was used with another body: take a new key for a new import"
                    )
                return kept.answer
            await tx.execute(
                sql.ADD_IMPORT, **of, audience=audience, media=lines.media, total=total
            )
            await tx.execute(sql.DUE_NOW, **of)
        return id

    def _too_many(self) -> Invalid:
        limit = self._limits.import_lines
        limit_exceeded.labels("import_lines").inc()
        why = f"more lines than limits.import_lines = {limit}"
        return Invalid(why, faults=[Fault("", f"at most {limit} lines")], limit=limit)


async def _numbered(lines: Texts) -> AsyncGenerator[tuple[int, str], None]:
    async for text in lines:
        yield lines.number, text


async def _lines_of(lines: Texts) -> AsyncGenerator[Line, None]:
    if lines.media == CSV:
        async for line in rows(_numbered(lines)):
            yield line
        return
    async for text in lines:
        if text.strip():
            yield Line(lines.number, text)


def _missing(id: str) -> NotFound:
    return NotFound(f"there is no import {id}")
