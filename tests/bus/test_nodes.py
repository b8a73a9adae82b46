"""The processes that form one server: who is there, asking and telling all, over a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from clarion.bus import LocalBus, nodes, redis_bus
from clarion.bus.nodes import MISSED, Nodes
from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.bus.registry import Registry, identity
from clarion.errors import SettingsError, Unavailable, UsageError
from clarion.ids import Ids
from tests.support.redis_server import RedisServer

_count = count(1)


class Member:
    """One process: what it was asked, and told to look at again."""

    def __init__(self, server: RedisServer, prefix: str, name: str, who: str = "db") -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.missed = asyncio.Event()
        self.bus = RedisBus(server.url, ids=Ids(), prefix=prefix)
        self._redis = RedisClient(server.url, ids=Ids())
        registry = Registry(self._redis, name, identity(who, "s" * 32), prefix=prefix)
        self.nodes = Nodes(name, self.bus, ids=Ids(), registry=registry)
        self.nodes.on("name", lambda _: name)
        self.nodes.on("news", self.heard.put_nowait)
        self.nodes.on(MISSED, lambda _: self.missed.set())

    async def start(self) -> None:
        await self.bus.start()
        await self.nodes.start()

    async def close(self) -> None:
        await self.nodes.close()
        await self.bus.close()
        await self._redis.close()


@asynccontextmanager
async def members(
    server: RedisServer, *names: str, prefix: str = ""
) -> AsyncIterator[list[Member]]:
    prefix = prefix or f"nodes{next(_count)}"
    made = [Member(server, prefix, name) for name in names]
    for member in made:
        await member.start()
    yield made
    for member in made:
        await member.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


async def test_all_who_are_there_answer(redis_server: RedisServer) -> None:
    """Each once, the one that asks first; who has left is not waited for."""
    async with members(redis_server, "a", "b", "c") as (a, b, c):
        answers = await a.nodes.ask("name")
        assert (answers.values[0], sorted(answers.values)) == ("a", ["a", "b", "c"])
        assert answers.is_complete
        await c.nodes.close()
        assert await b.nodes.ask("name") == nodes.Answers(["b", "a"], is_complete=True)


async def test_one_alone_asks_itself() -> None:
    """Without Redis nobody else is there; a question has one answer."""
    alone = Nodes("a", LocalBus(), ids=Ids())
    alone.on("double", lambda value: 2 * value)
    await alone.start()
    assert await alone.ask("double", 2) == nodes.Answers([4], is_complete=True)
    alone.tell("double", 2)
    with pytest.raises(UsageError):
        alone.on("double", print)
    await alone.close()


async def test_one_that_does_not_answer_is_not_waited_for_long(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died a moment ago and its lease is not over: the others' answers come, and it is said that one is missing."""
    monkeypatch.setattr(nodes, "ANSWER_S", 0.2)
    async with members(redis_server, "a", "b", "dead") as (a, _, dead):
        await dead.bus.close()
        answers = await a.nodes.ask("name")
        assert (sorted(answers.values), answers.is_complete) == (["a", "b"], False)


async def test_the_others_are_told(redis_server: RedisServer) -> None:
    """Not the one that tells."""
    async with members(redis_server, "a", "b", "c") as (a, b, c):
        a.nodes.tell("news", {"n": 1})
        assert [await each.heard.get() for each in (b, c)] == [{"n": 1}, {"n": 1}]
        assert a.heard.empty()


async def test_after_a_break_all_look_again(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One's own connection broke: what it wanted to tell is lost as well, so it tells all. While Redis is away asking fails."""
    monkeypatch.setattr(redis_bus, "LONGEST_S", 0.05)
    async with members(server, "a", "b") as (a, b):
        server.kill()
        with pytest.raises(Unavailable):
            await a.nodes.ask("name")
        a.nodes.tell("news", 1)  # cannot be told
        server.start()
        await a.missed.wait()
        await b.missed.wait()
        async with asyncio.timeout(10):
            # Both take their leases again in the moment after.
            while len((await a.nodes.ask("name")).values) < 2:  # noqa: ASYNC110  there is no event for it
                await asyncio.sleep(0.01)


async def test_leases_that_redis_lost_are_not_forgotten(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis came back empty, and one has not said again that it is there: it is asked all the same, and nobody counts it out."""
    prefix = f"nodes{next(_count)}"
    async with members(redis_server, "a", "b", prefix=prefix) as (a, b):
        await a.nodes.ask("name")
        redis_server.cli("DEL", f"{prefix}:{{nodes}}:leases")
        assert await a.nodes.ask("name") == nodes.Answers(["a", "b"], is_complete=True)
        monkeypatch.setattr(nodes, "ANSWER_S", 0.2)
        b.bus.unsubscribe(nodes.ALL, b.nodes._receive)
        assert not (await a.nodes.ask("name")).is_complete


async def test_another_server_is_not_let_in(redis_server: RedisServer) -> None:
    """Another database, or another secret, under the same prefix; once nobody is left the place is free."""
    prefix = f"nodes{next(_count)}"
    async with members(redis_server, "a", prefix=prefix):
        other = Member(redis_server, prefix, "b", who="another db")
        with pytest.raises(SettingsError, match="another database"):
            await other.start()
        await other.close()
    async with RedisLink(redis_server) as redis:
        await Registry(redis, "b", identity("another db", "y"), prefix=prefix).beat()
        with pytest.raises(SettingsError, match=r"another auth\.token_secret"):
            await Registry(redis, "c", identity("another db", "x"), prefix=prefix).beat()


async def test_the_secret_is_changed_one_process_after_another(redis_server: RedisServer) -> None:
    """First each knows the new one, then each signs with it, then each forgets the former; who knows only the former is not let in any more."""
    prefix = f"nodes{next(_count)}"
    former, new = "f" * 32, "n" * 32

    async with RedisLink(redis_server) as redis:

        async def beat(name: str, secret: str, *others: str) -> None:
            who = identity("db", secret, others=others)
            await Registry(redis, name, who, prefix=prefix).beat()

        await beat("a", former)
        await beat("b", former, new)
        await beat("a", former, new)
        await beat("b", new, former)
        await beat("a", former, new)
        await beat("b", new, former)
        await beat("a", new, former)
        await beat("b", new)
        with pytest.raises(SettingsError, match=r"auth\.other_secrets"):
            await beat("c", former)


async def test_who_could_not_hear_the_others_is_not_let_in(redis_server: RedisServer) -> None:
    """Another format or mode of the backplane, also where both start in the same moment; of another prefix, or beside a former version that does not say, it may."""
    prefix = f"nodes{next(_count)}"

    def node(name: str, backplane: str, of: str = "x") -> Registry:
        return Registry(redis, name, identity("db", "", backplane, of), prefix=prefix)

    async with RedisLink(redis_server) as redis:
        starting = [node("a", "sharded dynamic").beat(), node("b", "sharded static").beat()]
        one, two = await asyncio.gather(*starting, return_exceptions=True)
        assert isinstance(one, SettingsError) != isinstance(two, SettingsError), (one, two)
        await node("c", "streams", of="y").beat()
        redis_server.cli("HDEL", f"{prefix}:{{nodes}}:server", "backplane x")
        await node("d", "streams").beat()


class RedisLink:
    """A client for a moment."""

    def __init__(self, server: RedisServer) -> None:
        self._client = RedisClient(server.url, ids=Ids())

    async def __aenter__(self) -> RedisClient:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
