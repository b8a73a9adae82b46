"""The store on SQLite: one writer thread that commits in groups, a small pool of read-only connections.

Writes that wait share one fsync (`synchronous=FULL`); nothing is answered before COMMIT has returned. One process per file, by
a lock on `<file>.lock`. A thread of its own moves the log into the database, beside the commits.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, cast

import apsw
import msgspec

from clarion.clock import Clock
from clarion.errors import Closed, Internal, StorageFull, TooCostly, Unavailable
from clarion.storage.core import DRIVER, Call, Core, Outcome, as_error, fetch
from clarion.storage.sql import check_params, check_reads
from clarion.storage.store import Param, Procedure, R, Sql
from clarion.storage.transaction import IDLE_S, Command, Transaction, refuse_inside
from clarion.telemetry import db_seconds, get_logger

_log = get_logger(__name__)

GROUP_MAX = 512  # members of one commit: bounds how long the first of them waits
CHECKPOINT_PAGES = 4_000  # 16 MB more of log, then it is moved into the database: 5 to 10 ms that no commit waits for
# While reads or writes overlap without a pause the log never begins anew by itself: past 64 MB they are held up for a moment.
RESTART_PAGES = 4 * CHECKPOINT_PAGES
HOLD_UP_S = 0.1  # for reads that run: longer than that no write waits, and it is tried again after CHECKPOINT_PAGES more
READERS = 2  # threads; a reader is as fast as the page cache, more only contend for the interpreter
LOOK_STEPS = 1_000  # of SQLite's machine (about 50 us) between two looks at a read's time
SAY_S = 60.0  # between two lines of the log about a full disk
BUSY_MS = 5_000  # for a lock that only a backup tool could hold

_Future = asyncio.Future[Any]
_Answers = list[tuple[_Future, Any]]


def connect(path: str, *, is_reader: bool = False) -> apsw.Connection:
    """Open a connection as Clarion wants it; raises the driver's errors."""
    db = apsw.Connection(path)
    db.set_busy_timeout(BUSY_MS)
    for pragma in (
        "journal_mode=WAL",
        # FULL: an fsync a commit. NORMAL would lose acknowledged writes with the power.
        "synchronous=FULL",
        "wal_autocheckpoint=0",
        "foreign_keys=ON",
        "cache_size=-65536",
        "temp_store=MEMORY",
        "trusted_schema=OFF",
        f"query_only={'ON' if is_reader else 'OFF'}",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db


class _Turn:
    """An interactive transaction: the writer thread serves its commands until it ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, done: _Future, idle_s: float) -> None:
        self._loop, self._done, self._idle_s = loop, done, idle_s
        self._answer: _Future = done  # what is waited for now
        done.add_done_callback(self._given_up)
        self._commands: queue.SimpleQueue[tuple[Command, _Future] | bool] = queue.SimpleQueue()

    # ── from the loop ──
    async def ask(self, command: Command) -> Any:
        """Have a command run; returns its answer."""
        if self._done.done():
            self._done.result()
        self._answer = self._loop.create_future()
        self._commands.put((command, self._answer))
        return await self._answer

    def _given_up(self, done: _Future) -> None:
        if not self._answer.done() and not done.cancelled() and (exc := done.exception()):
            self._answer.set_exception(exc)

    def end(self, *, commit: bool) -> None:
        """Let the writer go on."""
        self._commands.put(commit)

    # ── in the writer thread ──
    def serve(self, core: Core) -> None:
        """Run commands until the end; raises to roll back."""
        while True:
            try:
                command = self._commands.get(timeout=self._idle_s)
            except queue.Empty:
                raise Unavailable(
                    f"the transaction was idle for {self._idle_s:g} s and was rolled back"
                ) from None
            if command is True:
                return
            if command is False:
                raise _RolledBack
            statement, answer = command
            try:
                out = core.do(statement)
            except Exception as exc:  # noqa: BLE001  whatever it is, the waiting caller gets it
                out = exc
                _post(self._loop, [(answer, out)])
                # On some errors SQLite has ended the whole transaction: let the group know by the same error.
                if isinstance(exc.__cause__, apsw.FullError | apsw.IOError):
                    raise exc.__cause__ from None
            else:
                _post(self._loop, [(answer, out)])


class _RolledBack(Exception):
    """The caller left its block by an exception."""


class SqliteStore:
    """`Store` on one SQLite file. Make it inside the running loop, with the file's lock held (`open_store` does)."""

    engine: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(
        self, path: Path, clock: Clock, release: contextlib.ExitStack, idle_s: float = IDLE_S
    ) -> None:
        # Fixed at creation
        self._clock, self._release, self._idle_s = clock, release, idle_s
        self._loop = asyncio.get_running_loop()
        self._db, self._mover_db = connect(str(path)), connect(str(path))
        self._core = Core(self._db)
        self._waiting: queue.SimpleQueue[tuple[Call | _Turn, _Future] | None] = queue.SimpleQueue()
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for _ in range(READERS):
            self._readers.put(connect(str(path), is_reader=True))
        self._reads_may_begin = threading.Lock()
        self._threads = ThreadPoolExecutor(READERS, "sqlite-reader")
        self._mover = ThreadPoolExecutor(1, "sqlite-checkpoint")
        self._writer = threading.Thread(target=self._write, name="sqlite-writer", daemon=True)
        # Set when a sync has failed: only a new process can say what is on disk.
        self.failed = asyncio.Event()
        # Changes while open
        self._log_pages = self._moved_pages = 0
        self._put_off_to = 0  # pages: reads were too long when the log was to begin anew
        self._moving: Future[None] | None = None
        self._say_again = float("-inf")  # when the log may be told again that the disk is full
        self._is_closed = False
        self._db.set_wal_hook(self._on_log)
        self._writer.start()

    # ── callers, on the loop ──
    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure over rows; returns when the change is on disk."""
        refuse_inside()
        if not rows:
            return []
        started = self._clock.monotonic()
        done = self._join(Call(procedure, rows))
        try:
            return cast(list[Any], await done)
        finally:
            db_seconds.labels(procedure.name).observe(self._clock.monotonic() - started)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several dependent statements, one commit."""
        refuse_inside()
        done: _Future = self._loop.create_future()
        turn = _Turn(self._loop, done, self._idle_s)
        self._enqueue(turn, done)
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
        await done

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Read; sees everything that was answered before."""
        refuse_inside()
        check_reads(sql.text)
        check_params(params)
        if self._is_closed:
            raise Closed("the store is closed")
        started = self._clock.monotonic()
        try:
            found = await self._loop.run_in_executor(self._threads, self._read, sql, params)
            return cast(list[R], found)
        finally:
            db_seconds.labels("fetch").observe(self._clock.monotonic() - started)

    async def ping(self) -> None:
        """Return if the store can read and write now."""
        if self._core.refusal is not None:
            raise Unavailable(self._core.refusal)
        await self.fetch(_ONE)

    async def close(self) -> None:
        """Finish what was begun, then release the file."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waiting.put(None)
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        self._writer.join()
        self._threads.shutdown()
        self._mover.shutdown()
        self._mover_db.close()
        for _ in range(READERS):
            self._readers.get().close()
        # The last connection to close would checkpoint: the readers go first, and the writer's own close does it.
        self._core.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.close()
        self._release.close()

    def _join(self, call: Call) -> _Future:
        done: _Future = self._loop.create_future()
        self._enqueue(call, done)
        return done

    def _enqueue(self, member: Call | _Turn, done: _Future) -> None:
        if self._is_closed:
            raise Closed("the store is closed")
        self._waiting.put((member, done))

    # ── reader threads ──
    def _read(self, sql: Sql[Any], params: dict[str, Param]) -> list[Any]:
        with self._reads_may_begin:
            db = self._readers.get()  # as many connections as threads: never waits
        end = self._clock.monotonic() + sql.within_s
        if sql.within_s:
            db.set_progress_handler(lambda: self._clock.monotonic() > end, LOOK_STEPS)
        try:
            return fetch(db, sql, params)
        except apsw.InterruptError as exc:
            raise TooCostly("the question takes longer than it may") from exc
        except DRIVER as exc:
            raise as_error(exc, db) from exc
        finally:
            if sql.within_s:
                db.set_progress_handler(None)
            self._readers.put(db)

    # ── the writer thread ──
    def _write(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = self._gather(first)
            try:
                outcomes = self._core.run([member for member, _ in group])
            except Exception as exc:  # noqa: BLE001  logged; it must not end the only thread that writes
                _log.exception("a group of writes failed")
                outcomes = [_bug(exc) for _ in group]
            _post(self._loop, [(done, out) for (_, done), out in zip(group, outcomes, strict=True)])
            self._tell_failure()
            self._tell_full(outcomes)
            self._tend_log()

    def _tell_full(self, outcomes: Sequence[Outcome]) -> None:
        now = self._clock.monotonic()
        if now >= self._say_again and any(isinstance(out, StorageFull) for out in outcomes):
            self._say_again = now + SAY_S
            _log.error("nothing can be written: the disk, or a quota, is full")

    def _tell_failure(self) -> None:
        if self._core.refusal is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self.failed.set)

    def _tend_log(self) -> None:
        if self._moving is not None and not self._moving.done():
            return
        has_moved, self._moving = self._moving is not None, None
        if self._log_pages < self._moved_pages:  # it has begun anew
            self._moved_pages = self._put_off_to = 0
        is_full = self._log_pages > max(RESTART_PAGES, self._put_off_to)
        # Right behind a move: what came meanwhile is all that holds up writes.
        if is_full and has_moved:
            if self._restart_log():
                self._log_pages = self._moved_pages = self._put_off_to = 0
            else:
                self._put_off_to = self._log_pages + CHECKPOINT_PAGES
        elif is_full or self._log_pages - self._moved_pages > CHECKPOINT_PAGES:
            self._moved_pages = self._log_pages
            self._moving = self._mover.submit(self._move_log)

    def _move_log(self) -> None:
        self._core.checkpoint(db=self._mover_db)
        self._tell_failure()

    def _restart_log(self) -> bool:
        # SQLite's own waiting for readers was seen to last for its whole time-out (5 s) and then to fail.
        end = self._clock.monotonic() + HOLD_UP_S
        with self._reads_may_begin:
            resting: list[apsw.Connection] = []
            with contextlib.suppress(queue.Empty):
                while len(resting) < READERS:
                    left_s = max(0.0, end - self._clock.monotonic())
                    resting.append(self._readers.get(timeout=left_s))
            is_done = len(resting) == READERS
            if is_done:
                self._db.set_busy_timeout(int(HOLD_UP_S * 1000))  # another program may read, too
                is_done = self._core.checkpoint(apsw.SQLITE_CHECKPOINT_RESTART)
                self._db.set_busy_timeout(BUSY_MS)
            for db in resting:
                self._readers.put(db)
        return is_done

    def _gather(self, first: tuple[Call | _Turn, _Future]) -> list[tuple[Call | _Turn, _Future]]:
        # All that is waiting now and no more: an idle server commits at once, a busy one gathers while it commits.
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._waiting.put(None)
                break
            group.append(more)
        return group

    def _on_log(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK


class _One(msgspec.Struct):
    one: int


_ONE = Sql("SELECT 1", _One)


def _bug(exc: Exception) -> Outcome:
    error = Internal("the write failed")
    error.__cause__ = exc
    return error


def _post(loop: asyncio.AbstractEventLoop, found: _Answers) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
        loop.call_soon_threadsafe(_resolve, found)


def _resolve(found: _Answers) -> None:
    for done, out in found:
        if done.done():  # its caller was cancelled; the write is done nevertheless
            continue
        if isinstance(out, BaseException):
            done.set_exception(out)
            done.exception()  # a caller that went away meanwhile is no reason for a warning
        else:
            done.set_result(out)
