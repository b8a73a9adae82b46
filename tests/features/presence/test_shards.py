"""Following users: what is lost, late or twice on the bus is made good from the store."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from clarion.bus import LocalBus
from clarion.clock import ManualClock
from clarion.features.presence import shards
from clarion.features.presence.shards import Shard
from clarion.ids import Ids
from clarion.topics import Topic
from clarion.topics.books import channel
from clarion.topics.changes import REMOVE, Change
from clarion.topics.engine import Frame
from clarion.topics.stores import Keep, MemoryStore

TOPIC = Topic("default", "presence-users", "3")
KEEP = Keep(size=10, age_s=60, keys=100)


class Followed:
    """A shard of users, and one who follows some of them."""

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.store = MemoryStore(clock=ManualClock(), ids=Ids.seeded(1))
        self.told: list[tuple[str, Any]] = []
        self.shard = Shard(TOPIC, self.store, self.bus, lambda *what: self.told.append(what))

    async def change(self, *changes: Change, lost: bool = False) -> bytes:
        """Write; returns what is announced of it."""
        done = await self.store.append(TOPIC, changes, KEEP)
        frame = msgspec.json.encode(Frame(done.position.epoch, done.entries))
        if not lost:
            await self.bus.publish(channel(TOPIC), frame)
        return frame

    async def put(self, user: str, n: int, *, lost: bool = False) -> bytes:
        return await self.change(Change(event="set", key=user, data={"n": n}), lost=lost)

    async def want(self, *users: str) -> None:
        self.shard.want(users)
        await self.shard.read()

    async def has(self, **users: int) -> None:
        """Return when that is what is known."""
        expected = {user: {"n": n} for user, n in users.items()}
        async with asyncio.timeout(5):
            while self.shard.entries != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.fixture
async def followed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    monkeypatch.setattr(shards, "LOOK_S", 60)
    made = Followed()
    yield made
    await made.shard.close()


async def test_those_are_followed_who_are_wanted(followed: Followed) -> None:
    """As often as they are wanted; each change is told once."""
    for user in ("ann", "ben", "cleo"):
        await followed.put(user, 1)
    await followed.want("ann", "ben")
    await followed.want("ann")
    await followed.put("cleo", 2)
    await followed.put("ann", 2)
    await followed.change(Change(event=REMOVE, key="ben"))
    await followed.has(ann=2)
    assert followed.told == [("ann", {"n": 1}), ("ben", {"n": 1}), ("ann", {"n": 2}), ("ben", None)]
    followed.shard.unwant(["ann", "ben"])
    await followed.put("ann", 3)
    await followed.has(ann=3)
    followed.shard.unwant(["ann"])
    await followed.has()
    assert followed.shard.is_idle


async def test_what_is_lost_is_read_when_the_next_comes(followed: Followed) -> None:
    await followed.put("ann", 1)
    await followed.want("ann", "ben")
    await followed.put("ann", 2, lost=True)
    await followed.put("ben", 1)
    await followed.has(ann=2, ben=1)


async def test_what_is_lost_is_read_when_the_bus_says_so(followed: Followed) -> None:
    """And what was removed meanwhile is gone."""
    for user in ("ann", "ben"):
        await followed.put(user, 1)
    await followed.want("ann", "ben")
    await followed.put("ann", 2, lost=True)
    await followed.change(Change(event=REMOVE, key="ben"), lost=True)
    followed.shard.doubt()
    await followed.has(ann=2)


async def test_what_is_lost_in_silence_is_found(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a look at the position now and then."""
    monkeypatch.setattr(shards, "LOOK_S", 0.01)
    await followed.put("ann", 1)
    await followed.want("ann")
    await followed.put("ann", 2, lost=True)
    await followed.has(ann=2)


async def test_what_is_late_or_comes_twice_changes_nothing(followed: Followed) -> None:
    """Who was read is newer than an announcement that is still on its way."""
    await followed.put("cleo", 1)
    await followed.want("cleo")
    late = [await followed.put("ann", 1, lost=True), await followed.put("ann", 2, lost=True)]
    await followed.want("ann")
    await followed.has(ann=2, cleo=1)
    for frame in [*late, *late]:
        await followed.bus.publish(channel(TOPIC), frame)
    await followed.put("cleo", 2)
    await followed.has(ann=2, cleo=2)
    assert followed.told == [("cleo", {"n": 1}), ("ann", {"n": 2}), ("cleo", {"n": 2})]


async def test_another_life_of_the_store_is_read_anew(followed: Followed) -> None:
    await followed.put("ann", 1)
    await followed.want("ann", "ben")
    await followed.store.clear(TOPIC)
    await followed.put("ben", 1)
    await followed.has(ben=1)


async def test_of_too_many_announcements_none_is_kept(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is asked: then all is read anew."""
    monkeypatch.setattr(shards, "WAITING", 5)
    await followed.put("ann", 0)
    await followed.want("ann")
    gate, real = asyncio.Event(), followed.store.get

    async def slow(*what: Any) -> Any:
        found = await real(*what)
        await gate.wait()
        return found

    monkeypatch.setattr(followed.store, "get", slow)
    followed.shard.want(["ben"])
    for n in range(1, 20):
        await followed.put("ann", n)
        await asyncio.sleep(0)
    assert len(followed.shard._frames) <= 5
    gate.set()
    await followed.has(ann=19)
