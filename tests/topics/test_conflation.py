"""Conflation: what is published faster than a topic may change."""

import asyncio
from typing import Any

import pytest

from clarion.errors import Conflict, TooMany
from clarion.ids import Ids
from clarion.telemetry import spawn
from clarion.topics import Publish, Published, SignedIn
from clarion.topics.stores import Appended, MemoryStore
from tests.topics.fakes import settle
from tests.topics.house import ADA, ANYBODY, House, Reader


async def test_conflation_writes_the_newest_of_each_key_once_a_tick(house: House) -> None:
    """Every publisher is answered when its change, or a newer one of its key, is in the log; nothing guarded is skipped."""
    house.topics.add(
        "fast", "map", rights={"subscribe": SignedIn(), "publish": SignedIn()}, conflate_s=0.05
    )
    socket = house.socket()
    reader = Reader(await house.ask(socket, "subscribe", "fast:x"))
    done = await asyncio.gather(
        *(house.topics.publish(ADA, "fast:x", Publish(key="ab"[n % 2], data=n)) for n in range(20)),
        house.topics.publish(ADA, "fast:x", Publish(key="c", data=0, only="absent")),
        house.topics.publish(ADA, "fast:x", Publish(key="c", data=1)),
    )
    await settle()
    assert [each.offset for each in done[-4:]] == [1, 2, 3, 4]
    assert [data.offset for _, data in socket.got] == [1, 2, 3, 4]
    assert reader.take(socket).state == {"a": 18, "b": 19, "c": 1}
    with pytest.raises(Conflict):
        await house.topics.publish(ADA, "fast:x", Publish(key="c", only="absent"))


async def test_one_key_too_many_costs_only_its_publisher_the_change(house: House) -> None:
    """What waits for the same tick is appended all the same."""
    kind = house.topics.add("few", "map", rights=ANYBODY, keys=1, conflate_s=0.05)
    few = house.topics.of("few:x")
    await few.set("a", 1)
    done = await asyncio.gather(
        few.set("a", 2), few.set("b", 1), few.set("a", 3, only="present"), return_exceptions=True
    )
    assert [each.offset if isinstance(each, Published) else type(each) for each in done] == [
        2, TooMany, 3,
    ]  # fmt: skip
    assert kind.keys == len((await few.items()).items)


async def test_what_waits_for_a_tick_is_appended_at_the_end(house: House) -> None:
    """And what is being appended then is finished, not given up: every publisher has an answer."""
    gate, store = asyncio.Event(), Held(clock=house.bench.clock, ids=Ids.seeded(5))
    store.gate = gate
    house.topics.add("slow", "map", rights=ANYBODY, store=store, conflate_s=60)
    slow = house.topics.of("slow:x")
    first = spawn(slow.set("a", 1), name="publishes")
    await settle(lambda: store.asked == 1)
    second = spawn(slow.set("a", 2), name="publishes")
    await settle()
    closing = spawn(house.topics.close(), name="closes")
    await settle()
    gate.set()
    await closing
    assert [(await first).offset, (await second).offset] == [1, 2]


class Held(MemoryStore):
    """A store that is slow to append."""

    gate: asyncio.Event
    asked = 0

    async def append(self, *given: Any) -> Appended:
        self.asked += 1
        await self.gate.wait()
        return await super().append(*given)
