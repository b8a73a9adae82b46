"""Topics in Python: what an application may do with them, and what its own kinds decide."""

import asyncio
from typing import Any

import pytest

from clarion.auth.principal import Principal
from clarion.errors import Invalid, TooLarge, UsageError
from clarion.ids import Ids
from clarion.protocol.codes import CloseCode
from clarion.topics import Call, Publish, Published, SignedIn, Topic, Topics
from clarion.topics.commands import Commands
from clarion.topics.stores import MemoryStore
from tests.topics.fakes import Socket, settle
from tests.topics.house import ANYBODY, LIMITS, OWNER, RED, House, Reader


async def test_an_application_may_go_on_changing_what_it_gave_and_got(house: House) -> None:
    """The topic has a value of its own; else the difference would be sent as none."""
    board, socket = house.topics.of("board:x"), house.socket()
    reader = Reader(await house.ask(socket, "subscribe", "board:x"))
    mine = {"title": "a long title", "n": 1}
    await board.set("a", mine)
    mine["n"] = 2
    await board.set("a", mine)
    await settle()
    assert reader.take(socket).state == {"a": {"title": "a long title", "n": 2}}

    def count(data: Any) -> Any:
        data["n"] += 1
        return data

    await board.update("a", count)
    item = await board.get("a")
    assert item is not None
    item.data["n"] = 9
    (await board.items()).items[0][1].data["n"] = 9
    await settle()
    assert reader.take(socket).state == {"a": {"title": "a long title", "n": 3}}
    with pytest.raises(TooLarge):
        await board.update("a", lambda _: "x" * 300)


async def test_an_application_reads_and_changes_topics_in_python(house: House) -> None:
    """Handles: set, remove, counters that lose nothing under contention, pages."""
    board = house.topics.of("board:x")
    await asyncio.gather(*(board.increment("votes") for _ in range(10)))
    await board.set("a", "x", tags=RED)
    assert [(key, item.data) for key, item in (await board.items()).items] == [
        ("a", "x"),
        ("votes", 10),
    ]
    await board.remove("a")
    await board.set("a", "x")
    with pytest.raises(Invalid, match="no number"):
        await board.increment("a")
    await house.topics.of("chat:x").publish("said", "hello")


async def test_a_kind_may_decide_what_publishing_means(house: House) -> None:
    """Ten lines of an application: it checks, and writes what it wants."""

    async def vote(call: Call, given: Publish) -> Published:
        if given.data not in {"pizza", "pasta"}:
            raise Invalid("there is no such dish")
        assert call.principal is not None
        return await house.topics.of(call.topic.wire).set(call.principal.id, given.data)

    house.topics.add(
        "poll", "map", rights={"subscribe": SignedIn(), "publish": SignedIn()}, publish=vote
    )
    socket = house.socket()
    reader = Reader(await house.ask(socket, "subscribe", "poll:lunch"))
    for dish in ("pizza", "pasta"):
        await house.ask(socket, "publish", "poll:lunch", event="vote", data=dish)
    assert (await house.error(socket, "publish", "poll:lunch", event="vote", data="soup"))[
        "code"
    ] == "invalid"
    assert reader.take(socket).state == {"ada": "pasta"}


async def test_a_kind_may_decide_which_topic_is_meant(house: House) -> None:
    """By the subscriber's `params`; the ack names the topic, and that name ends the subscription."""

    async def open_query(topic: Topic, _: Principal | None, params: Any) -> Topic:
        if "query" not in params:
            raise Invalid("a query is needed")
        return Topic(topic.tenant, topic.kind, f"{topic.name}/{params['query']}")

    watched: list[tuple[str, bool]] = []
    house.topics.add(
        "found",
        "map",
        rights={"subscribe": SignedIn()},
        open=open_query,
        watched=lambda topic, begins: watched.append((topic.wire, begins)),
    )
    one, two = house.socket("1"), house.socket("2")
    assert (await house.error(one, "subscribe", "found:all"))["code"] == "invalid"
    for socket in (one, two):
        answer = await house.ask(socket, "subscribe", "found:all", params={"query": "red"})
        assert answer["topic"] == "found:all/red"
    assert watched == [("found:all/red", True)]
    await house.ask(one, "unsubscribe", "found:all/red")
    house.commands.disconnected(two)
    assert watched == [("found:all/red", True), ("found:all/red", False)]


async def test_a_kind_is_told_when_a_subscription_begins_and_how_it_ends(house: House) -> None:
    """With socket and `params`, before the log is read; what it raises is the answer. In the end: whether the client may come back."""
    told: list[Any] = []

    async def as_named(topic: Topic, _: Principal | None, params: Any) -> Topic:
        return topic

    def began(topic: Topic, socket: Any, who: Principal | None, params: Any) -> None:
        if "no" in params:
            raise Invalid("no")
        told.append((topic.wire, socket.id, who and who.id, params))

    kind = house.topics.add(
        "door",
        "map",
        rights={"subscribe": SignedIn()},
        open=as_named,
        began=began,
        ended=lambda topic, socket, who, may_return: told.append((socket.id, may_return)),
    )
    one, two, three = (house.socket(name) for name in "123")
    assert (await house.error(one, "subscribe", "door:x", params={"no": 1}))["code"] == "invalid"
    assert told == [("1", True)]
    assert house.bench.engine.occupancy(Topic("default", "door", "x")).subscriptions == 0
    for socket in (one, two, three):
        await house.ask(socket, "subscribe", "door:x", params={"n": 1})
    assert told[1:] == [("door:x", name, "ada", {"n": 1}) for name in "123"]
    del told[:]
    await house.ask(one, "subscribe", "door:x")
    assert told == [("1", False), ("door:x", "1", "ada", {})]
    await house.ask(one, "unsubscribe", "door:x")
    house.commands.disconnected(two)
    assert told[2:] == [("1", False), ("2", True)]
    topic = Topic("default", kind.name, "x")
    assert house.bench.engine.end_of_topic(topic, CloseCode.RESIZED) == 1
    assert house.bench.engine.end_of_topic(topic, CloseCode.RESIZED) == 0
    await house.ask(one, "subscribe", "door:x")
    house.bench.engine.end_of_user("default", "ada")
    assert told[4:] == [("3", True), ("door:x", "1", "ada", {}), ("1", False)]
    assert [each["code"] for each in three.ended] == [3012]


async def test_params_and_rewind_are_for_kinds_that_take_them(house: House) -> None:
    socket = house.socket()
    assert (await house.error(socket, "subscribe", "board:x", params={"a": 1}))["errors"][0][
        "pointer"
    ] == "/params"
    assert (await house.error(socket, "subscribe", "board:x", rewind={"count": 1}))["errors"][0][
        "pointer"
    ] == "/rewind"
    assert (await house.error(socket, "subscribe", "board:x", filter={}))["errors"][0][
        "pointer"
    ] == "/filter"


async def test_who_is_subscribed_is_counted_and_can_be_ended(house: House) -> None:
    """Subscriptions and users of a topic; the subscriptions of a user end with 3500."""
    one, two = house.socket("1"), house.socket("2")
    for socket in (one, two):
        await house.ask(socket, "subscribe", "board:x")
    await house.ask(one, "subscribe", "chat:x")
    topic, engine = Topic("default", "board", "x"), house.bench.engine
    assert (engine.occupancy(topic).subscriptions, engine.occupancy(topic).users) == (2, 1)
    assert engine.end_of_user("default", "ada", "board:x") == 2
    assert [socket.ended[0]["code"] for socket in (one, two)] == [3500, 3500]
    assert engine.occupancy(topic).subscriptions == 0
    assert engine.end_of_user("default", "ada") == 1


async def test_a_kinds_name_is_taken_once(house: House) -> None:
    with pytest.raises(UsageError, match="taken"):
        house.topics.add("board", "map", rights=ANYBODY)


async def test_what_is_durable_is_in_a_store_of_its_own(house: House) -> None:
    """There, too, items end by themselves and that is announced, and what a socket owns stays as long as it does; the other store's topics are not touched."""
    bench = house.bench
    durable = MemoryStore(clock=bench.clock, ids=Ids.seeded(9))
    topics = Topics(
        bench.engine, bench.kinds, bench.store, LIMITS, clock=bench.clock, durable=durable
    )
    topics.add("desk", "map", rights=ANYBODY, durability="durable")
    topics.add("hall", "map", rights=ANYBODY)
    commands = Commands(bench.engine, topics, lambda _: OWNER, LIMITS, clock=bench.clock)
    owner, reader = Socket("o"), Socket("r")
    for socket in (owner, reader):
        commands.connected(socket)
    for name in ("desk:1", "hall:1"):
        answer = await commands.run(reader, "subscribe", {"topic": name})
        assert answer.then is not None
        answer.then()
        for more in ({"key": "mine", "owned": True}, {"key": "short", "ttl_s": 0.5}):
            done = await commands.run(owner, "publish", {"topic": name, "data": 1, **more})
            assert done.value.durability == ("durable" if name == "desk:1" else "recoverable")
    bench.clock.advance(0.6)
    await topics.renew()
    assert await topics.expire() == 2
    bench.clock.advance(0.6)
    assert await topics.expire() == 0
    await settle()
    ended = [(data.topic, data.key) for _, data in reader.got if data.event == "remove"]
    assert sorted(ended) == [("desk:1", "short"), ("hall:1", "short")]
    for store, name, other in ((durable, "desk", "hall"), (bench.store, "hall", "desk")):
        [mine, short] = await store.get(Topic("default", name, "1"), ["mine", "short"])
        assert (mine is None, short) == (False, None)
        assert await store.get(Topic("default", other, "1"), ["mine"]) == [None]


async def test_without_a_store_for_it_nothing_is_durable(house: House) -> None:
    """A promise that nobody keeps is not made."""
    with pytest.raises(UsageError, match="durable"):
        house.topics.add("desk", "map", rights=ANYBODY, durability="durable")


async def test_only_kinds_that_say_so_take_appends(house: House) -> None:
    """To another map `append` is refused: nobody would know what it makes of the item. A stream may call its events what it likes."""
    error = await house.error(house.socket(), "publish", "board:x", key="a", event="append", data=1)
    assert (error["code"], error["errors"][0]["pointer"]) == ("invalid", "/event")
    answer = await house.ask(house.socket(), "publish", "chat:x", event="append", data=1)
    assert answer["offset"] == 1
