"""The store on SQLite."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import msgspec
import pytest

from clarion.clock import SystemClock
from clarion.errors import Internal, OutcomeUnknown, StorageFull, Unavailable
from clarion.storage import Sql, Store, open_store
from clarion.storage.core import Core
from clarion.storage.sqlite import SqliteStore
from clarion.telemetry import spawn
from tests.conformance.store import IDLE_S, StoreConformance
from tests.support.ledger import APPEND, MIGRATIONS, Entry, lines


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(
        data_dir=tmp_path / "data", clock=SystemClock(), migrations=MIGRATIONS, idle_s=IDLE_S
    )
    yield store
    await store.close()


class TestSqlite(StoreConformance):
    pass


class Pages(msgspec.Struct):
    count: int


# Takes some milliseconds; it looks at a table, so that it holds a place in the log.
COUNT = Sql(
    """WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
       SELECT count(*) + (SELECT count(*) FROM ledger_head) FROM c""",
    Pages,
)


async def test_a_full_database_refuses_and_its_neighbours_go_on(store: Store) -> None:
    """At its largest size a big write is told StorageFull; a transaction, too; reads and small writes go on."""
    await store.apply(APPEND, [Entry("t", "a", "1")])
    async with store.transaction() as tx:
        await tx.fetch(Sql("PRAGMA max_page_count = 40", Pages))
    big = Entry("t", "a", "big", "x" * 300_000)
    outcomes = await asyncio.gather(
        store.apply(APPEND, [Entry("t", "a", "2")]),
        store.apply(APPEND, [big]),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], StorageFull)
    with pytest.raises(StorageFull):
        async with store.transaction() as tx:
            await tx.apply(APPEND, [big])
    assert (await lines(store))[0].id == "1"
    await store.apply(APPEND, [Entry("t", "a", "3")])
    assert "big" not in {line.id for line in await lines(store)}


async def test_after_a_failed_fsync_the_store_is_not_ready(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited does not know the outcome, nobody writes any more, the probe says so, reads go on."""

    def commit(core: Core) -> None:
        core.give_up(OSError("fsync"))
        raise OutcomeUnknown

    monkeypatch.setattr(Core, "commit", commit)
    with pytest.raises(OutcomeUnknown):
        await store.apply(APPEND, [Entry("t", "a", "1")])
    with pytest.raises(Unavailable):
        await store.apply(APPEND, [Entry("t", "a", "2")])
    with pytest.raises(Unavailable):
        async with store.transaction() as tx:
            await tx.apply(APPEND, [Entry("t", "a", "3")])
    with pytest.raises(Unavailable):
        await store.ping()
    assert await lines(store) == []


async def test_a_bug_does_not_end_the_writer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group is told of an internal error, the next one is served."""

    def broken(core: Core) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Core, "commit", broken)
        with pytest.raises(Internal):
            await store.apply(APPEND, [Entry("t", "a", "1")])
    await store.apply(APPEND, [Entry("t", "a", "2")])
    assert [line.id for line in await lines(store)] == ["2"]


async def test_the_log_does_not_grow_without_bound(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past a size the log is moved into the database beside the writes; it is used again from its beginning, also where these never pause."""
    monkeypatch.setattr("clarion.storage.sqlite.CHECKPOINT_PAGES", 100)
    monkeypatch.setattr("clarion.storage.sqlite.RESTART_PAGES", 400)
    for i in range(60):
        await store.apply(APPEND, [Entry("t", "a", str(i), "x" * 4096 * 20)])
    log = os.stat(tmp_path / "data" / "clarion.db-wal").st_size
    assert log < 4096 * 700
    assert len(await lines(store)) == 60


async def test_readers_without_a_pause_do_not_keep_the_log_growing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where reads always overlap, new ones are held up for a moment as soon as the log is four times its size."""
    monkeypatch.setattr("clarion.storage.sqlite.CHECKPOINT_PAGES", 100)
    monkeypatch.setattr("clarion.storage.sqlite.RESTART_PAGES", 400)
    is_over = False

    async def read() -> None:
        while not is_over:
            await store.fetch(COUNT)

    readers = [spawn(read(), name="test") for _ in range(8)]
    for i in range(40):
        await store.apply(APPEND, [Entry("t", "a", str(i), "x" * 4096 * 60)])
    is_over = True
    await asyncio.gather(*readers)
    assert os.stat(tmp_path / "data" / "clarion.db-wal").st_size < 4096 * 1_000


async def test_a_long_read_does_not_hold_up_writes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the log: it begins anew after the read."""
    monkeypatch.setattr("clarion.storage.sqlite.CHECKPOINT_PAGES", 10)
    monkeypatch.setattr("clarion.storage.sqlite.RESTART_PAGES", 40)
    monkeypatch.setattr("clarion.storage.sqlite.HOLD_UP_S", 0.01)
    long = Sql(COUNT.text.replace("20000", "20000000"), Pages)
    reading = spawn(store.fetch(long), name="test: read")
    for i in range(5):
        await store.apply(APPEND, [Entry("t", "a", str(i), "x" * 4096 * 20)])
    assert not reading.done()
    await reading


async def test_another_program_that_reads_does_not_hold_up_writes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that keeps its place in the log keeps the log growing, and nothing else."""
    monkeypatch.setattr("clarion.storage.sqlite.CHECKPOINT_PAGES", 10)
    monkeypatch.setattr("clarion.storage.sqlite.RESTART_PAGES", 40)
    monkeypatch.setattr("clarion.storage.sqlite.HOLD_UP_S", 0.01)
    backup = apsw.Connection(str(tmp_path / "data" / "clarion.db"))
    backup.execute("BEGIN; SELECT count(*) FROM ledger_head").fetchall()
    async with asyncio.timeout(5):  # SQLite's own patience with one
        for i in range(10):
            await store.apply(APPEND, [Entry("t", "a", str(i), "x" * 4096 * 20)])
    backup.close()
