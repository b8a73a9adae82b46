"""Redis behind Sentinels: they say who the primary is, and after its death who has taken its place."""

import asyncio
from collections.abc import Iterator

import pytest

from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.bus.sharded_bus import ShardedBus
from clarion.bus.stream import Stream
from clarion.errors import ServerError, Unavailable
from clarion.ids import Ids
from tests.support.sentinels import Watched
from tests.support.server import until


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.remove()


async def test_the_replica_takes_over_when_the_primary_dies(watched: Watched) -> None:
    """What it had is there, commands, messages and entries go on by themselves, and what may have been missed is told; a name that nobody knows is refused."""
    await asyncio.to_thread(until, watched.is_ready)
    ids = Ids.seeded(1)
    client = RedisClient(watched.url, ids=ids)
    bus, sharded = RedisBus(watched.url, ids=ids, prefix=""), ShardedBus(watched.url, ids=ids)
    entries: asyncio.Queue[bytes] = asyncio.Queue()
    stream = Stream(watched.url, "s", lambda _, fields: entries.put_nowait(fields[b"n"]), ids=ids)
    gaps, heard = asyncio.Event(), asyncio.Queue[bytes]()
    bus.on_gap(lambda _: gaps.set())
    for each in (bus, sharded, stream):
        await each.start()
    for each in (bus, sharded):
        each.subscribe("c", heard.put_nowait)
        await each.settle("c")
    await client.call(b"k", "SET", b"k", "kept")
    stream.add({"n": "0"})
    assert await entries.get() == b"0"
    assert watched.primary.cli("WAIT", "1", "5000") == "1"

    watched.primary.kill()
    with pytest.raises(Unavailable):
        await client.call(b"k", "GET", b"k", is_write=False)

    async def goes_on() -> bool:
        try:
            await client.call(b"n", "INCR", b"n")
            bus.say("c", b"plain")
            sharded.say("c", b"sharded")
            stream.add({"n": "1"})
        except ServerError:
            return False
        return True

    while not await goes_on():  # noqa: ASYNC110  Sentinels have to agree first
        await asyncio.sleep(0.02)
    assert await client.call(b"k", "GET", b"k", is_write=False) == b"kept"
    await gaps.wait()
    assert await entries.get() == b"1"
    while {await heard.get(), await heard.get()} != {b"plain", b"sharded"}:
        assert await goes_on()
    for each in (client, bus, sharded, stream):
        await each.close()
    unknown = RedisClient(watched.url.replace("mymaster", "another"), ids=ids)
    with pytest.raises(Unavailable, match="know no primary of the name 'another'"):
        await unknown.call(b"k", "GET", b"k", is_write=False)
    await unknown.close()
