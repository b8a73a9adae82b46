"""The simulator's disk: a `Store` on SQLite without threads and without fsync, in the loop's own (virtual) time.

The same core as on a real file runs the statements; what a writer thread and an fsync take is drawn from a seeded source and
waited with the loop's timers. A crash drops what was not committed; what was committed but not answered has an unknown outcome.
"""

import asyncio
import contextlib
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import apsw

from clarion.clock import Clock
from clarion.errors import ClarionError, Closed, OutcomeUnknown, Unavailable
from clarion.ids import Ids
from clarion.storage.core import DRIVER, Call, Core, as_error, fetch
from clarion.storage.migrate import MIGRATIONS, migrate_sqlite
from clarion.storage.sql import check_params, check_reads
from clarion.storage.sqlite import GROUP_MAX
from clarion.storage.store import Param, Procedure, R, Sql
from clarion.storage.transaction import IDLE_S, Statement, Transaction, refuse_inside
from clarion.telemetry import db_seconds

LATENCY_S = (0.0001, 0.003)  # of a group, of its answer, of a statement, of a read


class Disk:
    """What survives a crash: a file that is never synced, in memory where the machine has a folder for that.

    Not `:memory:`, whose second connection would see, or wait for, what the writer has not committed.
    """

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        self._folder = tempfile.TemporaryDirectory(
            prefix="clarion-disk-", dir=shared if os.access(shared, os.W_OK) else None
        )

    def connect(self) -> apsw.Connection:
        """Another connection to the same data."""
        db = apsw.Connection(f"{self._folder.name}/clarion.db")
        for pragma in (
            "journal_mode=WAL",
            "synchronous=OFF",
            "foreign_keys=ON",
            "temp_store=MEMORY",
        ):
            db.execute(f"PRAGMA {pragma}")
        return db

    def close(self) -> None:
        """Forget everything."""
        self._folder.cleanup()


class MemoryStore:
    """`Store` without threads. One per life of a node; the next life opens another on the same disk."""

    engine: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(
        self,
        disk: Disk,
        clock: Clock,
        ids: Ids,
        *,
        migrations: Path = MIGRATIONS,
        latency_s: tuple[float, float] = LATENCY_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._clock, self._ids, self._latency_s, self._idle_s = clock, ids, latency_s, idle_s
        self._loop = asyncio.get_running_loop()
        self._db, self._reader = disk.connect(), disk.connect()
        migrate_sqlite(self._db, migrations, clock, contract=True)
        self._core = Core(self._db)
        # Members in the order of their asking; the first is served when the writer is free.
        self._waiting: deque[tuple[Call | _Turn, asyncio.Future[Any]]] = deque()
        self._is_busy = False
        self._unanswered: dict[asyncio.Future[Any], None] = {}
        self._timers: dict[asyncio.TimerHandle, None] = {}
        self._is_closed = False
        self._has_crashed = False

    # ── callers ──
    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure over rows; returns when the change is on disk."""
        refuse_inside()
        self._refuse_closed()
        if not rows:
            return []
        started = self._clock.monotonic()
        try:
            found: list[Any] = await self._enqueue(Call(procedure, rows))
            return found
        finally:
            db_seconds.labels(procedure.name).observe(self._clock.monotonic() - started)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several dependent statements, one commit."""
        refuse_inside()
        self._refuse_closed()
        turn = _Turn(self)
        turn.done = self._enqueue(turn)
        tx = Transaction(turn.ask)
        try:
            with tx.opened():
                yield tx
            if tx.failure is not None:
                raise tx.failure
        except BaseException:
            turn.end(commit=False)
            raise
        turn.end(commit=True)
        await turn.done

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Read; sees everything that was answered before."""
        refuse_inside()
        check_reads(sql.text)
        check_params(params)
        self._refuse_closed()
        await self.pause()
        try:
            found: list[R] = fetch(self._reader, sql, params)
        except DRIVER as exc:
            raise as_error(exc, self._reader) from exc
        return found

    async def ping(self) -> None:
        """Return if the store can be used."""
        self._refuse_closed()

    async def close(self) -> None:
        """Finish what was begun."""
        if self._has_crashed or self._is_closed:
            return
        self._is_closed = True
        while self._unanswered:
            await asyncio.wait(tuple(self._unanswered))
        self._db.close()
        self._reader.close()

    def crash(self) -> None:
        """Lose what is not committed, and every answer that is on its way."""
        self._has_crashed = self._is_closed = True
        for timer in self._timers:
            timer.cancel()
        self._core.abandon()
        for future in tuple(self._unanswered):
            _settle(future, OutcomeUnknown("the node crashed"))
        self._waiting.clear()
        self._db.close()
        self._reader.close()

    # ── the writer ──
    async def pause(self) -> None:
        """Wait as long as the disk takes."""
        ready: asyncio.Future[Any] = self._loop.create_future()
        self._unanswered[ready] = None
        ready.add_done_callback(self._unanswered.pop)
        self._later(_settle, ready, None)
        await ready

    def _enqueue(self, member: "Call | _Turn") -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = self._loop.create_future()
        self._unanswered[done] = None
        done.add_done_callback(self._unanswered.pop)
        self._waiting.append((member, done))
        self._serve_next()
        return done

    def _serve_next(self) -> None:
        if not self._is_busy and self._waiting:
            self._is_busy = True
            self._later(self._serve)

    def _serve(self) -> None:
        member, done = self._waiting[0]
        if isinstance(member, _Turn):
            self._waiting.popleft()
            member.start(self._core)
            return
        group: list[tuple[Call, asyncio.Future[Any]]] = []
        while self._waiting and len(group) < GROUP_MAX:
            member, done = self._waiting[0]
            if not isinstance(member, Call):
                break
            group.append((member, done))
            self._waiting.popleft()
        outcomes = self._core.run([call for call, _ in group])
        for (_, done), outcome in zip(group, outcomes, strict=True):
            self._later(_settle, done, outcome)
        self.writer_is_free()

    def writer_is_free(self) -> None:
        """Let the next one write."""
        self._is_busy = False
        self._serve_next()

    def _later(self, callback: Callable[..., None], *args: Any) -> None:
        self.after(self._ids.uniform(*self._latency_s), callback, *args)

    def after(
        self, seconds: float, callback: Callable[..., None], *args: Any
    ) -> asyncio.TimerHandle:
        """Call back unless the node crashes first."""

        def fire() -> None:
            self._timers.pop(timer, None)
            callback(*args)

        timer = self._loop.call_later(seconds, fire)
        self._timers[timer] = None
        return timer

    @property
    def idle_s(self) -> float:
        """After which a silent transaction is rolled back."""
        return self._idle_s

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise Closed("the store is closed")


class _Turn:
    """An open transaction: holds the writer from `start` to its end."""

    done: asyncio.Future[Any]

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._core: Core | None = None
        self._started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._idle: asyncio.TimerHandle | None = None
        self._wish: bool | None = None  # how its caller ended it before it had started

    def start(self, core: Core) -> None:
        self._core = core
        core.begin()
        if self._wish is not None:
            self.end(commit=self._wish)
            return
        _settle(self._started, None)
        self._rest()

    async def ask(self, statement: Statement) -> Any:
        await asyncio.wait([self._started, self.done], return_when=asyncio.FIRST_COMPLETED)
        if self.done.done():
            return self.done.result()
        await self._store.pause()
        if self.done.done() or self._core is None:
            return self.done.result()
        try:
            return self._core.do(statement)
        finally:
            self._rest()

    def end(self, *, commit: bool) -> None:
        if self.done.done():
            return
        if self._core is None:
            self._wish = commit
            return
        if self._idle is not None:
            self._idle.cancel()
        outcome: Any = None
        try:
            if commit:
                self._core.commit()
        except ClarionError as exc:
            outcome = exc
        self._core.abandon()
        _settle(self.done, outcome)
        self._store.writer_is_free()

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._store.after(self._store.idle_s, self._give_up)

    def _give_up(self) -> None:
        if self._core is not None and not self.done.done():
            self._core.abandon()
            _settle(self.done, Unavailable("the transaction was idle and was rolled back"))
            self._store.writer_is_free()


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
        future.exception()
    else:
        future.set_result(outcome)
