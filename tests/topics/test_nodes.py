"""Two nodes over one Redis: what is published on either reaches the subscribers of both."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from clarion.auth.principal import Principal
from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.books import channel
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kinds, Read, SignedIn, Topic
from clarion.topics.publishing import Published
from clarion.topics.stores.redis import RedisStore
from clarion.topics.stream import Position
from clarion.topics.topics import Topics
from tests.support.redis_server import RedisServer
from tests.topics.fakes import Socket

ADA = Principal(id="ada")


class CountingStore(RedisStore):
    """Says how often a log was read: each time, something had to be repaired."""

    reads = 0

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        self.reads += 1
        return await super().read(topic, after, limit)


class Node:
    """A node's topics, its bus and a subscriber."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self.bus = RedisBus(server.url, ids=Ids(), prefix="nodes")
        self._client = RedisClient(server.url, ids=Ids())
        self.store = CountingStore(
            self._client,
            clock=SystemClock(),
            ids=Ids(),
            prefix="nodes",
            channel=lambda topic: self.bus.name_of(channel(topic)),
        )
        kinds, limits = Kinds(), Limits()
        self.engine = TopicEngine(
            lambda event, data: (event, data),
            kinds, self.bus, limits, clock=SystemClock(), ids=Ids(),
        )  # fmt: skip
        self.topics = Topics(self.engine, kinds, self.store, limits, clock=SystemClock())
        self.topics.add("log", "stream", rights={"subscribe": SignedIn()})
        self.socket = Socket(name)

    async def subscribe(self, topic: str) -> Position:
        answer, subscription = await self.engine.subscribe(self.socket, ADA, SubscribeArgs(topic))
        self.engine.go(subscription)
        return answer.position

    async def publish(self, topic: str, data: Any) -> Published:
        return await self.topics.of(topic).publish("said", data)

    async def has(self, count: int) -> None:
        """Return when the subscriber has so many publications."""
        async with asyncio.timeout(10):
            while len(self.socket.offsets) < count:
                self.socket.arrived.clear()
                await self.socket.arrived.wait()

    async def close(self) -> None:
        await self.topics.close()
        await self.engine.close()
        await self.bus.close()
        await self._client.close()


@asynccontextmanager
async def two(server: RedisServer) -> AsyncIterator[tuple[Node, Node]]:
    nodes = Node(server, "one"), Node(server, "two")
    for node in nodes:
        await node.bus.start()
    yield nodes
    for node in nodes:
        await node.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


async def test_subscribers_of_all_nodes_see_one_order(redis_server: RedisServer) -> None:
    """Whoever publishes, each subscriber gets every offset once, with the same data; and nobody had to read the log for it."""
    async with two(redis_server) as nodes:
        for node in nodes:
            assert (await node.subscribe("log:a")).offset == 0
        calls = (nodes[number % 2].publish("log:a", number) for number in range(100))
        published = await asyncio.gather(*calls)
        for node in nodes:
            await node.has(100)
        assert sorted(each.offset for each in published) == list(range(1, 101))
        one, other = (node.socket for node in nodes)
        assert one.got == other.got
        assert one.offsets == list(range(1, 101))
        assert [node.store.reads for node in nodes] == [0, 0]


async def test_who_subscribes_while_others_publish_misses_nothing(
    redis_server: RedisServer,
) -> None:
    """From the position of the ack on, without a repair: the log was read after Redis had confirmed the subscription."""
    async with two(redis_server) as (busy, late):
        for round in range(10):
            topic = f"log:late{round}"
            publishing = [busy.publish(topic, number) for number in range(20)]
            position, *_ = await asyncio.gather(late.subscribe(topic), *publishing)
            await late.has(20 - position.offset)
            assert late.socket.offsets == list(range(position.offset + 1, 21))
            late.engine.unsubscribe(late.socket, topic)
            late.socket.got.clear()
        assert late.store.reads == 0


async def test_cut_connections_cost_no_publication(server: RedisServer) -> None:
    """Redis cuts the subscribers off again and again while both nodes publish: each subscriber ends with every offset, once and in order."""
    async with two(server) as nodes:
        for node in nodes:
            await node.subscribe("log:a")
        done = 0
        for _ in range(5):
            calls = [nodes[n % 2].publish("log:a", n) for n in range(20)]
            server.cli("CLIENT", "KILL", "TYPE", "pubsub")
            calls += [nodes[n % 2].publish("log:a", n) for n in range(20)]
            await asyncio.gather(*calls)
            done += len(calls)
            for node in nodes:
                await node.has(done)
        one, other = (node.socket for node in nodes)
        assert one.got == other.got
        assert one.offsets == list(range(1, done + 1))


async def test_a_redis_that_lost_its_tail_sends_subscribers_for_the_state(
    server: RedisServer,
) -> None:
    """It comes back with an older past: whoever knew more is told 3010, on every node, and is at one with the log after that."""
    async with two(server) as nodes:
        await nodes[0].publish("log:a", 1)
        server.cli("SAVE")
        for node in nodes:
            await node.subscribe("log:a")
        await nodes[0].publish("log:a", "lost")
        for node in nodes:
            await node.has(1)
        server.kill()
        server.start()
        for node in nodes:
            async with asyncio.timeout(10):
                while not node.socket.ended:
                    node.socket.arrived.clear()
                    await node.socket.arrived.wait()
            assert node.socket.ended[0]["code"] == 3010
            assert (await node.subscribe("log:a")).offset == 1
        again = await nodes[1].publish("log:a", "other")
        for node in nodes:
            await node.has(2)
            assert node.socket.got[-1][1].mark == again.mark
