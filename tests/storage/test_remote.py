"""The store of a worker keeps the promises of a store, and says what became of a write when the owner goes away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.clock import SystemClock
from clarion.errors import OutcomeUnknown, Unavailable
from clarion.storage import Store, open_store
from clarion.storage.remote import RemoteStore
from clarion.storage.serving import StoreService
from clarion.telemetry import spawn
from tests.conformance.store import IDLE_S, StoreConformance
from tests.support.ledger import APPEND, MIGRATIONS, Entry, lines
from tests.support.owner import linked, owning


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(
        data_dir=tmp_path / "data", clock=SystemClock(), migrations=MIGRATIONS, idle_s=IDLE_S
    )
    yield opened
    await opened.close()


@pytest.fixture
async def store(file: Store, tmp_path: Path) -> AsyncIterator[Store]:
    path = tmp_path / "owner.sock"
    async with owning(path, [lambda: StoreService(file)]), linked(path) as link:
        yield RemoteStore(link, SystemClock())


class TestRemote(StoreConformance):
    pass


async def test_a_lost_owner_is_told_as_what_it_means(file: Store, tmp_path: Path) -> None:
    """A write that was sent is `outcome_unknown`; a transaction without its last word, and what is asked while nobody is there, `unavailable`."""
    path = tmp_path / "owner.sock"
    services = [lambda: StoreService(file)]
    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(owning(path, services))
        async with linked(path) as link:
            store = RemoteStore(link, SystemClock())
            inside, lost = asyncio.Event(), asyncio.Event()

            async def torn() -> None:
                async with store.transaction() as tx:
                    await tx.apply(APPEND, [Entry("t", "a", "torn")])
                    inside.set()
                    await lost.wait()
                    await tx.apply(APPEND, [Entry("t", "a", "late")])

            tearing = spawn(torn(), name="torn")
            await inside.wait()
            # It waits for the transaction.
            writing = spawn(store.apply(APPEND, [Entry("t", "a", "unknown")]), name="unknown")
            await asyncio.sleep(0)
            await first.aclose()
            with pytest.raises(OutcomeUnknown):
                await writing
            lost.set()
            with pytest.raises(Unavailable) as while_away:
                await tearing
            assert not isinstance(while_away.value, OutcomeUnknown)
            back = asyncio.Event()
            link.on_back(back.set)
            async with owning(path, services):
                await back.wait()
                await store.apply(APPEND, [Entry("t", "a", "after")])
                found = [line.id for line in await lines(store)]
    assert found[-1] == "after"
    assert set(found) <= {"unknown", "after"}
