"""The streams format: servers of Clarion and of Node on one Redis are one server, and a broken connection loses nothing that was done to sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from clarion.bus.redis import RedisClient
from clarion.bus.stream import Stream
from clarion.errors import SettingsError, Unavailable
from clarion.ids import Ids
from clarion.realtime.backplane.choice import Choice
from clarion.realtime.backplane.emitter import Emitter
from clarion.settings.backplane import Backplane
from clarion.telemetry import backplane_messages, bus_gaps
from tests.realtime.backplane.peers import Here, clarion_peer, node_peer
from tests.realtime.backplane.test_pubsub import acts_on_all, seen, until, until_in
from tests.support.redis_server import RedisServer

ENTRY = ("XADD", "socket.io", "*", "uid", "emitter", "nsp", "/", "type", "3", "data")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
def redis(stack: AsyncExitStack) -> RedisServer:
    """One that a test may hurt, and on which nobody else is."""
    made = RedisServer()
    stack.callback(made.remove)
    return made


async def two_of(redis: RedisServer, stack: AsyncExitStack) -> tuple[Here, Here]:
    one = await stack.enter_async_context(clarion_peer(redis, 1, "streams"))
    return one, await stack.enter_async_context(clarion_peer(redis, 2, "streams"))


async def test_events_answers_and_rooms_cross_in_every_direction(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """With Node's streams adapter as it comes: events with bytes, answers, sockets, moves, events for servers."""
    node = await stack.enter_async_context(node_peer(redis, tmp_path, "streams"))
    one, two = await two_of(redis, stack)
    ann, bob = await one.client("r"), await two.client("r", "s")
    cid = await node.run("return client('cid', 'r')")
    two.io.of("/").sockets[bob.id].data["name"] = "bob"

    one.io.emit("a", 1)
    assert await ann.next() == await bob.next() == ["a", 1]
    assert await node.hears(1) == {"cid": ["a", 1]}
    await node.run("io.emit('b', Buffer.from([7]))")
    assert (await ann.next())[2:] == (await bob.next())[2:] == [b"\x07"]
    await node.hears(1)
    two.io.to("r").emit("c", b"\x01")
    assert (await ann.next())[2:] == (await bob.next())[2:] == [b"\x01"]
    assert (await node.hears(1))["cid"][0] == "c"
    await node.run("io.to('r').except('s').emit('d', 'é')")
    assert await ann.next() == ["d", "é"]
    assert await node.hears(1) == {"cid": ["d", "é"]}

    answers, *_ = await asyncio.gather(
        one.io.to("r").timeout(20).emit_with_ack("q"), ann.next(), bob.next()
    )
    assert sorted(answers) == sorted([ann.id, bob.id, "cid"])
    answers, *_ = await asyncio.gather(
        node.run("return io.timeout(20000).emitWithAck('q')"), ann.next(), bob.next()
    )
    assert sorted(answers) == sorted([ann.id, bob.id, "cid"])
    two.io.on_server_side("sum", lambda *numbers: sum(numbers))
    one.io.on_server_side("sum", lambda *numbers: [*numbers])
    await node.run("io.on('sum', (...args) => args.at(-1)('node'))")
    assert sorted(await one.io.server_side_emit_with_ack("sum", 1, 2), key=str) == [3, "node"]
    said = await node.run("return io.serverSideEmitWithAck('sum', 4, 5)")
    assert sorted(said, key=str) == [9, [4, 5]]

    told = await node.run(
        "return (await io.fetchSockets()).map((s) => [s.id, [...s.rooms], s.data])"
    )
    assert [bob.id, [bob.id, "r", "s"], {"name": "bob"}] in told
    await one.io.in_("r").sockets_join("t")
    rooms = {id: {id, "r", "t"} for id in (ann.id, cid)} | {bob.id: {bob.id, "r", "s", "t"}}
    await until(lambda: seen(two, rooms))
    await node.run("io.in('t').socketsLeave(['r', 's'])")
    await until_in(two, [ann.id, bob.id, cid], "t")
    await one.io.in_(cid).disconnect_sockets()
    assert await node.hears(1) == {"cid": ["disconnect", "io server disconnect"]}
    await node.run(f"io.in('{bob.id}').disconnectSockets(true)")
    await until_in(one, [ann.id], "t")
    assert await one.io.of("/").server_count() == 3
    assert ann.has_nothing()


async def test_a_process_without_a_server_acts_on_the_sockets_of_all(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """What it has said it has sent when it ends."""
    node = await stack.enter_async_context(node_peer(redis, tmp_path, "streams"))
    one = await stack.enter_async_context(clarion_peer(redis, 1, "streams"))
    async with Emitter(redis.url, format="streams") as emitter:
        await acts_on_all(emitter, one, node)
        bob = await one.client("r")
        emitter.to("r").emit("last")
    assert await bob.next() == ["last"]


async def test_a_broken_connection_misses_nothing(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """What was added meanwhile comes in its order, once; garbage is passed over; another format on the prefix does not start."""
    one, two = await two_of(redis, stack)
    ann, bob = await one.client("r"), await two.client("r")
    malformed = backplane_messages.labels("malformed")
    before = malformed._value.get()
    for data in ("", "{", "!", '{"packet":{}}'):
        redis.cli(*ENTRY, data)
    redis.cli("XADD", "socket.io", "*", "something", "else")
    for number in range(3):
        redis.cli("CLIENT", "KILL", "TYPE", "normal")
        redis.cli(
            *ENTRY, f'{{"packet":{{"type":2,"data":["n",{number}]}},"opts":{{"rooms":["r"]}}}}'
        )
    for number in range(3):
        assert await bob.next() == await ann.next() == ["n", number]
    assert malformed._value.get() - before == 8

    async def is_back() -> bool:
        try:
            await one.io.in_("r").sockets_join("s")
        except Unavailable:
            return False
        return True

    await until(is_back)
    await until_in(two, [ann.id, bob.id], "r", "s")
    client = RedisClient(redis.url, ids=Ids.seeded(3))
    stack.push_async_callback(client.close)
    for other in ("pubsub", "sharded"):
        with pytest.raises(SettingsError, match="now speak streams"):
            await Choice(redis.url, Backplane(format=other), Ids.seeded(4)).start(client)
    choice = Choice(redis.url, Backplane(format="streams"), Ids.seeded(4))
    stack.push_async_callback(choice.close)
    await choice.start(client)


async def test_what_was_dropped_before_it_was_read_is_a_gap(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """It is counted, and what is still there is read."""
    read: asyncio.Queue[dict[bytes, bytes]] = asyncio.Queue()
    redis.cli("XADD", "s", "*", "n", "0")
    stream = Stream(redis.url, "s", lambda _, entry: read.put_nowait(entry), ids=Ids.seeded(1))
    await stream.start()
    stack.push_async_callback(stream.close)
    stream.add({"n": "1"})
    assert await asyncio.wait_for(read.get(), 20) == {b"n": b"1"}
    before = bus_gaps._value.get()
    redis.kill()
    redis.start()
    redis.cli("XADD", "s", "*", "n", "2")
    assert await asyncio.wait_for(read.get(), 20) == {b"n": b"2"}
    assert bus_gaps._value.get() - before == 1
