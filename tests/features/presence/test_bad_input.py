"""Whatever somebody sends, they are told what is wrong with it, and nothing is left of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.features.presence.house import LIMITS, Node, nodes
from tests.topics.fakes import settle

KINDS = ("presence", "presence-count", "presence-changes", "signals")


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with nodes() as (made,):
        yield made


@pytest.mark.parametrize("name", ["x" * 300, "é" * 130, "a\nb", "a\x00b", "\x7f", "a\x9fb", ""])
async def test_rooms_that_cannot_be(node: Node, name: str) -> None:
    """Names of 300 characters or with control characters: `invalid`, by every command, and no room begins."""
    ann = node.connect("ann")
    for kind in KINDS:
        topic = f"{kind}:{name}"
        for command, more in (
            ("subscribe", {}),
            ("subscribe", {"params": {"enter": {}}}),
            ("publish", {"event": "enter"}),
            ("unsubscribe", {}),
            ("page", {"after": ""}),
        ):
            if kind == "presence" or "params" not in more:
                code = (await ann.ask(command, topic, **more)).get("error", {}).get("code")
                if name:
                    assert code in {"invalid", "forbidden"}, (topic, command)
                else:
                    assert code in {"invalid", "not_found"} or command == "unsubscribe", topic
    assert node.in_rooms == 0


async def test_a_pattern_is_no_room(node: Node) -> None:
    """`presence:*` is granted by tokens, and names one room with a star in its name: nobody watches all rooms by it."""
    watcher = node.connect("w")
    await watcher.ask("subscribe", "presence:*")
    await node.connect("ann").enter("lobby")
    await node.tick()
    assert watcher.heard() == []


@pytest.mark.parametrize(
    "said",
    [
        {"data": {"x": "y" * 1_000_000}},
        {"text": "y" * 1_000_000},
        {"device": "y" * 1_000_000},
        {"text": "a\nb"},
        {"text": "a\x00b"},
        {"device": "a\x1b[31m"},
        {"data": {"\ud83d": 1}},
        {"data": {"x": "\ud83d"}},
        {"text": "\ud83d"},
        {"text_for_s": -1, "text": "x"},
        {"text_for_s": 1e300, "text": "x"},
        {"text_for_s": "5", "text": "x"},
        {"status": None},
        {"status": ["online"]},
        {"data": "x"},
        {"user": "ben"},
        {"devices": {}},
        {"since": "2000-01-01T00:00:00Z"},
        None,
        [],
        5,
    ],
)
async def test_what_cannot_be_said(node: Node, said: Any) -> None:
    """By `enter`, `update`, and in `params`: `invalid` or `too_large`; what was said before stands."""
    ann = node.connect("ann")
    await ann.enter(text="fine")
    before = await node.members()
    codes = {"invalid", "too_large"}
    for event in ("enter", "update") if said is not None else ():
        assert (await ann.error("publish", event=event, data=said))["code"] in codes
    params = {"enter": said}
    if said is not None:
        assert (await ann.error("subscribe", params=params))["code"] in codes
        error = await ann.error("publish", "contacts:ann", event="update", data=said)
        assert error["code"] in codes
    await node.tick()
    assert await node.members() == before


async def test_too_early_too_late_and_twice(node: Node) -> None:
    """Update before enter and after leave: `not_found`. Enter twice is once; leave twice is told."""
    ann = node.connect("ann")
    for _ in range(2):
        for event in ("update", "leave"):
            assert (await ann.error("publish", event=event))["code"] == "not_found"
        await ann.say("enter")
        await ann.say("enter", device="web")
        (entry,) = (await node.members()).values()
        assert len(entry["devices"]) == 1
        await ann.say("update")
        await ann.say("update")
        await ann.say("leave")
    assert await node.members() == {}
    ann.disconnect()
    assert (await ann.error("publish", event="enter"))["code"] == "conflict"
    assert node.in_rooms == 0


async def test_thousands_of_rooms_from_one_socket(node: Node) -> None:
    """It may be in `presence.rooms` and have `limits.topics` subscriptions; what is more is refused, and nothing of it kept."""
    ann = node.connect("ann")
    refused = 0
    for number in range(1_000):
        asking = ann.begin("publish", f"presence:r{number}", event="enter")
        await settle()
        if asking.done():
            value = (await asking).value
            assert isinstance(value, dict)
            assert (value["error"]["code"], value["error"]["limit"]) == ("too_many", 128)
            refused += 1
    assert refused == 1_000 - 128
    await node.tick()
    assert node.in_rooms == 2 * 128
    watcher = node.connect("w")
    codes = [
        (await watcher.ask("subscribe", f"presence:r{number}")).get("error", {}).get("code")
        for number in range(1_000)
    ]
    assert codes == [None] * LIMITS.topics + ["too_many"] * (1_000 - LIMITS.topics)
    ann.disconnect()
    watcher.disconnect()
    await node.tick(11)
    await node.tick()
    assert node.in_rooms == 0
    assert node.presence._agenda.rooms == {}


async def test_a_socket_that_goes_while_it_enters_is_nowhere(node: Node) -> None:
    """After whatever step of whatever way in."""
    for steps in range(16):
        for command, more in (
            ("subscribe", {"params": {"enter": {}}}),
            ("publish", {"event": "enter"}),
        ):
            ann = node.connect("ann")
            asking = ann.begin(command, **more)
            for _ in range(steps):
                await asyncio.sleep(0)
            ann.disconnect()
            while not asking.done():
                await node.tick()
                await asyncio.sleep(0.001)
            await node.tick(11)
            await node.tick()
            assert await node.members() == {}
            assert node.presence._agenda.rooms == {}
            assert node.presence._hidden.known() == []


async def test_subscribe_and_unsubscribe_racing(node: Node) -> None:
    """However they cross, in the end there is what came last."""
    for last in ("subscribe", "unsubscribe"):
        ann = node.connect("ann")
        asking = []
        for _ in range(20):
            asking.append(ann.begin("subscribe", params={"enter": {}}))
            asking.append(ann.begin("unsubscribe"))
            await asyncio.sleep(0)
        if last == "subscribe":
            asking.append(ann.begin(last, params={"enter": {}}))
        else:
            asking.append(ann.begin(last))
        while not all(each.done() for each in asking):
            await node.tick()
            await asyncio.sleep(0.001)
        await node.tick(11)
        assert list(await node.members()) == (["ann"] if last == "subscribe" else [])
        ann.disconnect()
        await node.tick(11)
        await node.tick()
        assert node.in_rooms == 0
