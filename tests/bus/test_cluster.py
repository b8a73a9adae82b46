"""The client in a real Cluster of two, whose slots move under it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from clarion.bus import redis_bus, sharded_bus
from clarion.bus.cluster import owners, redirection, slot
from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.bus.scripts import Script
from clarion.bus.sharded_bus import ShardedBus
from clarion.errors import Internal, Unavailable
from clarion.ids import Ids
from tests.support.fault_proxy import FaultProxy
from tests.support.redis_server import RedisServer

ADD = Script("redis.call('INCR', KEYS[2]) return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture
async def client(redis_cluster: list[RedisServer]) -> AsyncIterator[RedisClient]:
    made = RedisClient(redis_cluster[0].url, ids=Ids.seeded(1), deadline_s=0.5)
    yield made
    await made.close()


def key_of(server: int) -> bytes:
    """A key whose slot the first (0) or the second (1) server has at the beginning."""
    return next(b"{%d}" % n for n in range(100) if slot(b"{%d}" % n) // 8192 == server)


class Move:
    """Moves the slot of a key from one server to the other, step by step."""

    def __init__(self, servers: list[RedisServer], key: bytes) -> None:
        self._key, self._slot = key.decode(), str(slot(key))
        at = slot(key) // 8192
        self._from, self._to = servers[at], servers[1 - at]

    def begin(self) -> None:
        self._setslot(self._to, "IMPORTING", self._from)
        self._setslot(self._from, "MIGRATING", self._to)

    def move(self, key: str) -> None:
        self._from.cli("MIGRATE", "127.0.0.1", str(self._to.port), key, "0", "1000")

    def end(self) -> None:
        for server in (self._to, self._from):
            self._setslot(server, "NODE", self._to)

    def back(self) -> None:
        """As it was."""
        self._from, self._to = self._to, self._from
        self.begin()
        for key in self._from.cli("CLUSTER", "GETKEYSINSLOT", self._slot, "10").split():
            self.move(key)
        self.end()

    def _setslot(self, server: RedisServer, what: str, other: RedisServer) -> None:
        server.cli("CLUSTER", "SETSLOT", self._slot, what, other.cli("CLUSTER", "MYID"))


async def test_commands_go_to_who_has_the_key(client: RedisClient) -> None:
    """Begun at either server, alone or many at once."""
    keys = [b"k%d" % number for number in range(50)]
    assert await client.call_many([(key, ("SET", key, key)) for key in keys]) == [b"OK"] * 50
    assert [await client.call(key, "GET", key, is_write=False) for key in keys] == keys
    assert await client.call(b"", "PING") == b"PONG"
    with pytest.raises(Internal, match="CROSSSLOT"):
        await client.call(keys[0], "MGET", *keys)


async def test_a_slot_that_moves_is_followed(
    client: RedisClient, redis_cluster: list[RedisServer]
) -> None:
    """Before, while and after: every call is done exactly once, by whoever has the key just then."""
    tag = key_of(0)
    one, two = tag + b":one", tag + b":two"
    move = Move(redis_cluster, tag)
    results = [await client.run(ADD, [one, two], [1])]
    move.begin()
    results.append(await client.run(ADD, [one, two], [1]))
    move.move(one.decode())
    # Half of the keys are here, half are there: neither server can do it, until the rest follows.
    waiting = client.run(ADD, [one, two], [1])
    asyncio.get_running_loop().call_later(0.1, move.move, two.decode())
    results.append(await waiting)
    results.append(await client.run(ADD, [one, two], [1]))
    move.end()
    results += await client.run_many(ADD, [([one, two], [1])] * 3)
    assert results == [1, 2, 3, 4, 5, 6, 7]
    assert await client.call(two, "GET", two, is_write=False) == b"7"
    move.back()
    assert await client.run(ADD, [one, two], [1]) == 8


async def test_a_slot_that_never_arrives_is_unavailable(
    client: RedisClient, redis_cluster: list[RedisServer]
) -> None:
    """A move that stands still half-way: the caller is told within the deadline that nothing was done."""
    tag = key_of(1)
    one, two = tag + b":one", tag + b":two"
    await client.run(ADD, [one, two], [1])
    move = Move(redis_cluster, tag)
    move.begin()
    move.move(one.decode())
    with pytest.raises(Unavailable, match="Redis does not serve now"):
        await client.run(ADD, [one, two], [1])
    move.move(two.decode())
    move.end()
    assert await client.run(ADD, [one, two], [1]) == 2
    move.back()


async def test_what_is_published_on_one_server_is_heard_on_the_other(
    redis_cluster: list[RedisServer],
) -> None:
    """Nodes may be connected to any of them, and all are counted."""
    buses = [RedisBus(server.url, ids=Ids.seeded(1)) for server in redis_cluster]
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    for bus in buses:
        await bus.start()
        bus.subscribe("a", heard.put_nowait)
        await bus.settle("a")
    await buses[0].publish("a", b"1")
    assert [await heard.get(), await heard.get()] == [b"1", b"1"]
    assert [await bus.subscribers("a") for bus in buses] == [2, 2]
    for bus in buses:
        await bus.close()


async def test_the_servers_of_the_url_may_go(redis_cluster: list[RedisServer]) -> None:
    """What has begun goes on at the others, which the Cluster has named: commands, and messages."""
    with FaultProxy(("127.0.0.1", redis_cluster[0].port)) as way:
        url = f"redis://127.0.0.1:{way.port}"
        ids = Ids.seeded(1)
        client, bus = RedisClient(url, ids=ids), RedisBus(url, ids=ids)
        heard, gaps = asyncio.Queue[bytes](), asyncio.Queue[Sequence[str]]()
        await bus.start()
        bus.on_gap(gaps.put_nowait)
        bus.subscribe("a", heard.put_nowait)
        await bus.settle("a")
        await client.call(b"k", "PING")
        way.refuses = True
        for server in redis_cluster:
            server.cli("CLIENT", "KILL", "TYPE", "normal")
            server.cli("CLIENT", "KILL", "TYPE", "pubsub")
        way.cut()
        assert await gaps.get() == ["a"]
        await bus.publish("a", b"1")
        assert await heard.get() == b"1"
        assert await client.call(b"k", "PING") == b"PONG"
        await client.close()
        await bus.close()


async def test_a_server_that_is_taken_out_of_its_cluster_is_left(
    redis_cluster: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers as before, and hears nothing that the others publish: messages come by those, with a gap told; and nobody begins at it."""
    monkeypatch.setattr(redis_bus, "HEALTH_S", 0.05)
    former, other = RedisServer(is_cluster=True), redis_cluster[0]
    url, ids = f"{former.url},127.0.0.1:{other.port}", Ids.seeded(1)
    alone = RedisBus(former.url, ids=ids)
    buses = [RedisBus(each, ids=ids) for each in (url, other.url)]
    heard, gaps = asyncio.Queue[bytes](), asyncio.Queue[Sequence[str]]()
    try:
        former.cli("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        for bus in buses:
            await bus.start()
        buses[0].on_gap(gaps.put_nowait)
        buses[0].subscribe("a", heard.put_nowait)
        await buses[0].settle("a")
        former.cli("CLUSTER", "RESET", "SOFT")
        assert await gaps.get() == ["a"]
        await buses[1].publish("a", b"1")
        assert await heard.get() == b"1"
        with pytest.raises(Unavailable, match="no server of Redis"):
            await alone.start()
    finally:
        for bus in (*buses, alone):
            await bus.close()
        former.remove()


async def test_a_primary_that_is_gone_is_a_gap(
    redis_cluster: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published at another server than that a node listens to may have died with it: the truth is read."""
    monkeypatch.setattr(redis_bus, "HEALTH_S", 0.05)
    one = redis_cluster[0]
    bus, gaps = RedisBus(one.url, ids=Ids.seeded(1)), asyncio.Queue[Sequence[str]]()
    await bus.start()
    bus.on_gap(gaps.put_nowait)
    for channel in ("a", "b"):
        bus.subscribe(channel, lambda _: None)
        await bus.settle(channel)
    # Another address is another server.
    one.cli("CONFIG", "SET", "cluster-announce-port", "1")
    try:
        assert sorted(await gaps.get()) == ["a", "b"]
    finally:
        one.cli("CONFIG", "SET", "cluster-announce-port", "0")
    await bus.close()


async def test_a_silent_server_takes_its_own_channels_away_alone(
    redis_cluster: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sharded channels: those of the other servers are published to and heard; its own are refused, until it is back."""
    monkeypatch.setattr(sharded_bus, "HEALTH_S", 0.02)
    bus = ShardedBus(redis_cluster[0].url, ids=Ids.seeded(1), deadline_s=0.1)
    await bus.start()
    its, other = (key_of(at).decode() for at in (0, 1))
    heard = asyncio.Queue[bytes]()
    for channel in (its, other):
        bus.subscribe(channel, heard.put_nowait)
        await bus.settle(channel)
    redis_cluster[0].pause()
    try:
        with pytest.raises(Unavailable):  # noqa: PT012
            while True:
                bus.say(its, b"lost")
                await asyncio.sleep(0.01)
        bus.say(other, b"1")
        assert await heard.get() == b"1"
    finally:
        redis_cluster[0].resume()
    await bus.close()


def test_slots_are_those_of_the_specification() -> None:
    """The specification's own example, and its rule: what is between the first { and the next } counts, unless it is nothing."""
    assert slot(b"123456789") == 0x31C3
    assert slot(b"x{user1000}.following") == slot(b"{user1000}.followers") == slot(b"user1000")
    assert slot(b"foo{}{bar}") != slot(b"bar")
    assert slot(b"foo{{bar}}zap") == slot(b"{bar")


def test_what_a_cluster_says_is_taken_apart() -> None:
    """A host that is not named is the one that was asked; slots that nobody has, and errors, are no answer."""
    asked = ("here", 7000)
    halves = [
        [0, 8191, [b"", 7001, b"id"]],
        [8192, 16383, [b"there", 7002, b"id"], [b"r", 1, b"id"]],
    ]
    found = owners(halves, asked)
    assert found is not None
    assert (found[0], found[8192]) == (("here", 7001), ("there", 7002))
    assert owners(halves[:1], asked) is None
    assert owners(ValueError(), asked) is None
    assert redirection(ValueError("MOVED 3999 there:6381"), asked) == (3999, ("there", 6381))
    assert redirection(ValueError("ASK 1 :6381"), asked) == (1, ("here", 6381))
    assert redirection(ValueError("ASK 1 ::1:6381"), asked) == (1, ("::1", 6381))
