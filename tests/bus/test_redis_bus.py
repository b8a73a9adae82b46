"""The bus between nodes, over a real Redis that is killed, stopped and cuts connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest

from clarion.bus import redis_bus
from clarion.bus.redis_bus import RedisBus
from clarion.errors import Overloaded, Unavailable
from clarion.ids import Ids
from clarion.telemetry import redis_links_lost, spawn
from tests.conformance.bus import BusConformance
from tests.support.fake_redis import FakeRedis
from tests.support.redis_server import RedisServer

_count = count(1)


@asynccontextmanager
async def started(
    server: RedisServer, prefix: str, deadline_s: float = 10
) -> AsyncIterator[RedisBus]:
    bus = RedisBus(server.url, ids=Ids.seeded(next(_count)), prefix=prefix, deadline_s=deadline_s)
    await bus.start()
    yield bus
    await bus.close()


class TestRedisBus(BusConformance):
    @pytest.fixture
    async def bus(self, redis_server: RedisServer) -> AsyncIterator[RedisBus]:
        async with started(redis_server, f"bus{next(_count)}") as made:
            yield made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


class Ears:
    """What one node hears: messages, and gaps."""

    def __init__(self, bus: RedisBus, *channels: str) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.gaps: asyncio.Queue[Sequence[str]] = asyncio.Queue()
        bus.on_gap(self.gaps.put_nowait)
        for channel in channels:
            bus.subscribe(channel, self.messages.put_nowait)


async def test_nodes_hear_each_other(redis_server: RedisServer) -> None:
    """Those of one prefix, and no others; a channel that was just subscribed is no gap."""
    async with (
        started(redis_server, "one") as a,
        started(redis_server, "one") as b,
        started(redis_server, "two") as other,
    ):
        ears = [Ears(bus, "x") for bus in (a, b, other)]
        for bus in (a, b, other):
            await bus.settle("x")
        await b.publish("x", b"from b")
        await other.publish("x", b"from the other")
        assert [await each.messages.get() for each in ears] == [
            b"from b",
            b"from b",
            b"from the other",
        ]
        assert all(each.messages.empty() and each.gaps.empty() for each in ears)


async def test_after_a_cut_every_channel_is_told_once_and_works(server: RedisServer) -> None:
    """Redis closes the connection, as it does with who reads too slowly: the bus comes back, and names all channels together."""
    names = [f"c{number}" for number in range(2_500)]
    async with started(server, "p") as bus:
        ears = Ears(bus, *names)
        await bus.settle(names[-1])
        for _ in range(2):
            assert server.cli("CLIENT", "KILL", "TYPE", "pubsub") == "1"
            told: list[str] = []
            while len(told) < len(names):
                told += await ears.gaps.get()
            assert sorted(told) == sorted(names)
            await bus.publish("c77", b"after")
            assert await ears.messages.get() == b"after"
        assert ears.gaps.empty()


async def test_while_redis_is_away_publishing_fails_and_settling_does_not_wait(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is back, what was subscribed before and meanwhile is told as a gap, and hears."""
    monkeypatch.setattr(redis_bus, "LONGEST_S", 0.05)
    async with started(server, "p") as bus:
        ears = Ears(bus, "before")
        await bus.settle("before")
        server.pause()
        bus.subscribe("during", ears.messages.put_nowait)
        settling = bus.settle("during")
        server.kill()
        await settling
        with pytest.raises(Unavailable):
            await bus.publish("before", b"lost")
        bus.subscribe("after", ears.messages.put_nowait)
        await bus.settle("after")
        server.start()
        told: list[str] = []
        while len(told) < 3:
            told += await ears.gaps.get()
        assert sorted(told) == ["after", "before", "during"]
        for channel in told:
            await bus.publish(channel, channel.encode())
            assert await ears.messages.get() == channel.encode()


async def test_a_server_that_is_silent_is_found_out(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that nobody answers on, and nobody closes or uses, is left; the gap is told when it works again."""
    monkeypatch.setattr(redis_bus, "HEALTH_S", 0.05)
    async with started(server, "p", deadline_s=0.1) as bus:
        ears = Ears(bus, "a")
        await bus.settle("a")
        before = redis_links_lost.labels("deadline").value
        server.pause()
        async with asyncio.timeout(5):
            while redis_links_lost.labels("deadline").value == before:  # noqa: ASYNC110  a metric wakes nobody
                await asyncio.sleep(0.01)
        server.resume()
        assert await ears.gaps.get() == ["a"]


async def test_a_receiver_of_all_that_fails_costs_no_connection(server: RedisServer) -> None:
    """It is logged; the next message comes, over the same connection."""
    async with started(server, "p") as bus:
        heard = asyncio.Queue[tuple[str, bytes]]()
        gaps = Ears(bus, "z").gaps

        def fails(channel: str, data: bytes) -> None:
            heard.put_nowait((channel, data))
            raise ValueError("a bug")

        bus.subscribe_all("a", fails)
        await bus.settle("z")
        for data in (b"1", b"2"):
            await bus.publish("ab", data)
        assert [await heard.get(), await heard.get()] == [("ab", b"1"), ("ab", b"2")]
        assert gaps.empty()


async def test_settled_is_what_was_asked_for_last() -> None:
    """The confirmation of a subscription that was given up meanwhile says nothing of the new one."""
    async with FakeRedis() as fake:
        bus = RedisBus(fake.url, ids=Ids.seeded(1))
        await bus.start()
        confirmation = b">3\r\n$9\r\nsubscribe\r\n$9\r\nclarion:a\r\n:1\r\n"
        receiver = bytes.lower
        for _ in range(2):
            bus.subscribe("a", receiver)
            await fake.asks("SUBSCRIBE")
            bus.unsubscribe("a", receiver)
        bus.subscribe("a", receiver)
        settling = spawn(bus.settle("a"), name="test")
        for _ in range(2):
            fake.say(confirmation)
        bus.subscribe("b", receiver)
        fake.say(confirmation.replace(b"clarion:a", b"clarion:b"))
        await bus.settle("b")
        assert not settling.done()
        fake.say(confirmation)
        await settling
        await bus.close()


async def test_it_does_not_start_without_redis(server: RedisServer) -> None:
    """Who starts it is told at once."""
    server.kill()
    bus = RedisBus(server.url, ids=Ids.seeded(1))
    with pytest.raises(Unavailable, match="no answer from Redis"):
        await bus.start()
    await bus.close()


async def test_too_much_that_waits_is_refused(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that takes nothing costs bounded memory."""
    monkeypatch.setattr("clarion.bus.link.UNSENT", 100_000)
    async with started(server, "p") as bus:
        server.pause()

        async def flood() -> None:
            while True:
                await bus.publish("a", b"x" * 50_000)
                await asyncio.sleep(0)

        with pytest.raises(Overloaded):
            await flood()
        server.resume()
