"""What topics in memory may cost."""

import gc
import sys

import pytest

from clarion.clock import ManualClock
from clarion.errors import StorageFull
from clarion.ids import Ids
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, MemoryStore

KEEP = Keep(size=5, age_s=60.0, keys=4)
SAID = [Change(event="said")]


async def test_asking_for_topics_costs_nothing() -> None:
    """Whoever thinks up names, thousands of them, leaves nothing behind; and each has its epoch all the same."""
    store = MemoryStore(clock=ManualClock(), ids=Ids.seeded(1))
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(2_000):
        topic = Topic("default", "map", str(number))
        [top] = await store.top([topic])
        assert (await store.items(topic, "", 10)).position == top
    gc.collect()
    assert sys.getallocatedblocks() - before < 1_000
    assert len({(await store.top([Topic("default", "map", str(n))]))[0].epoch for n in range(99)}) == 99  # fmt: skip


async def test_a_topic_that_was_dropped_begins_in_another_epoch() -> None:
    """Or its offsets would be taken for the old ones."""
    clock, topic = ManualClock(), Topic("default", "stream", "a")
    store, epochs = MemoryStore(clock=clock, ids=Ids.seeded(1)), []
    for _ in range(3):
        epochs.append((await store.append(topic, SAID, KEEP)).position.epoch)
        assert (await store.top([topic]))[0].epoch == epochs[-1]
        clock.advance(3_600)
        await store.trim()
    assert len(set(epochs)) == 3


async def test_a_topic_counts_beside_what_is_in_it() -> None:
    """Many small ones fill the budget as a large one does; what goes makes room."""
    clock = ManualClock()
    store = MemoryStore(clock=clock, ids=Ids.seeded(1), budget=5_000)
    topics = [Topic("default", "stream", str(number)) for number in range(4)]
    for topic in topics[:3]:
        await store.append(topic, SAID, KEEP)
    with pytest.raises(StorageFull):
        await store.append(topics[3], SAID, KEEP)
    clock.advance(3_600)
    await store.trim()
    await store.append(topics[3], SAID, KEEP)


async def test_an_item_that_grows_and_shrinks_counts_as_what_it_is() -> None:
    """Thousands of appends to a window fill nothing, though not each is measured; one that only grows meets the budget."""
    store = MemoryStore(clock=ManualClock(), ids=Ids.seeded(1), budget=30_000)
    topic = Topic("default", "map", "a")
    t = [*range(1_000, 1_200)]

    async def append(at: int, drop: int) -> None:
        nonlocal t
        t = [*t, at][drop:]
        grows = {"add": {"t": [at]}, "drop": drop}
        await store.append(
            topic, [Change(event="append", key="a", data=grows, item={"t": t})], KEEP
        )

    async def many(count: int, drop: int) -> None:
        for at in range(count):
            await append(at, drop)

    await many(3_000, drop=1)
    with pytest.raises(StorageFull):
        await many(6_000, drop=0)
    assert len(t) > 1_000
