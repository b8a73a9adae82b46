"""The store on PostgreSQL: the same promises; a few committers join waiting calls of one procedure into one transaction.

PostgreSQL shares an fsync between connections by itself; what costs is a round trip and a transaction per row. So calls that
wait are joined (array parameters, one `unnest` a statement). A joined run that fails for one caller's values (SQLSTATE 22, 23) is
taken apart; a connection that is lost leaves the outcome of all unknown.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import asyncpg
import msgspec

from clarion.clock import Clock
from clarion.errors import (
    ClarionError,
    Closed,
    Conflict,
    Invalid,
    OutcomeUnknown,
    Unavailable,
)
from clarion.storage.postgres_errors import (
    DRIVER,
    READ_ONLY,
    ConnectionLost,
    can_repeat,
    in_our_words,
)
from clarion.storage.postgres_lock import ServerLock
from clarion.storage.postgres_statements import Statements
from clarion.storage.sql import answers, check_params, check_reads
from clarion.storage.store import Param, Procedure, R, Sql
from clarion.storage.transaction import Transaction, refuse_inside, same
from clarion.telemetry import db_seconds, spawn

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
    _Pool = asyncpg.Pool[asyncpg.Record]

GROUP_ROWS = 1_000  # rows of one joined run
COMMITTERS = 3  # runs at a time: while all are busy calls gather, and that is the joining
POOL = 8  # connections; of a server's usual 100, several nodes need some
WAIT_S = 5.0  # for a free connection, or a new one
ANSWER_S = 8.0  # for any answer: the server's own limits are below it, so then it hangs
REPEATS = 3  # of a run that PostgreSQL rolled back for its own reasons (deadlock)


class PostgresStore:
    """`Store` on a pool of connections to one PostgreSQL database."""

    engine: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, pool: "_Pool", clock: Clock, lock: ServerLock) -> None:
        # Fixed at creation
        self._pool, self._clock, self._lock = pool, clock, lock
        # Changes while open. Invariant: a procedure is in _waiting <=> calls of it wait.
        self._waiting: dict[str, tuple[Procedure, deque[_Call]]] = {}
        self._committers: dict[asyncio.Task[None], None] = {}
        self._is_closed = False

    # ── callers ──
    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure over rows; returns when the change is on disk."""
        refuse_inside()
        self._refuse_closed()
        if not rows:
            return []
        started = self._clock.monotonic()
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(procedure.name, (procedure, deque()))[1].append(
            _Call(rows, done, started)
        )
        # One that has ended is counted out a moment later, and commits nothing any more.
        if sum(not committer.done() for committer in self._committers) < COMMITTERS:
            committer = spawn(self._commit(), name="postgresql-committer")
            self._committers[committer] = None
            committer.add_done_callback(self._committers.pop)
        try:
            return await done
        finally:
            db_seconds.labels(procedure.name).observe(self._clock.monotonic() - started)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several dependent statements on one connection."""
        refuse_inside()
        self._refuse_closed()
        async with self._connection() as db:
            tx = Transaction(Statements(db).run)
            opened = db.transaction()
            with in_our_words():
                await opened.start()
            try:
                with tx.opened():
                    yield tx
                if tx.failure is not None:
                    raise tx.failure
            except ConnectionLost:
                raise  # nobody is there who would roll it back, and it may hang
            except BaseException:
                with contextlib.suppress(*DRIVER):
                    await opened.rollback()
                raise
            # A caller that is cancelled now has lost the answer, as with `apply`: the connection is kept until the end is known.
            ending = spawn(_commit(opened), name="postgresql-commit")
            await _finish(ending)
            if (exc := ending.result()) is not None:
                raise exc

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Read; sees everything that was answered before."""
        refuse_inside()
        self._refuse_closed()
        check_reads(sql.text)
        check_params(params)
        started = self._clock.monotonic()
        try:
            try:
                return await self._fetch(sql, params)
            except ConnectionLost as exc:
                if isinstance(exc.__cause__, TimeoutError):
                    raise  # it hangs, and would once more
                # The connection had died in the pool: once more on another, a read may be repeated.
                return await self._fetch(sql, params)
        finally:
            db_seconds.labels("fetch").observe(self._clock.monotonic() - started)

    async def ping(self) -> None:
        """Return if the database answers now."""
        self._lock.check()
        [found] = await self.fetch(_READ_ONLY)
        if found.state == "on":
            raise Unavailable(READ_ONLY)

    async def close(self) -> None:
        """Finish what was begun, then close the connections."""
        if self._is_closed:
            return
        self._is_closed = True
        while self._committers:
            await asyncio.wait(tuple(self._committers))
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        await self._lock.close()

    async def _fetch(self, sql: Sql[R], params: dict[str, Param]) -> list[R]:
        async with self._connection() as db:
            with in_our_words():
                return cast(list[R], await Statements(db).fetch(sql, params))

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise Closed("the store is closed")

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator["_Connection"]:
        try:
            db = await self._pool.acquire(timeout=WAIT_S)
        except TimeoutError as exc:
            raise Unavailable("no connection to PostgreSQL became free in time") from exc
        except DRIVER as exc:
            raise Unavailable("PostgreSQL cannot be reached now") from exc
        try:
            yield cast("_Connection", db)
        except (ConnectionLost, OutcomeUnknown):
            # Whatever it would say now belongs to a question that nobody waits for; the pool may have noticed before us.
            with contextlib.suppress(asyncpg.InterfaceError):
                db.terminate()
            raise
        finally:
            # A server that does not answer: the pool drops the connection. It must not hide why we are leaving, least of all a cancel.
            with contextlib.suppress(*DRIVER):
                await self._pool.release(db, timeout=WAIT_S)

    # ── committers ──
    async def _commit(self) -> None:
        while self._waiting:
            procedure, calls = self._next_run()
            late = self._clock.monotonic() - WAIT_S
            for call in calls:
                if call.since < late:
                    call.fail(Unavailable("PostgreSQL is too slow: no turn came in time"))
            if in_time := [call for call in calls if call.since >= late]:
                await self._run(procedure, in_time)

    def _next_run(self) -> "tuple[Procedure, list[_Call]]":
        # Round robin over the procedures, so that a busy one does not starve the others.
        name = next(iter(self._waiting))
        procedure, waiting = self._waiting.pop(name)
        calls = [waiting.popleft()]
        size = len(calls[0].rows)
        while waiting and size + len(waiting[0].rows) <= GROUP_ROWS:
            calls.append(waiting.popleft())
            size += len(calls[-1].rows)
        if waiting:
            self._waiting[name] = (procedure, waiting)
        return procedure, calls

    async def _run(self, procedure: Procedure, calls: "list[_Call]") -> None:
        try:
            parts = await self._run_joined(procedure, [call.rows for call in calls])
        except (Conflict, Invalid) as exc:
            if len(calls) == 1:
                calls[0].fail(exc)
                return
            # Some of them are guilty: halve until they stand alone.
            half = len(calls) // 2
            await self._run(procedure, calls[:half])
            await self._run(procedure, calls[half:])
        except BaseException as exc:
            for call in calls:
                call.fail(_told(exc))
            if not isinstance(exc, Exception):
                raise
        else:
            for call, part in zip(calls, parts, strict=True):
                call.answer(part)

    async def _run_joined(
        self, procedure: Procedure, parts: Sequence[Sequence[Any]]
    ) -> list[list[Any]]:
        rows = parts[0] if len(parts) == 1 else [row for part in parts for row in part]
        for attempt in range(REPEATS):
            try:
                async with self._connection() as db:
                    with in_our_words():
                        found = await Statements(db).procedure_alone(procedure, rows)
                return answers(procedure, [len(part) for part in parts], found)
            except Unavailable as exc:
                if not can_repeat(exc) or attempt == REPEATS - 1:
                    raise
        raise AssertionError


class _Call(msgspec.Struct):
    rows: Sequence[Any]
    done: asyncio.Future[list[Any]]
    since: float

    def answer(self, part: list[Any]) -> None:
        if (
            not self.done.done()
        ):  # otherwise its caller was cancelled; the write is done nevertheless
            self.done.set_result(part)

    def fail(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)
            self.done.exception()


def _told(exc: BaseException) -> Exception:
    """What one caller of a joined run is told."""
    match exc:
        case ConnectionLost():
            error = OutcomeUnknown(_LOST)
        case ClarionError():
            return same(exc)
        case Exception():
            return exc
        case _:
            error = OutcomeUnknown("the server stopped while it wrote")
    error.__cause__ = exc
    return error


async def _commit(opened: "asyncpg.transaction.Transaction") -> Exception | None:
    try:
        with in_our_words():
            await opened.commit()
    except ConnectionLost as exc:
        unknown = OutcomeUnknown(_LOST)
        unknown.__cause__ = exc
        return unknown
    except ClarionError as exc:
        return exc
    return None


async def _finish(task: asyncio.Task[Any]) -> None:
    """Wait for its end even when cancelled; then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled


class _ReadOnly(msgspec.Struct):
    state: str


_READ_ONLY = Sql("SELECT current_setting('transaction_read_only')", _ReadOnly)
_LOST = "the connection to PostgreSQL was lost while it wrote"
