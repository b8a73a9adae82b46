"""Signals: who types, where cursors are, who has locked what; each goes by itself unless it is said again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion.auth.principal import Principal
from clarion.errors import Invalid, Unavailable
from clarion.topics import Publish
from tests.features.presence.house import Client, Node, nodes, user
from tests.topics.fakes import settle

TOPIC = "signals:doc"


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with nodes(signals=3, signals_tick_s=0) as (made,):
        yield made


async def say(client: Client, event: str, **more: Any) -> Any:
    return await client.ask("publish", TOPIC, event=event, **more)


async def refused(client: Client, event: str, **more: Any) -> Any:
    return (await say(client, event, **more))["error"]


async def watch(node: Node, name: str = "w") -> Client:
    client = node.connect(name)
    answer = await client.ask("subscribe", TOPIC)
    client.state = {item["key"]: item["data"] for item in answer["snapshot"]["items"]}
    return client


async def later(node: Node, seconds: float) -> None:
    """Let time pass, and what is over end."""
    node.clock.advance(seconds)
    await node.topics.expire()
    await settle()


async def test_who_types_does_so_until_they_stop_or_fall_silent(node: Node) -> None:
    """The server says after how long; to say it again in time is no publication."""
    watcher, ann, other = await watch(node), node.connect("ann"), node.connect("ann")
    answer = await say(ann, "typing")
    assert (answer["ttl_s"], answer["class"]) == (6, "recoverable")
    assert watcher.heard() == [("typing", "typing:ann")]
    assert watcher.state == {"typing:ann": {"user": "ann"}}
    for client in (ann, other, ann, other):
        await later(node, 4)
        assert (await say(client, "typing", data=True))["ttl_s"] == 6
    assert [event for event, _ in watcher.heard()] == ["typing"]
    await later(node, 6)
    assert watcher.heard() == [("remove", "typing:ann")]
    await say(ann, "typing")
    await say(ann, "typing", data=False)
    await say(ann, "typing", data=False)
    assert watcher.heard() == [("typing", "typing:ann"), ("remove", "typing:ann")]


async def test_each_connection_has_a_cursor(node: Node) -> None:
    """It moves, and goes with the connection, or by null."""
    watcher, phone, laptop = await watch(node), node.connect("ann"), node.connect("ann")
    await say(phone, "cursor", data={"x": 1})
    await say(laptop, "cursor", data={"x": 2})
    await say(phone, "cursor", data={"x": 3})
    assert len(watcher.heard()) == 3
    assert sorted(watcher.state.values(), key=str) == [
        {"user": "ann", "data": {"x": x}} for x in (2, 3)
    ]
    phone.disconnect()
    await settle()
    assert [event for event, _ in watcher.heard()] == ["remove"]
    await say(laptop, "cursor", data=None)
    watcher.heard()
    assert watcher.state == {}


async def test_a_lock_is_had_by_one(node: Node) -> None:
    """Whoever comes second is told who has it; who has it may say so again, and more; it is free when they release it, go, or fall silent."""
    watcher, ann, ben = await watch(node), node.connect("ann"), node.connect("ben")
    assert (await say(ann, "lock", key="a1", data={"why": "editing"}))["ttl_s"] == 30
    error = await refused(ben, "lock", key="a1")
    assert (error["code"], error["current"]["data"]) == (
        "conflict", {"user": "ann", "data": {"why": "editing"}},
    )  # fmt: skip
    await say(ann, "lock", key="a1", data={"why": "still"})
    await later(node, 25)
    await say(ann, "lock", key="a1", data={"why": "still"})
    await later(node, 25)
    assert (await refused(ben, "lock", key="a1"))["code"] == "conflict"
    await say(ben, "unlock", key="a1")  # it is not his
    assert (await refused(ben, "lock", key="a1"))["code"] == "conflict"
    await say(ann, "unlock", key="a1")
    await say(ben, "lock", key="a1")
    assert watcher.heard()[-1] == ("lock", "lock:a1")
    assert watcher.state == {"lock:a1": {"user": "ben"}}
    # Silent for too long: the next one has it, and the former is told so.
    await later(node, 30)
    await say(ann, "lock", key="a1")
    assert (await refused(ben, "lock", key="a1"))["code"] == "conflict"
    assert (await refused(ben, "lock", key="a1", data=1))["current"]["data"] == {"user": "ann"}
    ann.disconnect()
    await settle()
    assert watcher.heard()[-1] == ("remove", "lock:a1")
    await say(ben, "lock", key="a1")
    ben.disconnect()


async def test_who_has_lost_a_lock_does_not_prolong_that_of_the_next(node: Node) -> None:
    """Who slept for longer than its time and says it again as if it were theirs is told who has it; nothing is put off."""
    watcher, ann, ben = await watch(node), node.connect("ann"), node.connect("ben")
    await say(ann, "lock", key="a1")
    await later(node, 30)
    await say(ben, "lock", key="a1")
    await later(node, 20)
    assert (await refused(ann, "lock", key="a1"))["current"]["data"] == {"user": "ben"}
    watcher.heard()
    await later(node, 10)
    assert watcher.heard() == [("remove", "lock:a1")]


async def test_of_many_who_want_a_lock_at_once_one_has_it() -> None:
    """On whatever node they are."""
    async with nodes("aaaa", "bbbb", signals_tick_s=0) as both:
        people = [each.connect(f"u{n}") for n, each in enumerate(both * 5)]
        asking = [client.begin("publish", TOPIC, event="lock", key="x") for client in people]
        answers = [answer.value for answer in await asyncio.gather(*asking)]
        errors = [each for each in answers if isinstance(each, dict) and "error" in each]
        assert len(errors) == 9
        assert {each["error"]["code"] for each in errors} == {"conflict"}


async def test_a_lock_asked_for_twice_at_once_is_had(node: Node) -> None:
    ann = node.connect("ann")
    asking = [ann.begin("publish", TOPIC, event="lock", key="x") for _ in range(3)]
    for answer in await asyncio.gather(*asking):
        assert getattr(answer.value, "ttl_s", None) == 30, answer


async def test_who_unsubscribes_has_left(node: Node) -> None:
    """What they sent goes; a subscription that takes another one's place changes nothing."""
    watcher, ann = await watch(node), await watch(node, "ann")
    await say(ann, "lock", key="x")
    await say(ann, "typing")
    watcher.heard()
    await ann.ask("subscribe", TOPIC)
    await settle()
    assert watcher.heard() == []
    await ann.ask("unsubscribe", TOPIC)
    await settle()
    assert sorted(watcher.heard()) == [("remove", "lock:x"), ("remove", "typing:ann")]
    assert node.presence.signals._of == {}


async def test_a_dead_process_leaves_nothing() -> None:
    """What its sockets had goes when its time is over."""
    async with nodes("aaaa", "bbbb") as (one, two):
        watcher = await watch(one)
        await say(two.connect("ann"), "lock", key="x")
        assert watcher.heard() == [("lock", "lock:x")]
        await later(one, 30)
        assert watcher.heard() == [("remove", "lock:x")]


async def test_who_is_invisible_sends_none(node: Node) -> None:
    """And whoever becomes so loses what they have."""
    watcher, ann = await watch(node), node.connect("ann")
    await say(ann, "typing")
    await node.presence.people.choose("default", "ann", "nobody")
    for _ in range(4):
        await settle()
        await asyncio.sleep(0.001)
    assert watcher.heard() == [("typing", "typing:ann"), ("remove", "typing:ann")]
    assert (await refused(ann, "typing"))["code"] == "forbidden"
    assert (await refused(ann, "lock", key="x"))["code"] == "forbidden"


async def test_a_cursor_that_moves_fast_is_told_at_the_pace_of_the_tick() -> None:
    """Of each only the newest; whoever publishes is answered of that."""
    async with nodes(signals_tick_s=0.02) as (node,):
        watcher, ann = await watch(node), node.connect("ann")
        await say(ann, "cursor", data=0)
        asking = [ann.begin("publish", TOPIC, event="cursor", data=n) for n in range(1, 50)]
        await asyncio.gather(*asking)
        await settle()
        assert len(watcher.heard()) <= 4
        assert list(watcher.state.values()) == [{"user": "ann", "data": 49}]


async def test_limits_are_told_by_name(node: Node) -> None:
    ann = node.connect("ann")
    for key in "abc":
        await say(ann, "lock", key=key)
    error = await refused(ann, "lock", key="d")
    assert (error["code"], error["limit"]) == ("too_many", 3)
    await say(ann, "lock", key="a", data=1)
    await say(ann, "unlock", key="a")
    await say(ann, "lock", key="d")
    error = await refused(ann, "cursor", data="x" * 5_000)
    assert (error["code"], error["limit"]) == ("too_large", 4_096)


@pytest.mark.parametrize(
    "given",
    [
        {"event": "dance"},
        {"event": "typing", "data": 5},
        {"event": "typing", "key": "ben"},
        {"event": "cursor", "key": "x", "data": 1},
        {"event": "lock"},
        {"event": "lock", "key": "x" * 300},
        {"event": "lock", "key": "a\nb"},
        {"event": "lock", "key": "x", "ttl_s": 86_400},
        {"event": "lock", "key": "x", "if": "absent"},
        {"event": "unlock", "key": "x", "data": 1},
        {"event": "remove", "key": "lock:x"},
    ],
)
async def test_anything_else_is_refused(node: Node, given: Any) -> None:
    """Nobody signals for another, and no item is set by hand."""
    error = await node.connect("ann").error("publish", TOPIC, **given)
    assert error["code"] == "invalid"
    assert node.presence.signals._of == {}


async def test_who_may_not_does_not(node: Node) -> None:
    """Watching needs `subscribe`, signalling `publish`; an API key is nobody; nobody signals without a socket."""
    ann = node.connect(user("ann", topics={"signals:*": ("subscribe",)}))
    assert "error" not in await ann.ask("subscribe", TOPIC)
    assert (await refused(ann, "typing"))["code"] == "forbidden"
    scopes = frozenset({"topics:publish"})
    key = node.connect(Principal(id="key", kind="key", scopes=scopes))
    assert (await refused(key, "typing"))["code"] == "forbidden"
    with pytest.raises(Invalid, match="only a socket"):
        await node.topics.publish(user("ann"), TOPIC, Publish(event="typing"))


async def test_a_socket_that_goes_while_it_signals_leaves_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step it had come to; and a store that was away then lets it go when its time is over."""
    watcher = await watch(node)
    for steps in range(12):
        ann = node.connect("ann")
        asking = ann.begin("publish", TOPIC, event="lock", key="x")
        for _ in range(steps):
            await asyncio.sleep(0)
        ann.disconnect()
        await asking
        await settle()
        await asyncio.sleep(0.001)
        watcher.heard()
        assert watcher.state == {}
    ann = node.connect("ann")
    await say(ann, "lock", key="x")

    async def away(*_: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(node.shared.store, "append", away)
        ann.disconnect()
        await settle()
    await later(node, 30)
    watcher.heard()
    assert (watcher.state, node.presence.signals._of) == ({}, {})
