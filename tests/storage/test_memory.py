"""The simulator's stand-in keeps the promises of a store, in virtual time, and crashes on request."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from clarion.clock import LoopClock
from clarion.errors import Closed, OutcomeUnknown
from clarion.ids import Ids
from clarion.storage import Store
from clarion.telemetry import spawn
from tests.conformance.store import IDLE_S, StoreConformance
from tests.support.ledger import APPEND, MIGRATIONS, Entry, assert_gapless, lines
from tests.support.memory_store import Disk, MemoryStore


def opened(disk: Disk, seed: int = 1, idle_s: float = IDLE_S) -> MemoryStore:
    return MemoryStore(disk, LoopClock(), Ids.seeded(seed), migrations=MIGRATIONS, idle_s=idle_s)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    disk = Disk()
    store = opened(disk)
    yield store
    await store.close()
    disk.close()


class TestMemory(StoreConformance):
    pass


async def live(store: Store, life: int, calls: int) -> tuple[list[str], list[str]]:
    """Write under load; returns what was acknowledged, and what has an unknown outcome."""
    acknowledged: list[str] = []
    unknown: list[str] = []

    async def call(caller: int) -> None:
        for count in range(calls):
            id = f"{life}-{caller}-{count}"
            try:
                if count % 5 == 4:
                    async with store.transaction() as tx:
                        await tx.apply(APPEND, [Entry("t", "a", id)])
                else:
                    await store.apply(APPEND, [Entry("t", "a", id)])
            except OutcomeUnknown:
                unknown.append(id)
                return
            except Closed:
                return
            acknowledged.append(id)

    await asyncio.gather(*(call(caller) for caller in range(10)))
    return acknowledged, unknown


@pytest.mark.parametrize("seed", range(5))
async def test_a_crash_loses_what_is_not_committed_and_only_that(seed: int) -> None:
    """Five lives on one disk, each ended by a crash: what was acknowledged is there, the rest is there or not, without a gap."""
    disk, chance = Disk(), Ids.seeded(seed)
    acknowledged: list[str] = []
    unknown: list[str] = []
    for life in range(5):
        store = opened(disk, seed * 10 + life)
        living = spawn(live(store, life, 1_000_000), name="life")
        await asyncio.sleep(chance.uniform(0.005, 0.05))
        store.crash()
        in_vain, lost = await living
        acknowledged += in_vain
        unknown += lost
    store = opened(disk)
    found = await lines(store)
    await store.close()
    disk.close()
    assert len(acknowledged) > 20
    assert_gapless(found)
    assert set(acknowledged) <= {line.id for line in found} <= set(acknowledged) | set(unknown)
    assert unknown


class VirtualTime(selectors.BaseSelector):
    """A selector that never waits: it lets the loop's time jump to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing can ever happen again"
        self.now += timeout
        return self._real.select(0)

    def register(self, *args: Any) -> Any:
        return self._real.register(*args)

    def unregister(self, fileobj: Any) -> Any:
        return self._real.unregister(fileobj)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run_virtual(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Run it in virtual time; returns its result and the seconds that have passed."""
    time = VirtualTime()
    loop = asyncio.SelectorEventLoop(time)
    loop.time = lambda: time.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work), time.now


def test_a_seed_replays_exactly() -> None:
    """No thread and no real clock takes part: the same seed gives the same rows at the same virtual moment, whatever the machine does."""

    async def scenario() -> list[Any]:
        disk = Disk()
        store = opened(disk, 42, idle_s=5)
        await live(store, 0, 20)
        await asyncio.sleep(3600)
        found = await lines(store)
        await store.close()
        disk.close()
        return found

    first, second = run_virtual(scenario()), run_virtual(scenario())
    assert first == second
    assert len(first[0]) == 200
    assert first[1] > 3600
