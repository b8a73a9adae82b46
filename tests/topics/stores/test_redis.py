"""Topics in Redis: what only a store has that many nodes share, and that may lose its last second."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from clarion.bus.address import parse
from clarion.bus.link import dial
from clarion.bus.redis import RedisClient
from clarion.clock import ManualClock
from clarion.errors import OutcomeUnknown, StorageFull, Unavailable, UsageError
from clarion.ids import Ids
from clarion.topics.books import channel
from clarion.topics.changes import Change
from clarion.topics.engine import Frame
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep
from clarion.topics.stores.redis import RedisStore
from clarion.topics.stream import Position, Recovered, Refused, recover
from tests.support.redis_server import RedisServer

KEEP = Keep(size=100, age_s=60.0, keys=50)
MAP = Topic("default", "map", "a")
_count = itertools.count(1)


def put(key: str, data: Any, **more: Any) -> Change:
    return Change(event="set", key=key, data=data, **more)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    made = RedisClient(redis_server.url, ids=Ids.seeded(1))
    yield made
    await made.close()


@pytest.fixture
def prefix() -> str:
    return f"own{next(_count)}"


@pytest.fixture
def store(client: RedisClient, clock: ManualClock, prefix: str) -> RedisStore:
    return RedisStore(client, clock=clock, ids=Ids.seeded(1), prefix=prefix)


@pytest.fixture
def fragile() -> Iterator[RedisServer]:
    """A server that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


@pytest.fixture
async def fragile_store(fragile: RedisServer, clock: ManualClock) -> AsyncIterator[RedisStore]:
    client = RedisClient(fragile.url, ids=Ids.seeded(1), deadline_s=10)
    yield RedisStore(client, clock=clock, ids=Ids.seeded(1))
    await client.close()


async def recovery(store: RedisStore, since: Position) -> Recovered | Refused:
    read = await store.read(MAP, since.offset, 10)
    return recover(since, read.top, read.entries, 10)


async def test_a_lost_tail_is_never_recovered_from(
    fragile_store: RedisStore, fragile: RedisServer
) -> None:
    """Redis comes back without its last second, in the same epoch, and grows again over the same offsets: who stood there is told."""
    store = fragile_store
    kept = (await store.append(MAP, [put("a", 1)], KEEP)).position
    fragile.cli("SAVE")
    lost = (await store.append(MAP, [put("a", 2), put("b", 2)], KEEP)).position
    fragile.kill()
    with pytest.raises(Unavailable):
        await store.top([MAP])
    fragile.start()
    assert await store.top([MAP]) == [kept]
    assert await recovery(store, lost) == Refused("diverged")
    regrown = await store.append(MAP, [put("a", 3), put("b", 3)], KEEP)
    assert (regrown.position.epoch, regrown.position.offset) == (lost.epoch, lost.offset)
    assert await recovery(store, lost) == Refused("diverged")
    await store.append(MAP, [put("c", 3)], KEEP)
    assert await recovery(store, lost) == Refused("diverged")
    found = await recovery(store, kept)
    assert isinstance(found, Recovered), "what was kept is true"
    assert [entry.data for entry in found.entries] == [3, 3, 3]


async def test_a_stopped_redis_costs_no_more_than_the_deadline(
    fragile: RedisServer, clock: ManualClock
) -> None:
    """Reading is unavailable; of a write the outcome is unknown, and repeated with its id it is made once."""
    client = RedisClient(fragile.url, ids=Ids.seeded(1), deadline_s=0.3)
    store, change = RedisStore(client, clock=clock, ids=Ids.seeded(1)), put("a", 2, id="x")
    await store.append(MAP, [put("a", 1)], KEEP)
    fragile.pause()
    results = await asyncio.gather(
        store.read(MAP, 0, 10),
        store.append(MAP, [change], KEEP),
        store.expire(10),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Unavailable, OutcomeUnknown, Unavailable]
    fragile.resume()
    await store.append(MAP, [change], KEEP)
    assert [entry.data for entry in (await store.read(MAP, 0, 10)).entries] == [1, 2]
    await client.close()


async def test_a_full_redis_is_read_on(
    fragile_store: RedisStore, fragile: RedisServer, clock: ManualClock
) -> None:
    """A publish is refused by name and leaves nothing; once there is room, it is made."""
    store = fragile_store
    made = await store.append(MAP, [put("a", 1)], KEEP)
    fragile.cli("CONFIG", "SET", "maxmemory", "1")
    clock.advance(120)
    with pytest.raises(StorageFull):
        await store.append(MAP, [put("a", 2)], KEEP)
    assert await store.top([MAP]) == [made.position]
    assert [item.data for _, item in (await store.items(MAP, "", 9)).items] == [1]
    fragile.cli("CONFIG", "SET", "maxmemory", "0")
    assert (await store.append(MAP, [put("a", 2)], KEEP)).position.offset == 2


async def test_data_comes_back_as_it_was_given(store: RedisStore) -> None:
    """Empty arrays, large integers, any character: Lua has touched none of it, in entries, items, keys, ids and tags."""
    given = [
        [], {}, {"a": []}, [{}], 2**53 + 1, 2**70, -0.0, 1e308, 0.1, "", "\x00\x7f\u2028/\\\"é😀", None, [None],
    ]  # fmt: skip
    for number, data in enumerate(given):
        text = f"{number}\x00 {{}}\n/é😀"
        await store.append(MAP, [put(text, data, id=text, tags={text: text}, version=number)], KEEP)
    entries = (await store.read(MAP, 0, 100)).entries
    items = [item for _, item in (await store.items(MAP, "", 100)).items]
    items.sort(key=lambda item: item.offset)
    assert json.dumps([entry.data for entry in entries]) == json.dumps(given)
    assert json.dumps([item.data for item in items]) == json.dumps(given)
    assert [item.version for item in items] == list(range(len(given)))
    assert all(entry.key and entry.tags == {entry.key: entry.key} for entry in entries)
    again = await store.append(MAP, [put("x", 1, id="0\x00 {}\n/é😀")], KEEP)
    assert again.outcomes[0].refused == "duplicate"


async def test_numbers_are_exact_up_to_the_largest(
    store: RedisStore, client: RedisClient, prefix: str
) -> None:
    """Offsets near 2**53, versions as large, and marks that wrap: nothing is rounded on its way."""
    await store.append(MAP, [put("a", 0)], KEEP)
    [head] = await client.call(b"", "KEYS", f"{prefix}:*:head:default|map:a")
    top = 2**53 - 3
    await client.call(head, "HSET", head, "offset", top, "mark", 2**32 - 1)
    await client.call(head, "DEL", head.replace(b":head:", b":log:"))
    made = await store.append(MAP, [put("b", 1, version=2**53 - 1, id="x")], KEEP)
    [entry] = made.entries
    assert (entry.offset, entry.prior) == (top + 1, 2**32 - 1)
    assert entry.mark < 2**32 - 1
    assert made.position.offset == made.outcomes[0].offset == top + 1
    assert (await store.read(MAP, top, 1)).entries == [entry]
    [item] = await store.get(MAP, ["b"])
    assert item is not None
    assert (item.offset, item.version) == (top + 1, 2**53 - 1)
    assert (await store.append(MAP, [put("b", 1, id="x")], KEEP)).outcomes[0].offset == top + 1


async def test_nodes_share_what_expires(
    redis_server: RedisServer, clock: ManualClock, prefix: str
) -> None:
    """Each removal is handed to one of them, however they race; together they have all."""
    clients = [RedisClient(redis_server.url, ids=Ids.seeded(number)) for number in range(3)]
    nodes = [RedisStore(c, clock=clock, ids=Ids.seeded(1), prefix=prefix) for c in clients]
    topics = [Topic("default", "map", f"t{number}") for number in range(20)]
    for topic in topics:
        due = [put(key, 1, expires_ms=clock.now_ms() + 1) for key in "abc"]
        await nodes[0].append(topic, due, KEEP)
    clock.advance(1)
    rounds = await asyncio.gather(*(node.expire(100) for node in nodes * 2))
    gone = [(one.topic.name, entry.key) for some in rounds for one in some for entry in one.entries]
    assert sorted(gone) == sorted((topic.name, key) for topic in topics for key in "abc")
    for client in clients:
        await client.close()


async def test_the_script_publishes_what_the_engine_would_announce(
    redis_server: RedisServer, client: RedisClient, clock: ManualClock, prefix: str
) -> None:
    """One frame for each append that changed something, with its entries, on the topic's channel; likewise for what expires."""
    store = RedisStore(client, clock=clock, ids=Ids.seeded(1), prefix=prefix, channel=channel)
    heard: asyncio.Queue[list[Any]] = asyncio.Queue()
    address = parse(redis_server.url)
    link = await dial(address, address.nodes[0], on_push=heard.put_nowait)
    link.tell("SUBSCRIBE", channel(MAP))
    await heard.get()
    due = clock.now_ms() + 1
    made = await store.append(MAP, [put("a", {"x": [1.5, []]}, expires_ms=due), put("b", 2)], KEEP)
    await store.append(MAP, [put("b", 3, id="y"), put("b", 3, id="y")], KEEP)
    await store.append(MAP, [put("b", 3, id="y")], KEEP)
    clock.advance(1)
    await store.expire(10)
    frames = [msgspec.json.decode((await heard.get())[2], type=Frame) for _ in range(3)]
    assert frames[0] == Frame(made.position.epoch, made.entries)
    log = (await store.read(MAP, 0, 10)).entries
    assert [entry for frame in frames for entry in frame.entries] == log
    assert (log[-1].event, log[-1].key) == ("remove", "a")
    assert heard.empty()
    link.abort("closed")
    await link.lost


async def test_a_topic_and_what_is_due_of_it_are_in_one_slot(
    redis_cluster: list[RedisServer], clock: ManualClock
) -> None:
    """In a Cluster every operation works on every topic, whatever its name; what expires is found on all servers."""
    client = RedisClient(redis_cluster[1].url, ids=Ids.seeded(1))
    store = RedisStore(client, clock=clock, ids=Ids.seeded(1))
    topics = [Topic("acme", "map", f"{{t}}{number}}}") for number in range(40)]
    for topic in topics:
        changes = [put("a", 1, id="x", expires_ms=clock.now_ms() + 5), put("b", 2, tags={"t": "1"})]
        await store.append(topic, changes, KEEP)
    assert await store.renew(topics[0], ["a"], clock.now_ms() + 9) == 1
    clock.advance(1)
    expired = await store.expire(100)
    assert sorted(each.topic.name for each in expired) == sorted(t.name for t in topics)
    assert {position.offset for position in await store.top(topics)} == {3}
    for topic in topics[:10]:
        read = await store.read(topic, await store.since(topic, clock.now_ms()), 9)
        assert [(entry.event, entry.key) for entry in read.entries] == [("remove", "a")]
        assert [key for key, _ in (await store.items(topic, "", 9)).items] == ["b"]
        assert [item is None for item in await store.get(topic, ["a", "b"])] == [True, False]
        assert (await store.clear(topic)).offset == 0
    clock.advance(100)
    assert await store.trim() == 30 * 3
    assert all(int(server.cli("DBSIZE")) > 50 for server in redis_cluster)
    await client.close()


async def test_nothing_is_left_of_topics_that_nobody_uses(
    store: RedisStore, client: RedisClient, clock: ManualClock, prefix: str
) -> None:
    """Neither of those that were only asked for, nor of logs that ran out, of ids, of items that expired or were cleared away."""
    await store.top([MAP, Topic("acme", "map", "b")])
    changes = [put(k, 1, id=k, version=1, expires_ms=clock.now_ms() + 9_000) for k in "abc"]
    await store.append(MAP, changes, KEEP)
    await store.append(MAP, [Change(event="remove", key="a", version=2)], KEEP)
    cleared = Topic("default", "map", "cleared")
    await store.append(cleared, [put("a", 1, expires_ms=clock.now_ms() + 1)], KEEP)
    await store.clear(cleared)
    for _ in range(3):
        clock.advance(400)
        await store.expire(10)
        await store.trim()
    assert await client.call(b"", "KEYS", f"{prefix}:*") == []


async def test_what_is_kept_beside_a_state_goes_with_its_time(
    store: RedisStore, client: RedisClient, clock: ManualClock, prefix: str
) -> None:
    """Ids after five minutes, the log after its age, an item's end with the item: of a state that stays, nothing else does."""
    await store.append(MAP, [put(k, 1, id=k, expires_ms=clock.now_ms() + 9) for k in "abc"], KEEP)
    await store.append(MAP, [put(key, 2) for key in "abc"], KEEP)
    assert await client.call(b"", "KEYS", f"{prefix}:*:due") == []
    clock.advance(301)
    await store.trim()
    kinds = {key.split(b":")[2] for key in await client.call(b"", "KEYS", f"{prefix}:*")}
    assert kinds == {b"head", b"items", b"names", b"topics"}


async def test_a_topic_of_which_the_head_is_gone_begins_anew(
    store: RedisStore, client: RedisClient, prefix: str
) -> None:
    """Whoever deleted it: no remainder is taken for the state of another epoch."""
    before = await store.append(MAP, [put("a", 1, id="x")], KEEP)
    [head] = await client.call(b"", "KEYS", f"{prefix}:*:head:*")
    await client.call(head, "DEL", head)
    assert (await store.items(MAP, "", 9)).items == []
    made = await store.append(MAP, [put("a", 1, id="x")], KEEP)
    assert (made.position.offset, made.outcomes[0].refused) == (1, None)
    assert made.position.epoch != before.position.epoch


async def test_a_long_log_is_trimmed_in_slices(store: RedisStore, clock: ManualClock) -> None:
    """All of it, with other scripts in between; what is young stays."""
    keep = Keep(size=5_000, age_s=60.0, keys=0)
    for _ in range(5):
        await store.append(MAP, [Change(event="said", data=n) for n in range(500)], keep)
    clock.advance(50)
    made = await store.append(MAP, [Change(event="said")], keep)
    clock.advance(20)
    assert await store.trim() == 2_500
    assert await store.trim() == 0
    assert (await store.read(MAP, 0, 10)).entries == made.entries


def test_a_prefix_with_braces_is_refused(client: RedisClient, clock: ManualClock) -> None:
    """They would decide about the slot of every key."""
    with pytest.raises(UsageError, match="hash tag"):
        RedisStore(client, clock=clock, ids=Ids.seeded(1), prefix="{x}")
