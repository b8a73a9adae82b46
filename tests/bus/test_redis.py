"""The client of Redis, against real servers that are stopped, killed, full and closed to us."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from clarion.bus import link
from clarion.bus.address import Address, parse
from clarion.bus.redis import RedisClient
from clarion.bus.scripts import Script
from clarion.errors import (
    Closed,
    Internal,
    OutcomeUnknown,
    Overloaded,
    SettingsError,
    StorageFull,
    Unavailable,
)
from clarion.ids import Ids
from clarion.telemetry import spawn
from tests.support.fake_redis import FakeRedis
from tests.support.redis_server import RedisServer

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


def spawned(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return spawn(work, name="test")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[RedisClient]:
    made = RedisClient(server.url, ids=Ids.seeded(1), deadline_s=10)
    yield made
    await made.close()


@pytest.fixture
async def hasty(server: RedisServer) -> AsyncIterator[RedisClient]:
    """One that does not wait long."""
    made = RedisClient(server.url, ids=Ids.seeded(1), deadline_s=0.3)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address([("localhost", 6379)])),
        ("redis://:p%40ss@h:1/2", Address([("h", 1)], password="p@ss", db=2)),
        ("rediss://ann:x@h", Address([("h", 6379)], has_tls=True, user="ann", password="x")),
        ("redis://a:1,b,[::1]:3", Address([("a", 1), ("b", 6379), ("::1", 3)])),
        ("unix:///run/redis.sock?db=3", Address([("/run/redis.sock", 0)], db=3)),
    ],
)
def test_urls_are_taken_apart(url: str, address: Address) -> None:
    """A server, with TLS or a Unix socket, or several to begin at."""
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "h:6379", "http://h", "redis://", "redis://h:x", "redis://h/x", "redis://u:secret@h:x"],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """With what it should be, and without the password."""
    with pytest.raises(SettingsError, match="redis_url must be like") as refused:
        parse(url)
    assert "secret" not in str(refused.value)


async def test_answers_come_to_those_who_asked(client: RedisClient) -> None:
    """Of a thousand callers at once, half of whom give up, each other gets the answer to its own question."""
    await client.call(b"", "PING")
    asked = [spawned(client.call(b"", "ECHO", n)) for n in range(1_000)]
    await asyncio.sleep(0)
    for gone in asked[::2]:
        gone.cancel()
    assert await asyncio.gather(*asked[1::2]) == [b"%d" % n for n in range(1, 1_000, 2)]
    assert await client.call(b"", "ECHO", "after") == b"after"


async def test_who_waits_for_the_end_of_a_link_may_give_up(server: RedisServer) -> None:
    """The end comes all the same, and who waits for an answer is told."""
    address = parse(server.url)
    one = await link.dial(address, address.nodes[0])
    waiting, answer = spawned(one.ended()), one.ask("BLPOP", "never", 0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    server.kill()
    async with asyncio.timeout(5):
        assert type(await answer) is link.Lost
        await one.ended()


async def test_what_cannot_be_written_shifts_no_answers(client: RedisClient) -> None:
    """Text that is no Unicode is refused; those who ask beside and after it get their own answers."""
    await client.call(b"", "PING")
    asked = [spawned(client.call(b"", "ECHO", text)) for text in ("1", "\ud800", "2")]
    one, wrong, two = await asyncio.gather(*asked, return_exceptions=True)
    assert (one, type(wrong), two) == (b"1", UnicodeEncodeError, b"2")
    assert await client.call(b"", "ECHO", "after") == b"after"


async def test_a_script_runs_on_a_server_that_has_not_seen_it(
    client: RedisClient, server: RedisServer
) -> None:
    """Also after the server forgot all scripts; alone and many at once, and each exactly once."""
    assert await client.run(ADD, [b"n"], [2]) == 2
    server.cli("SCRIPT", "FLUSH")
    assert await client.run(ADD, [b"n"], [3]) == 5
    server.cli("SCRIPT", "FLUSH")
    assert await client.run_many(ADD, [([b"n"], [1])] * 3) == [6, 7, 8]


async def test_a_stopped_server_is_unavailable_within_the_deadline(
    hasty: RedisClient, server: RedisServer
) -> None:
    """Of a read nothing is lost; of a write nobody knows. Who comes then, without a connection, waits no longer either; then it goes on."""
    loop = asyncio.get_running_loop()
    await hasty.call(b"", "SET", "n", 1)
    server.pause()
    begin = loop.time()
    results = await asyncio.gather(
        hasty.call(b"n", "GET", "n", is_write=False),
        hasty.call(b"n", "INCR", "n"),
        hasty.run(ADD, [b"n"], [1]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Unavailable, OutcomeUnknown, OutcomeUnknown]
    with pytest.raises(Unavailable, match="no answer from Redis") as refused:
        await hasty.call(b"n", "INCR", "n")
    assert not isinstance(refused.value, OutcomeUnknown)
    assert loop.time() - begin < 5, "ten tries of each would have taken more"
    server.resume()
    assert await hasty.call(b"n", "GET", "n", is_write=False) in {b"1", b"2", b"3"}


async def test_a_server_that_died_is_unavailable_until_it_is_back(
    client: RedisClient, server: RedisServer
) -> None:
    """At once, and the first call after its return succeeds."""
    await client.call(b"", "SET", "n", 1)
    server.pause()
    lost = spawned(client.call(b"", "INCR", "n"))
    await asyncio.sleep(0)
    server.kill()
    with pytest.raises(OutcomeUnknown):
        await lost
    for _ in range(2):
        with pytest.raises(Unavailable, match="no answer from Redis"):
            await client.call(b"", "INCR", "n")
    server.start()
    assert await client.call(b"", "INCR", "n") == 1


async def test_too_much_that_waits_is_refused(
    hasty: RedisClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its cost is paid: nothing of it is sent."""
    await hasty.call(b"", "PING")
    monkeypatch.setattr(link, "IN_FLIGHT", 2)
    server.pause()
    calls = (hasty.call(b"", "INCR", "n") for _ in range(3))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown, Overloaded]
    server.resume()


async def test_full_memory_is_storage_full_and_reads_go_on(
    client: RedisClient, server: RedisServer
) -> None:
    """A write that needs room is refused by name."""
    await client.call(b"", "SET", "n", 1)
    server.cli("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StorageFull):
        await client.call(b"", "SET", "n", 2)
    with pytest.raises(StorageFull):
        await client.run(ADD, [b"n"], [1])
    assert await client.call(b"", "GET", "n", is_write=False) == b"1"


async def test_a_replica_is_unavailable(hasty: RedisClient, server: RedisServer) -> None:
    """A primary that is one no longer writes nothing; once it is again, it does."""
    await hasty.call(b"", "SET", "n", 1)
    server.cli("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(Unavailable, match="READONLY"):
        await hasty.call(b"", "INCR", "n")
    server.cli("REPLICAOF", "NO", "ONE")
    assert await hasty.call(b"", "INCR", "n") == 2


async def test_who_is_not_let_in_is_told(client: RedisClient, server: RedisServer) -> None:
    """A wrong password is named as the cause, not shown; the right one, and the database's number, work."""
    server.cli("CONFIG", "SET", "requirepass", "hunter2")
    with pytest.raises(Unavailable, match="NOAUTH"):
        await client.call(b"", "PING")
    for password, works in (("wrong", False), ("hunter2", True)):
        other = RedisClient(
            server.url.replace("//", f"//:{password}@", 1) + "?db=3", ids=Ids.seeded(1)
        )
        if works:
            assert b"db=3" in await other.call(b"", "CLIENT", "INFO")
        else:
            with pytest.raises(Unavailable, match="WRONGPASS") as refused:
                await other.call(b"", "PING")
            assert "wrong" not in str(refused.value)
        await other.close()


async def test_a_wrong_command_is_a_bug_of_ours(client: RedisClient) -> None:
    """It is raised as such, and the connection stays good."""
    with pytest.raises(Internal, match="unknown command"):
        await client.call(b"", "FROBNICATE")
    with pytest.raises(Internal, match="WRONGTYPE"):
        await client.call_many([(b"", ("SET", "s", 1)), (b"", ("LPUSH", "s", 1))])
    assert await client.call(b"", "GET", "s", is_write=False) == b"1"


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"%1\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n", "is a Sentinel"),
        (b"-ERR unknown command 'HELLO'\r\n", "does not let us in: ERR unknown command"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not let us in"),
        (b"+OK\r\n", "is no Redis"),
        (b"%1\r\n+mode\r\n:1\r\n", "is no Redis"),
        (b"", "no answer from Redis"),
    ],
)
async def test_what_is_no_redis_for_us_is_refused(greeting: bytes, said: str) -> None:
    """A Sentinel, a Redis older than 6, something else, somebody who is silent: unavailable, with what it is."""
    async with FakeRedis(greeting) as fake:
        client = RedisClient(fake.url, ids=Ids.seeded(1), deadline_s=0.2)
        with pytest.raises(Unavailable, match=said):
            await client.call(b"", "PING")
        await client.close()


@pytest.mark.parametrize("nonsense", [b"?what\r\n", b"+PONG\r\n+PONG\r\n"])
async def test_a_server_that_talks_nonsense_is_left(nonsense: bytes) -> None:
    """What is no answer, or one that nobody asked for: the connection is thrown away, and the next call makes another."""
    async with FakeRedis() as fake:
        client = RedisClient(fake.url, ids=Ids.seeded(1), deadline_s=5)
        for _ in range(2):
            call = spawned(client.call(b"", "PING", is_write=False))
            await fake.asks("PING")
            fake.say(nonsense)
            await asyncio.wait([call])
            await fake.lost.wait()
        await client.close()


async def test_a_closed_client_refuses(client: RedisClient, server: RedisServer) -> None:
    """What waits for a connection is told so, too."""
    server.pause()
    waiting = spawned(client.call(b"", "PING"))
    await asyncio.sleep(0.01)
    await client.close()
    with pytest.raises(Unavailable, match="closed"):
        await waiting
    with pytest.raises(Closed):
        await client.call(b"", "PING")


def test_it_runs_on_uvloop(server: RedisServer) -> None:
    """The loop of the server in production, whose transports are of another kind."""

    async def main() -> object:
        client = RedisClient(server.url, ids=Ids.seeded(1))
        try:
            return await client.run(ADD, [b"n"], [7])
        finally:
            await client.close()

    assert uvloop.run(main()) == 7


async def test_a_redis_that_evicts_is_found(server: RedisServer) -> None:
    """With a limit and another policy than `noeviction`; without a limit nothing is thrown away."""
    client = RedisClient(server.url, ids=Ids())
    found = []
    for limit, policy in (("0", "allkeys-lru"), ("100mb", "noeviction"), ("100mb", "allkeys-lru")):
        server.cli("CONFIG", "SET", "maxmemory", limit)
        server.cli("CONFIG", "SET", "maxmemory-policy", policy)
        found.append(await client.evicts())
    await client.close()
    assert found == [False, False, True]
