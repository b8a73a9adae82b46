"""What a group of writes does when the disk fails: on a real SQLite whose connection can be told to fail."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from clarion.clock import ManualClock
from clarion.errors import Conflict, Internal, Invalid, OutcomeUnknown, StorageFull, Unavailable
from clarion.storage import Sql
from clarion.storage.core import Call, Core, as_error
from clarion.storage.migrate import migrate_sqlite
from clarion.storage.transaction import Statement
from tests.support.ledger import APPEND, MIGRATIONS, START, Entry, Position


class Disk:
    """A connection that fails at the statements it is told to."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        self.fails: dict[str, apsw.Error] = {}
        self.system_errno = 0

    def execute(self, text: str, *args: Any) -> Any:
        for start, error in self.fails.items():
            if text.startswith(start):
                raise error
        return self.db.execute(text, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)


class Turn:
    def __init__(self, work: Callable[[Core], None]) -> None:
        self.serve = work


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    migrate_sqlite(disk.db, MIGRATIONS, ManualClock(), contract=False)
    yield disk
    disk.db.close()


@pytest.fixture
def core(disk: Disk) -> Core:
    return Core(disk)  # type: ignore[arg-type]


def call(id: str, note: str = "x") -> Call:
    return Call(APPEND, [Entry("t", "a", id, note)])


def stored(disk: Disk) -> list[str]:
    return [str(id) for (id,) in disk.db.execute("SELECT id FROM ledger ORDER BY off").fetchall()]


def test_a_group_is_committed_once_in_order(core: Core, disk: Disk) -> None:
    """Calls around a transaction run in the order of their asking, under one commit."""
    commits = 0

    def count() -> bool:
        nonlocal commits
        commits += 1
        return False

    disk.db.set_commit_hook(count)
    turn = Turn(lambda core: core.do(Statement("apply", APPEND, [Entry("t", "a", "3")])) and None)
    outcomes = core.run([call("1"), call("2"), turn, call("4")])
    assert outcomes == [[Position(1, 1)], [Position(1, 2)], [], [Position(1, 4)]]
    assert stored(disk) == ["1", "2", "3", "4"]
    assert commits == 1


def test_members_that_fail_take_nobody_with_them(core: Core, disk: Disk) -> None:
    """A constraint, a transaction that raises, a bug in a row: each told to its own caller."""

    def fail(core: Core) -> None:
        core.do(Statement("execute", START, {"tenant": "t", "book": "z"}))
        raise LookupError

    outcomes = core.run([call("1"), call("2", ""), Turn(fail), call("3"), Call(APPEND, [object()])])
    assert [type(o) for o in outcomes] == [list, Conflict, LookupError, list, AttributeError]
    assert stored(disk) == ["1", "3"]
    assert disk.db.execute("SELECT count(*) FROM ledger_head").fetchall() == [(1,)]


def test_a_failed_fsync_at_commit_is_an_unknown_outcome_and_ends_all_writing(
    core: Core, disk: Disk
) -> None:
    """The rows may be there after a restart: nobody is told yes or no, and nothing more is written to such a disk."""
    disk.fails["COMMIT"] = apsw.IOError("fsync")
    outcomes = core.run([call("1"), call("2")])
    assert [type(o) for o in outcomes] == [OutcomeUnknown, OutcomeUnknown]
    assert outcomes[0] is not outcomes[1]
    disk.fails.clear()
    [after] = core.run([call("3")])
    assert type(after) is Unavailable
    assert "restarted" in str(after)
    assert stored(disk) == []


@pytest.mark.parametrize(
    ("error", "errno"), [(apsw.FullError("full"), 0), (apsw.IOError("write"), 122)]
)
def test_a_full_disk_at_commit_is_told_as_such(
    core: Core, disk: Disk, error: apsw.Error, errno: int
) -> None:
    """No room, or no quota left: nothing is stored for certain, and later writes may try again."""
    error.extendedresult = apsw.SQLITE_IOERR_WRITE  # type: ignore[attr-defined]
    disk.fails["COMMIT"], disk.system_errno = error, errno
    assert [type(o) for o in core.run([call("1"), call("2")])] == [StorageFull, StorageFull]
    disk.fails.clear()
    assert core.run([call("3")]) == [[Position(1, 1)]]


def test_a_database_that_others_hold_is_unavailable(core: Core, disk: Disk) -> None:
    """BEGIN fails: nothing was begun."""
    disk.fails["BEGIN"] = apsw.BusyError("busy")
    assert [type(o) for o in core.run([call("1")])] == [Unavailable]


def test_an_io_error_in_a_statement_loses_the_group_and_nothing_else(
    core: Core, disk: Disk
) -> None:
    """Before the commit nothing is stored for certain; the next group is served."""
    disk.fails["INSERT INTO ledger_head"] = apsw.IOError("read")
    assert [type(o) for o in core.run([call("1"), call("2")])] == [Unavailable, Unavailable]
    disk.fails.clear()
    assert core.run([call("3")]) == [[Position(1, 1)]]


def test_a_transaction_that_sqlite_has_ended_by_itself_is_not_continued(
    core: Core, disk: Disk
) -> None:
    """On some errors SQLite rolls back everything: what follows must not run outside of a transaction, and commit."""

    def end_it(core: Core) -> None:
        disk.db.execute("ROLLBACK")
        raise apsw.FullError("database or disk is full")

    assert [type(o) for o in core.run([call("1"), Turn(end_it), call("2")])] == [StorageFull] * 3
    assert stored(disk) == []
    assert not disk.db.in_transaction


def test_a_savepoint_that_cannot_be_undone_loses_the_group(core: Core, disk: Disk) -> None:
    """Then nobody knows what the transaction holds."""
    disk.fails["ROLLBACK TO"] = apsw.CorruptError("torn")
    assert [type(o) for o in core.run([call("1"), call("2", "")])] == [Unavailable, Unavailable]
    assert stored(disk) == []


def test_a_rollback_that_fails_ends_all_writing(core: Core, disk: Disk) -> None:
    """A transaction that can be neither committed nor rolled back."""
    disk.fails |= {"COMMIT": apsw.BusyError("busy"), "ROLLBACK": apsw.IOError("read")}
    assert [type(o) for o in core.run([call("1")])] == [Unavailable]
    assert core.refusal is not None


def test_a_bug_in_the_group_is_raised_and_rolled_back(
    core: Core, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the database's error: the caller of the core hears of it, and the next group is served."""

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(core, "commit", broken)
    with pytest.raises(ZeroDivisionError):
        core.run([call("1")])
    monkeypatch.undo()
    assert core.run([call("2")]) == [[Position(1, 1)]]


def test_checkpoints_that_fail(core: Core, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk puts it off, a failed fsync ends all writing."""
    error: apsw.Error = apsw.FullError("full")

    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(disk, "wal_checkpoint", fail, raising=False)
    core.checkpoint()
    assert core.refusal is None
    error = apsw.IOError("fsync")
    core.checkpoint()
    assert core.refusal is not None


def test_errors_in_our_words(disk: Disk, tmp_path: Path) -> None:
    """What SQLite says is kept as the cause, never in the message: it may quote values."""
    known = {
        apsw.ConstraintError: Conflict,
        apsw.TooBigError: Invalid,
        apsw.FullError: StorageFull,
        apsw.IOError: Unavailable,
        apsw.LockedError: Unavailable,
        apsw.ReadOnlyError: Unavailable,
        apsw.SQLError: Internal,
    }
    for theirs, ours in known.items():
        error = as_error(theirs("secret"), disk.db)
        assert type(error) is ours
        assert "secret" not in error.message
    with pytest.raises(Internal, match="must name its result"):
        Core(disk.db).do(Statement("fetch", Sql("SELECT 1"), {}))
