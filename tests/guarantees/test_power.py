"""A power cut at any moment: every answered row is there, whatever the disk has done with what was not synced."""

from pathlib import Path

import apsw
import pytest

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.storage import open_store, sqlite
from tests.support.ledger import APPEND, MIGRATIONS, Entry
from tests.support.recording_vfs import Cut, Event, Files, RecordingVfs, cuts

WRITES = 60
NOTE = "x" * 600
FOUND = "SELECT id FROM ledger ORDER BY off"


@pytest.fixture
async def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Files, list[Event]]:
    """What a store does to its files: commits, checkpoints, and a log that begins anew."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(sqlite, "RESTART_PAGES", 60)
    folder = tmp_path / "data"
    vfs = RecordingVfs(folder)
    try:
        store = await open_store(data_dir=folder, clock=SystemClock(), migrations=MIGRATIONS)
        await store.apply(APPEND, [Entry("t", "a", "first")])
        start = vfs.files()
        vfs.events.clear()
        for n in range(WRITES):
            await store.apply(APPEND, [Entry("t", "a", f"{n}", NOTE)])
            vfs.note("acked", f"{n}")
        await store.close()
    finally:
        vfs.close()
    return start, vfs.events


def wrong_with(cut: Cut, folder: Path) -> list[str]:
    """What is wrong after the power is back."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in cut.files.items():
        if not name.endswith("-shm"):  # memory
            (folder / name).write_bytes(data)
    db = apsw.Connection(str(folder / "clarion.db"))
    try:
        [[state]] = db.execute("PRAGMA integrity_check").fetchall()
        found = [id for (id,) in db.execute(FOUND).fetchall()]
    finally:
        db.close()
    expected = ["first", *cut.acked]
    # One row may be there whose answer was never given.
    wrong = [] if state == "ok" else [state]
    return wrong if found[: len(expected)] == expected else [*wrong, f"{cut.how}: {found[-3:]}"]


async def test_every_answered_row_survives(
    recorded: tuple[Files, list[Event]], tmp_path: Path
) -> None:
    """Before and after each sync, with nothing of what was not synced, with all of it, and with some sectors of it in another order."""
    start, events = recorded
    synced = {event.name for event in events if event.kind == "sync"}
    assert synced == {"clarion.db", "clarion.db-wal"}
    some = list(cuts(start, events, Ids.seeded(1)))
    assert len(some) > 3 * WRITES
    assert [wrong for cut in some for wrong in wrong_with(cut, tmp_path / "left")] == []


async def test_a_disk_that_lies_is_found_out(
    recorded: tuple[Files, list[Event]], tmp_path: Path
) -> None:
    """Where a sync of the log does nothing, answered rows are lost, and the test above would say so."""
    start, events = recorded
    lying = list(cuts(start, events, Ids.seeded(1), deaf="-wal"))
    assert any(wrong_with(cut, tmp_path / "left") for cut in lying)
