"""Stores with Clarion's own tables, one fixture an engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.clock import LoopClock, SystemClock
from clarion.ids import Ids
from clarion.storage import Store, open_store
from tests.support.memory_store import Disk, MemoryStore
from tests.support.services import Postgres


@pytest.fixture(name="store")
async def sqlite_store(self: object, tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(data_dir=tmp_path, clock=SystemClock())
    yield store
    await store.close()


@pytest.fixture(name="store")
async def postgres_store(self: object, postgres: Postgres, tmp_path: Path) -> AsyncIterator[Store]:
    async with postgres.database() as url:
        store = await open_store(url=url, data_dir=tmp_path, clock=SystemClock())
        yield store
        await store.close()


@pytest.fixture(name="store")
async def memory_store(self: object) -> AsyncIterator[Store]:
    disk = Disk()
    store = MemoryStore(disk, LoopClock(), Ids.seeded(1))
    yield store
    await store.close()
    disk.close()
