"""Redis behind Sentinels: they say who the primary is, and after its death who has taken its place."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from clarion.bus.address import Address, Node
from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.bus.sentinel import places
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


async def _say_who(name: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A Sentinel for one question."""
    for answer in (
        b"%1\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n",
        b"*2\r\n$1\r\n%b\r\n$1\r\n7\r\n" % name,
    ):
        await reader.read(1024)
        writer.write(answer)
    await reader.read()
    writer.close()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass
    writer.close()


async def _sentinel(name: bytes) -> asyncio.Server:
    return await asyncio.start_server(partial(_say_who, name), "127.0.0.1", 0)


async def test_what_most_sentinels_say_is_enough() -> None:
    """Of three one is silent for good, as on a host that is gone: it is not waited for. Where nobody is in the majority all are, and the most named comes first."""
    servers = [
        await asyncio.start_server(_say_nothing, "127.0.0.1", 0),
        *[await _sentinel(name) for name in (b"a", b"a", b"b")],
    ]
    ports = [each.sockets[0].getsockname()[1] for each in servers]

    async def asked(*at: int, deadline_s: float) -> list[Node]:
        nodes = [("127.0.0.1", ports[each]) for each in at]
        return await places(Address(nodes, primary="m"), deadline_s=deadline_s)

    async with asyncio.timeout(10):
        assert await asked(0, 1, 2, deadline_s=60) == [("a", 7)]
    assert await asked(0, 3, 1, 2, deadline_s=0.2) == [("a", 7), ("b", 7)]
    with pytest.raises(Unavailable):
        await asked(0, deadline_s=0.1)
    for each in servers:
        each.close()


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
