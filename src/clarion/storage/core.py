"""What one SQLite connection does for a group of writes: begin, run each behind a savepoint, commit once.

No threads, no futures, no clock: the writer thread of `sqlite.py` calls it, and a simulation can call it in its own time. One
member that fails takes nobody with it; calls of the same procedure are joined into one set-based run and taken apart
again when it fails.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Protocol, cast

import apsw
import msgspec

from clarion.errors import (
    ClarionError,
    Conflict,
    Internal,
    Invalid,
    OutcomeUnknown,
    StorageFull,
    Unavailable,
)
from clarion.storage.sql import answers, for_sqlite, pack
from clarion.storage.store import Param, Procedure, Sql
from clarion.storage.transaction import Command, Statement, same
from clarion.telemetry import get_logger

_log = get_logger(__name__)

DRIVER: Final = (apsw.Error, OverflowError, UnicodeEncodeError)
"""All that apsw raises: the last two for a number beyond 64 bits and for half of a surrogate pair."""

Outcome = list[Any] | Exception
"""What a member of a group is told: its rows, or why nothing of it is stored."""


class Call(msgspec.Struct, frozen=True):
    """One caller's run of a procedure."""

    procedure: Procedure
    rows: Sequence[Any]


class Turn(Protocol):
    """A transaction that takes its turn in a group: works on the core until it returns (commit) or raises (roll back)."""

    def serve(self, core: "Core") -> None:
        """Run its statements."""
        ...


class _GroupLost(Exception):
    """Nothing of the group can be committed; `__cause__` says why."""


class Core:
    """The writing side of one SQLite database."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.refusal: str | None = None
        """Why nothing is written any more: after a failed fsync nobody knows what is on disk (the kernel may have dropped it)."""

    # ── a group ──
    def run(self, group: Sequence[Call | Turn]) -> list[Outcome]:
        """Run the members in order and commit once; returns what each is told.

        An exception that is not the database's (a bug) is rolled back and raised.
        """
        try:
            self.begin()
            try:
                outcomes = list(self._run_members(group))
            except _GroupLost as lost:
                raise as_error(lost.__cause__, self._db) from lost.__cause__
            self.commit()
        except ClarionError as exc:
            self.abandon()
            return [same(exc) for _ in group]
        except BaseException:
            self.abandon()
            raise
        return outcomes

    def _run_members(self, group: Sequence[Call | Turn]) -> Iterator[Outcome]:
        for procedure, run in groupby(
            group, lambda m: m.procedure if isinstance(m, Call) else None
        ):
            if procedure is not None:
                yield from self._run_calls(procedure, [cast(Call, call).rows for call in run])
                continue
            for turn in run:
                yield self._run_turn(cast(Turn, turn))

    def _run_calls(self, procedure: Procedure, parts: Sequence[Sequence[Any]]) -> list[Outcome]:
        joined = parts[0] if len(parts) == 1 else [row for rows in parts for row in rows]
        try:
            found = self.behind_savepoint(lambda: self._procedure(procedure, joined))
        except Exception as exc:
            if isinstance(exc, _GroupLost):
                raise
            if len(parts) == 1:
                return [exc]
            # Some of them are guilty: halve until they stand alone. In order, because the law speaks of an order.
            half = len(parts) // 2
            return self._run_calls(procedure, parts[:half]) + self._run_calls(
                procedure, parts[half:]
            )
        return list[Outcome](answers(procedure, [len(rows) for rows in parts], found))

    def _run_turn(self, turn: Turn) -> Outcome:
        try:
            self.behind_savepoint(lambda: turn.serve(self))
        except _GroupLost:
            raise
        except Exception as exc:  # noqa: BLE001  whatever it is, its caller gets it
            return exc
        return []

    # ── the transaction ──
    def begin(self) -> None:
        """Become the writer.

        Raises:
            Unavailable: Somebody else holds the database, or writing was given up.
        """
        if self.refusal is not None:
            raise Unavailable(self.refusal)
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except apsw.Error as exc:
            raise as_error(exc, self._db) from exc

    def commit(self) -> None:
        """Put on disk what was run since `begin`.

        Raises:
            StorageFull: No room: nothing of it is stored.
            OutcomeUnknown: An I/O error; the rows may be there after a restart. Nothing is written from now on.
        """
        try:
            self._db.execute("COMMIT")
        except apsw.Error as exc:
            error = as_error(exc, self._db)
            if isinstance(exc, apsw.IOError) and not isinstance(error, StorageFull):
                # The frames may have reached the file although the call failed: seen to reappear after kill -9.
                self.give_up(exc)
                error = OutcomeUnknown("the disk failed while the write was committed")
            raise error from exc

    def abandon(self) -> None:
        """Forget what was run since `begin`, if that is still open."""
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except apsw.Error as exc:
                self.give_up(exc)

    def behind_savepoint(self, work: Callable[[], Any]) -> Any:
        """Run `work`; if it raises, undo just this and raise the error in our words."""
        self._db.execute("SAVEPOINT member")
        try:
            out = work()
        except Exception as exc:
            self._undo_savepoint(exc)
            if isinstance(exc, DRIVER):
                raise as_error(exc, self._db) from exc
            raise
        self._db.execute("RELEASE member")
        return out

    def _undo_savepoint(self, exc: Exception) -> None:
        # On a full disk or an I/O error SQLite may end the whole transaction by itself: a savepoint that followed would
        # silently start, and commit, one of its own.
        if not self._db.in_transaction:
            raise _GroupLost from exc
        try:
            self._db.execute("ROLLBACK TO member; RELEASE member")
        except apsw.Error as undoing:
            raise _GroupLost from undoing
        if isinstance(exc, apsw.IOError):
            raise _GroupLost from exc

    # ── statements ──
    def do(self, command: Command) -> Any:
        """Run one statement of a transaction, or several.

        Raises:
            ClarionError: The database refused it.
        """
        if not isinstance(command, Statement):
            return [self.do(each) for each in command]
        try:
            match command.verb:
                case "apply":
                    procedure, rows = (
                        cast(Procedure, command.what),
                        cast(Sequence[Any], command.given),
                    )
                    return answers(procedure, [len(rows)], self._procedure(procedure, rows))[0]
                case "fetch":
                    return fetch(self._db, cast(Sql[Any], command.what), _params(command))
                case "execute":
                    self._db.execute(
                        for_sqlite(cast(Sql[Any], command.what).text), _params(command)
                    )
                    return self._db.changes()
        except DRIVER as exc:
            raise as_error(exc, self._db) from exc

    def _procedure(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        packed = {"rows": pack(rows)}
        found: list[Any] = []
        for step in procedure.steps:
            found = list(self._db.execute(for_sqlite(step.text, procedure.row), packed))
        return found

    # ── the disk ──
    def checkpoint(
        self, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE, db: apsw.Connection | None = None
    ) -> bool:
        """Move what is in the log into the database; never two at once.

        Args:
            mode: How; PASSIVE waits for nobody.
            db: Another connection, in whose thread this is called; None: the writer's own.

        Returns:
            Whether it was done.
        """
        try:
            (db or self._db).wal_checkpoint(mode=mode)
            return True
        except apsw.IOError as exc:
            self.give_up(exc)
        except apsw.Error as exc:
            _log.warning("checkpoint put off", reason=str(exc))
        return False

    def give_up(self, exc: Exception) -> None:
        """Write nothing from now on."""
        if self.refusal is None:
            self.refusal = (
                f"the disk failed ({exc}): nothing is written until the server is restarted"
            )
            _log.error("the database is closed to writes", reason=str(exc))


def fetch(db: apsw.Connection, sql: Sql[Any], params: Mapping[str, Param]) -> list[Any]:
    """Rows of a statement as structs; raises the driver's errors."""
    rows = db.execute(for_sqlite(sql.text), params)
    if sql.result is None:
        raise Internal(f"a statement that is fetched must name its result: {sql.text[:60]!r}")
    return [sql.result(*row) for row in rows]


def as_error(exc: BaseException | None, db: apsw.Connection) -> ClarionError:
    """A failure of SQLite in our words. What it says stays in the cause: it may quote values."""
    match exc:
        case apsw.ConstraintError() if _code(exc) == apsw.SQLITE_CONSTRAINT_DATATYPE:
            return Invalid("a value does not fit its column")
        case OverflowError() | UnicodeEncodeError():
            return Invalid("a value does not fit its column")
        case apsw.ConstraintError():
            return Conflict("it contradicts what is stored")
        case apsw.TooBigError():
            return Invalid("a value is too long to be stored")
        case apsw.FullError():
            return StorageFull("no room left in the database or on its disk")
        case apsw.IOError() if _code(exc) == apsw.SQLITE_IOERR_WRITE and db.system_errno in {
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
        }:
            return StorageFull("no room left: a quota or a file size limit was reached")
        case apsw.IOError() | apsw.BusyError() | apsw.LockedError() | apsw.InterruptError():
            return Unavailable("the database cannot be written or read now")
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.CorruptError() | apsw.NotADBError():
            return Unavailable("the database file cannot be used")
        case ClarionError():
            return exc
        case _:
            return Internal("a statement is wrong")


def _code(exc: apsw.Error) -> int:
    return int(getattr(exc, "extendedresult", 0))  # the stubs of apsw don't know it


def _params(statement: Statement) -> Mapping[str, Param]:
    return cast(Mapping[str, Param], statement.given)
