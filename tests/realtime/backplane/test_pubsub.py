"""Servers of Clarion and of Node on one Redis are one server: whatever one does to sockets happens to those of all."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from clarion.errors import AckTimeout, Unavailable, UsageError
from clarion.realtime import RemoteSocket
from clarion.realtime.backplane.emitter import Emitter
from clarion.telemetry import backplane_messages
from tests.realtime.backplane.peers import Here, NodePeer, clarion_peer, node_peer
from tests.support.redis_server import RedisServer


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """One that a test may hurt, and on which nobody else is."""
    made = RedisServer()
    yield made
    made.remove()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def two_of(redis: RedisServer, stack: AsyncExitStack) -> tuple[Here, Here]:
    one = await stack.enter_async_context(clarion_peer(redis, 1))
    return one, await stack.enter_async_context(clarion_peer(redis, 2))


async def three(
    redis: RedisServer, stack: AsyncExitStack, folder: Path
) -> tuple[Here, Here, NodePeer]:
    node = await stack.enter_async_context(node_peer(redis, folder))
    return *(await two_of(redis, stack)), node


async def until_in(here: Here, ids: list[str], *rooms: str) -> None:
    """Return once these sockets, and no others, are there, in these rooms."""
    expected = {id: {id, *rooms} for id in ids}
    await until(lambda: seen(here, expected))


async def seen(here: Here, expected: dict[str, set[str]]) -> bool:
    return {each.id: set(each.rooms) for each in await here.io.fetch_sockets()} == expected


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so: other processes have to do their part first."""
    async with asyncio.timeout(20):
        while not await what():  # noqa: ASYNC110  what is awaited is in other processes
            await asyncio.sleep(0.01)


async def test_events_cross_in_every_direction(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """Of Clarion, of Node and of an emitter: to all, to rooms, but for some; bytes stay bytes; who is elsewhere gets it once."""
    one, two, node = await three(redis, stack, tmp_path)
    ann, bob = await one.client("r"), await two.client("s")
    cid = await node.run("return client('cid', 'r')")
    assert one.io.emit("a", 1, {"b": [None]}) == 1
    assert await ann.next() == await bob.next() == ["a", 1, {"b": [None]}]
    assert await node.hears(1) == {"cid": ["a", 1, {"b": [None]}]}
    await node.run("io.emit('b', 'é😀')")
    assert await ann.next() == await bob.next() == ["b", "é😀"]
    assert await node.hears(1) == {"cid": ["b", "é😀"]}
    await node.run("emitter.to('r').except('nobody').emit('c')")
    assert await ann.next() == ["c"]
    assert await node.hears(1) == {"cid": ["c"]}
    two.io.to("r").volatile.compress(False).emit("d", b"\x01\x02")
    assert (await ann.next())[2:] == [b"\x01\x02"]
    assert (await node.hears(1))["cid"][0] == "d"
    await node.run("io.to(['r', 's']).except('r').emit('e', Buffer.from([7]))")
    assert (await bob.next())[2:] == [b"\x07"]
    one.io.of("/").sockets[ann.id].broadcast.emit("f")
    assert await bob.next() == ["f"]
    assert await node.hears(1) == {"cid": ["f"]}
    await node.run(f"io.to('{ann.id}').emit('g')")
    assert await ann.next() == ["g"]
    one.io.to(cid).emit("h")
    assert await node.hears(1) == {"cid": ["h"]}
    one.io.local.emit("i")
    assert await ann.next() == ["i"]
    assert ann.has_nothing()
    assert bob.has_nothing()
    assert node.heard.empty()


async def test_answers_cross_in_every_direction(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """A broadcast that wants answers gets those of all nodes; who does not answer is missing; nodes answer nodes."""
    one, two, node = await three(redis, stack, tmp_path)
    ann, bob = await one.client("r"), await two.client("r")
    await node.run("return client('cid', 'r')")
    asking = asyncio.gather(one.io.to("r").timeout(20).emit_with_ack("q"), ann.next(), bob.next())
    answers, *asked = await asking
    assert asked == [["q"], ["q"]]
    assert sorted(answers) == sorted([ann.id, bob.id, "cid"])
    answers, *_ = await asyncio.gather(
        node.run("return io.timeout(20000).emitWithAck('q')"), ann.next(), bob.next()
    )
    assert sorted(answers) == sorted([ann.id, bob.id, "cid"])
    with pytest.raises(AckTimeout) as caught:
        await one.io.timeout(0.3).emit_with_ack("q")
    assert (caught.value.responses, caught.value.missing) == (("cid",), 2)

    two.io.on_server_side("sum", lambda *numbers: sum(numbers))
    await node.run("io.on('sum', (...args) => args.at(-1)('node'))")
    assert sorted(await one.io.server_side_emit_with_ack("sum", 1, 2), key=str) == [3, "node"]
    one.io.on_server_side("sum", lambda *numbers: [*numbers])
    said = await node.run("return io.serverSideEmitWithAck('sum', 4, 5)")
    assert sorted(said, key=str) == [9, [4, 5]]
    told: asyncio.Queue[str] = asyncio.Queue()
    two.io.on_server_side("news", told.put_nowait)
    await node.run("emitter.serverSideEmit('news', 'x')")
    one.io.server_side_emit("news", "y")
    assert {await asyncio.wait_for(told.get(), 20) for _ in "xy"} == {"x", "y"}
    assert await one.io.of("/").server_count() == 3


async def test_sockets_are_found_and_moved_in_every_direction(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """`fetch_sockets` gives those of all nodes with rooms and data; joins, leaves and disconnects reach them; so does one of them by itself."""
    one, two, node = await three(redis, stack, tmp_path)
    ann, bob = await one.client("r"), await two.client("r")
    two.io.of("/").sockets[bob.id].data["name"] = "bob"
    cid = await node.run("return client('cid', 'r')")

    found = {socket.id: socket for socket in await one.io.in_("r").fetch_sockets()}
    assert set(found) == {ann.id, bob.id, cid}
    there, far = found[bob.id], found[cid]
    assert isinstance(there, RemoteSocket)
    assert isinstance(far, RemoteSocket)
    assert (there.rooms, there.data, there.handshake.address) == (
        (bob.id, "r"), {"name": "bob"}, "192.0.2.1",
    )  # fmt: skip
    assert (there.transport, far.transport) == ("websocket", "")
    assert far.handshake.url.startswith("/socket.io/?EIO=4")
    assert (far.handshake.headers["host"], far.data) == (far.handshake.headers["host"], {"name": "cid"})  # fmt: skip
    seen = await node.run(
        "return (await io.fetchSockets()).map((s) => [s.id, [...s.rooms], s.data, s.handshake.address])"
    )
    assert [bob.id, [bob.id, "r"], {"name": "bob"}, "192.0.2.1"] in seen
    assert len(seen) == 3

    ids = [ann.id, bob.id, cid]
    await one.io.in_("r").sockets_join("s")
    assert "s" in one.io.of("/").sockets[ann.id].rooms
    await until_in(two, ids, "r", "s")
    await node.run("io.in('s').socketsJoin('t')")
    await until_in(two, ids, "r", "s", "t")
    await one.io.in_("t").sockets_leave("r")
    await node.run("emitter.in('t').socketsJoin('u')")
    await until_in(two, ids, "s", "t", "u")

    there.emit("to you", 1)
    assert await bob.next() == ["to you", 1]
    far.emit("to you", 2)
    assert await node.hears(1) == {"cid": ["to you", 2]}
    assert await far.emit_with_ack("you?") == "cid"
    answer, _ = await asyncio.gather(there.emit_with_ack("you?"), bob.next())
    assert answer == bob.id
    far.join("own")
    there.leave("u")
    far.disconnect()
    assert await node.hears(1) == {"cid": ["disconnect", "io server disconnect"]}
    await node.run(f"io.in('{bob.id}').disconnectSockets(true)")
    await one.io.in_(bob.id).disconnect_sockets()
    await until_in(two, [ann.id], "s", "t", "u")


async def test_what_anybody_writes_there_does_no_harm(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """Garbage, unknown requests, names that are none: counted, and the next message is heard."""
    one, two = await two_of(redis, stack)
    bob = await two.client("r")
    malformed = backplane_messages.labels("malformed")
    before = malformed._value.get()
    for channel in ("socket.io#/#", "socket.io#/#r#", "socket.io-request#/#", "socket.io-response#/#"):  # fmt: skip
        for data in (b"", b"\xff\x00", b"{", b"[]", b'{"type":99}', b"\x93\x01\x02\x03"):
            one.bus.say(channel, data)
    for data in (
        b'{"uid":"x","type":2,"opts":{"rooms":["r"]},"rooms":[""]}',
        b'{"uid":"x","type":6,"data":["connect"]}',
        b'{"uid":"x","requestId":"q","type":4,"sid":"nobody","close":true}',
        b'{"requestId":"nobody asked","sockets":[]}',
    ):
        one.bus.say("socket.io-request#/#", data)
    one.io.to("r").emit("still here")
    assert await bob.next() == ["still here"]
    assert malformed._value.get() - before >= 40
    assert two.io.of("/").sockets[bob.id].rooms == (bob.id, "r")


async def test_namespaces_keep_to_themselves(redis: RedisServer, stack: AsyncExitStack) -> None:
    """Also where a name looks like a pattern of Redis; one that was left hears nothing more."""
    one, two = await two_of(redis, stack)
    heard: list[str] = []
    for name in ("/a*", "/ab"):
        for here in (one, two):
            here.io.of(name).on_server_side("x", lambda n=name: heard.append(n))
    for here in (one, two):
        await here.backplane.settle()
    one.io.of("/ab").emit("nobody is there")
    one.io.of("/ab").server_side_emit("x")
    assert await one.io.of("/a*").server_side_emit_with_ack("x") == [None]
    assert heard == ["/ab", "/a*"]
    two.backplane.leave(two.io.of("/ab"))

    async def is_alone() -> bool:
        return await one.io.of("/ab").server_count() == 1

    await until(is_alone)


async def test_without_redis_a_node_goes_on_alone(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """Its own sockets get what is sent, what needs the others is refused by name; when Redis is back all is as before."""
    one, two = await two_of(redis, stack)
    ann, bob = await one.client("r"), await two.client("r")
    redis.kill()

    async def is_noticed() -> bool:
        try:
            return not await one.io.fetch_sockets()
        except Unavailable:
            return True

    await until(is_noticed)
    assert one.io.to("r").emit("alone") == 1
    assert await ann.next() == ["alone"]
    for refused in (
        one.io.in_("r").sockets_join("s"),
        one.io.timeout(1).emit_with_ack("q"),
        one.io.server_side_emit_with_ack("x"),
    ):
        with pytest.raises(Unavailable):
            await refused
    assert await ann.next() == ["q"]
    assert "s" in one.io.of("/").sockets[ann.id].rooms
    redis.start()

    async def is_heard() -> bool:
        one.io.to("r").emit("together")
        return not bob.has_nothing()

    await until(is_heard)
    assert await bob.next() == ["together"]


async def acts_on_all(emitter: Emitter, one: Here, node: NodePeer) -> None:
    """What a process without a server does is done to the sockets of Clarion and of Node, whatever the format; in the end nobody is in."""
    ann = await one.client("r")
    await node.run("io.on('news', (n) => say({ to: 'server', event: [n] })); return client('cid', 'r')")  # fmt: skip
    await one.backplane.settle()
    emitter.of("").volatile.compress(False).emit("b", {"n": 1.5})
    assert await ann.next() == ["b", {"n": 1.5}]
    assert await node.hears(1) == {"cid": ["b", {"n": 1.5}]}
    emitter.to("r").except_("nobody").emit("a", b"\x01")
    assert (await ann.next())[2:] == [b"\x01"]
    assert (await node.hears(1))["cid"][0] == "a"
    emitter.in_("r").sockets_join("s")
    emitter.in_("s").sockets_leave("r")
    ids = [ann.id, *(await node.run("return [clients.cid.id]"))]
    await until_in(one, ids, "s")
    emitter.server_side_emit("news", 7)
    assert await node.hears(1) == {"server": [7]}
    emitter.to([]).emit("nobody")
    emitter.of("/").in_("s").disconnect_sockets()
    assert await node.hears(1) == {"cid": ["disconnect", "io server disconnect"]}
    await until_in(one, [])


async def test_a_process_without_a_server_acts_on_the_sockets_of_all(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """As the emitter of Node, which a server of Node takes it for; without Redis it says so."""
    one, _, node = await three(redis, stack, tmp_path)
    emitter = await stack.enter_async_context(Emitter(redis.url))
    await acts_on_all(emitter, one, node)
    with pytest.raises(UsageError):
        emitter.emit("connect")
    bob = await one.client("room")
    example = Path(__file__).parents[3] / "examples" / "emitter.py"
    ran = await asyncio.create_subprocess_exec(
        sys.executable, str(example), env=os.environ | {"REDIS_URL": redis.url}
    )
    assert await ran.wait() == 0
    assert await bob.next() == ["news", {"n": 1}]
    redis.kill()

    async def is_refused() -> bool:
        try:
            emitter.emit("c")
        except Unavailable:
            return True
        return False

    await until(is_refused)
