"""The sharded format: servers of Clarion and of Node on a Redis Cluster of three masters are one server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from clarion.bus.cluster import slot
from clarion.bus.redis import RedisClient
from clarion.errors import SettingsError, Unavailable
from clarion.ids import Ids
from clarion.realtime.backplane import sharded
from clarion.realtime.backplane.choice import Choice
from clarion.realtime.backplane.emitter import Emitter
from clarion.settings import Realtime
from clarion.settings.backplane import Backplane
from clarion.telemetry import backplane_messages, bus_gaps
from tests.realtime.backplane.peers import Here, clarion_peer, node_peer
from tests.realtime.backplane.test_pubsub import acts_on_all, seen, until, until_in
from tests.support.memory_transport import MemoryClient
from tests.support.redis_server import RedisServer, make_cluster


@pytest.fixture(scope="module")
def masters() -> Iterator[list[RedisServer]]:
    made = make_cluster(3)
    yield made
    for each in made:
        each.remove()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def two_of(redis: RedisServer, stack: AsyncExitStack) -> tuple[Here, Here]:
    one = await stack.enter_async_context(clarion_peer(redis, 1, "sharded"))
    return one, await stack.enter_async_context(clarion_peer(redis, 2, "sharded"))


async def test_events_answers_and_rooms_cross_in_every_direction(
    masters: list[RedisServer], stack: AsyncExitStack, tmp_path: Path
) -> None:
    """With Node's sharded adapter as it comes: to all, to a room on its own channel, answers, sockets, moves, events for servers."""
    node = await stack.enter_async_context(node_peer(masters[1], tmp_path, "sharded"))
    one, two = await two_of(masters[0], stack)
    ann, bob = await one.client("r"), await two.client("r", "s")
    cid = await node.run("return client('cid', 'r')")
    two.io.of("/").sockets[bob.id].data["name"] = "bob"
    for here in (one, two):
        await here.backplane.settle()

    one.io.emit("a", 1)
    assert await ann.next() == await bob.next() == ["a", 1]
    assert await node.hears(1) == {"cid": ["a", 1]}
    await node.run("io.emit('b', Buffer.from([7]))")
    assert (await ann.next())[2:] == (await bob.next())[2:] == [b"\x07"]
    await node.hears(1)
    two.io.to("r").emit("c", b"\x01")
    assert (await ann.next())[2:] == (await bob.next())[2:] == [b"\x01"]
    assert (await node.hears(1))["cid"][0] == "c"
    await node.run("io.to('r').except('s').emit('d')")
    assert await ann.next() == ["d"]
    assert await node.hears(1) == {"cid": ["d"]}
    await node.run("io.to('s').emit('e')")
    assert await bob.next() == ["e"]
    await node.run(f"io.to('{ann.id}').emit('f')")
    assert await ann.next() == ["f"]

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

    assert {socket.id for socket in await one.io.in_("r").fetch_sockets()} == {ann.id, bob.id, cid}
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
    masters: list[RedisServer], stack: AsyncExitStack, tmp_path: Path
) -> None:
    """Over whichever master a room's channel is at; what it has said it has sent when it ends."""
    node = await stack.enter_async_context(node_peer(masters[1], tmp_path, "sharded"))
    one = await stack.enter_async_context(clarion_peer(masters[0], 1, "sharded"))
    async with Emitter(masters[2].url, format="sharded") as emitter:
        await acts_on_all(emitter, one, node)
        bob = await one.client("r")
        await one.backplane.settle()
        emitter.to("r").emit("last")
    assert await bob.next() == ["last"]


async def test_a_room_is_heard_while_somebody_is_in_it(
    masters: list[RedisServer], stack: AsyncExitStack
) -> None:
    """Nobody subscribes to rooms of others, also when a slot has moved to another master; garbage does no harm; who left a namespace is not counted."""
    one, two = await two_of(masters[0], stack)
    bob = await two.client("moving")
    await two.backplane.settle()
    channel = "socket.io#/#moving#"
    at = slot(channel.encode())
    home = next(each for each in range(3) if at < (each + 1) * (16384 // 3) or each == 2)
    old, new = masters[home], masters[(home + 1) % 3]
    assert old.cli("PUBSUB", "SHARDNUMSUB", channel).splitlines()[1] == "1"
    malformed = backplane_messages.labels("malformed")
    before = malformed._value.get()
    for data in (b"", b"\xff\x00", b"{", b"[]", b'{"type":3,"uid":"x","nsp":"/"}', b'{"type":99,"uid":"x","nsp":"/","data":{}}'):  # fmt: skip
        one.bus.say(channel, data)
    one.io.to("moving").emit("before")
    assert await bob.next() == ["before"]
    assert malformed._value.get() - before == 6
    gaps = bus_gaps._value.get()
    for _ in range(2):  # who leaves and is back before Redis knows has moved nothing
        two.io.of("/").sockets[bob.id].leave("moving")
        two.io.of("/").sockets[bob.id].join("moving")
    await two.backplane.settle()
    for _ in range(20):
        assert len(await one.io.fetch_sockets()) == 1
    assert bus_gaps._value.get() == gaps

    there = new.cli("CLUSTER", "MYID")
    for each in (new, old, *masters):
        each.cli("CLUSTER", "SETSLOT", str(at), "NODE", there)

    async def is_heard() -> bool:
        one.io.to("moving").emit("after")
        return not bob.has_nothing()

    await until(is_heard)
    assert await bob.next() == ["after"]
    assert bus_gaps._value.get() > gaps
    two.io.of("/").sockets[bob.id].leave("moving")

    async def is_left() -> bool:
        return new.cli("PUBSUB", "SHARDNUMSUB", channel).splitlines()[1] == "0"

    await until(is_left)
    two.backplane.leave(two.io.of("/"))

    async def is_alone() -> bool:
        return await one.io.of("/").server_count() == 1

    await until(is_alone)


async def test_who_is_away_misses_nothing_of_a_room(
    masters: list[RedisServer], stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where clients may come back, the channel of a room stays open for those who are away, and no longer."""
    monkeypatch.setattr(sharded, "LINGER_S", 0.05)
    one = await stack.enter_async_context(clarion_peer(masters[0], 1, "sharded"))
    on = Realtime(recovery_s=0.5)
    two = await stack.enter_async_context(clarion_peer(masters[0], 2, "sharded", settings=on))
    bob = await two.client("lone")
    await two.backplane.settle()
    recoverable = two.io.of("/").sockets[bob.id].recoverable
    assert recoverable is not None
    bob.client.lose()
    one.io.to("lone").emit("missed")
    recovery = two.io.of("/").hub.recovery
    assert recovery is not None

    async def is_kept() -> bool:
        return recovery.history.top == 1

    await until(is_kept)
    back = MemoryClient(two.io)
    await back.hear()
    missed, hello = await back.say(f'40{{"pid":"{recoverable.pid}"}}').hear()
    assert str(missed).startswith('42["missed",')
    assert bob.id in str(hello)
    back.lose()

    async def is_closed() -> bool:
        told = [each.cli("PUBSUB", "SHARDNUMSUB", "socket.io#/#lone#") for each in masters]
        return all(each.splitlines()[1] == "0" for each in told)

    await until(is_closed)


async def test_formats_do_not_mix_and_a_lost_redis_comes_back(stack: AsyncExitStack) -> None:
    """A server that finds another format on its prefix does not start; without Redis what needs it is refused, and all is as before when it is back."""
    redis = RedisServer()
    stack.callback(redis.remove)
    one, two = await two_of(redis, stack)
    client = RedisClient(redis.url, ids=Ids.seeded(3))
    stack.push_async_callback(client.close)
    with pytest.raises(SettingsError, match="now speak sharded"):
        await Choice(redis.url, Backplane(), Ids.seeded(4)).start(client)
    for fine in (Backplane(prefix="other"), Backplane(format="sharded")):
        choice = Choice(redis.url, fine, Ids.seeded(4))
        stack.push_async_callback(choice.close)
        await choice.start(client)
    ann, bob = await one.client("r"), await two.client("r")
    redis.kill()

    async def is_noticed() -> bool:
        try:
            await one.io.in_("r").sockets_join("s")
        except Unavailable:
            return True
        return False

    await until(is_noticed)
    one.io.to("r").emit("alone")
    assert await ann.next() == ["alone"]
    with pytest.raises(Unavailable):
        await one.io.fetch_sockets()
    redis.start()

    async def is_heard() -> bool:
        one.io.to("r").emit("together")
        return not bob.has_nothing()

    await until(is_heard)
    assert await bob.next() == ["together"]
