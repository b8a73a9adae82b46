"""Logs are trimmed from the oldest entry on, in slices, on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct

from clarion.clock import SystemClock
from clarion.storage import Sql, Store, logs, open_store
from clarion.storage.logs import Logs
from clarion.storage.slices import total
from tests.support.services import Postgres

INBOXES = Logs("inbox_change", "inbox_head", "usr")
HEAD = Sql(
    "INSERT INTO inbox_head (tenant, usr, epoch, top, mark, unread) VALUES (:tenant, :usr, '0', :top, 0, 0)"
)
ENTRY = Sql(
    """INSERT INTO inbox_change (tenant, usr, off, mark, prior, event, carries, data, unread, at_ms)
       VALUES (:tenant, :usr, :off, 0, 0, 'e', '', '', 0, :at_ms)"""
)


class Offset(Struct, frozen=True):
    off: int


LEFT = Sql(
    "SELECT off FROM inbox_change WHERE tenant = :tenant AND usr = :usr ORDER BY off", Offset
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = await server.new_database()
    opened = await open_store(url=url, data_dir=tmp_path, clock=SystemClock())
    yield opened
    await opened.close()


async def write(store: Store, tenant: str, usr: str, *times: int) -> None:
    """A log whose entries were written at these times."""
    async with store.transaction() as tx:
        await tx.execute(HEAD, tenant=tenant, usr=usr, top=len(times))
        for off, at_ms in enumerate(times, 1):
            await tx.execute(ENTRY, tenant=tenant, usr=usr, off=off, at_ms=at_ms)


async def left(store: Store, tenant: str, usr: str) -> list[int]:
    return [row.off for row in await store.fetch(LEFT, tenant=tenant, usr=usr)]


async def test_what_is_beyond_the_newest_or_too_old_goes_slice_by_slice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many logs of many tenants, however long; the others stay as they are, and a second run has nothing to do."""
    monkeypatch.setattr(logs, "HEADS", 2)
    monkeypatch.setattr(logs, "LOGS", 2)
    monkeypatch.setattr(logs, "ENTRIES", 3)
    for tenant in ("a", "b"):
        await write(store, tenant, "long", *[9] * 20)
        await write(store, tenant, "old", *[1] * 7)
        await write(store, tenant, "half", 1, 1, 1, 1, 9)
        await write(store, tenant, "short", 9, 9)
        await write(store, tenant, "empty")
    slices = [count async for count in INBOXES.trim(store, keep=5, before_ms=5)]
    assert sum(slices) == 2 * (15 + 7 + 4)
    assert max(slices) <= 2 * 3
    for tenant in ("a", "b"):
        assert await left(store, tenant, "long") == [16, 17, 18, 19, 20]
        assert await left(store, tenant, "old") == []
        assert await left(store, tenant, "half") == [5]
        assert await left(store, tenant, "short") == [1, 2]
    assert await total(INBOXES.trim(store, keep=5, before_ms=5)) == 0


async def test_no_hole_is_left_where_clocks_differ(store: Store) -> None:
    """An entry between two that are too old goes with them: what is left of a log is its end."""
    await write(store, "t", "u", 1, 9, 1, 9, 9)
    await total(INBOXES.trim(store, keep=100, before_ms=5))
    assert await left(store, "t", "u") == [4, 5]
