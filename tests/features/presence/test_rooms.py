"""Rooms by the commands that sockets send: who is in them, and what everybody sees of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion.auth.principal import Principal
from clarion.errors import Invalid, Unavailable
from clarion.topics import Publish
from tests.features.presence.house import Client, Node, nodes, user
from tests.topics.fakes import settle


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with nodes(full=5, changes=8, rooms=3) as (made,):
        yield made


async def test_who_enters_is_seen_and_who_leaves_is_gone(node: Node) -> None:
    """Of each user one entry: status, devices, times, and what they say; an update is an update."""
    ann, ben = node.connect("ann"), node.connect("ben")
    answer = await ann.watch()
    assert (answer["topic"], answer["snapshot"]) == ("presence:lobby", {"items": [], "more": False})
    await ben.enter(device="phone", data={"name": "Ben"})
    assert ann.heard() == [("enter", "ben")]
    entry = dict(ann.state["ben"])
    (id,) = entry.pop("devices")
    assert id.startswith("aaaa")
    at = "2026-09-21T"
    assert entry.pop("since").startswith(at)
    assert entry.pop("last_active").startswith(at)
    assert entry == {"status": "online", "data": {"name": "Ben"}}

    published = await ben.say("update", status="dnd", text="writing")
    assert published.get("offset") == 2, published
    assert ann.heard() == [("update", "ben")]
    assert (ann.state["ben"]["status"], ann.state["ben"]["text"]) == ("dnd", "writing")
    assert ann.state["ben"]["data"] == {"name": "Ben"}
    assert await node.members() == ann.state
    await ben.say("leave")
    assert ann.heard() == [("remove", "ben")]
    assert (await ben.error("publish", event="update"))["code"] == "not_found"


async def test_a_broken_connection_that_comes_back_was_never_away(node: Node) -> None:
    """Within the grace period nothing is published at all; after it one removal is."""
    ann, ben = node.connect("ann"), node.connect("ben")
    await ann.watch()
    await ben.enter(device="web")
    ann.heard()
    for _ in range(3):
        ben.disconnect()
        await node.tick(9.9)
        ben = node.connect("ben")
        await ben.enter(device="web")
    await node.tick(9.9)
    assert ann.heard() == []
    ben.disconnect()
    await node.tick(10.1)
    assert ann.heard() == [("remove", "ben")]
    assert node.in_rooms == 0


async def test_a_user_is_as_present_as_their_most_present_connection(node: Node) -> None:
    """Active anywhere: online. Idle everywhere: idle. No disturbance anywhere: none. The last connection that goes takes the user with it."""
    ann, phone, laptop = node.connect("ann"), node.connect("ben"), node.connect("ben")
    await ann.watch()
    await phone.enter(device="phone")
    since = (await node.members())["ben"]["since"]
    await node.tick(5)
    await laptop.enter(device="laptop")
    seen = [(await node.members())["ben"]["status"]]
    for client, status in (
        (phone, "idle"), (laptop, "away"), (laptop, "idle"), (phone, "dnd"), (phone, "online"),
    ):  # fmt: skip
        await client.say("update", status=status)
        seen.append((await node.members())["ben"]["status"])
    assert seen == ["online", "online", "away", "idle", "dnd", "online"]
    phone.disconnect()
    await node.tick(10)
    (laptop_only,) = (await node.members())["ben"]["devices"].values()
    assert laptop_only == {"status": "idle", "device": "laptop"}
    assert (await node.members())["ben"]["since"] == since
    await laptop.ask("unsubscribe")
    await node.tick()
    assert [event for event, _ in ann.heard()] == ["enter", *["update"] * 7, "remove"]


async def test_being_active_is_no_news_while_nothing_else_changes(node: Node) -> None:
    """It moves `last_active`, which goes along with the next change."""
    ann, ben = node.connect("ann"), node.connect("ben")
    await ann.watch()
    await ben.enter()
    before = (await node.members())["ben"]["last_active"]
    ann.heard()
    await node.tick(60)
    await ben.say("update")
    assert ann.heard() == []
    await ben.say("update", status="idle")
    assert ann.heard() == [("update", "ben")]
    assert ann.state["ben"]["last_active"] > before


async def test_a_subscription_that_replaces_another_one_is_no_leaving(node: Node) -> None:
    """With `enter` again: the same connection. Without: the user leaves."""
    ann, ben = node.connect("ann"), node.connect("ben")
    await ann.watch()
    await ben.enter(data={"n": 1})
    devices = list((await node.members())["ben"]["devices"])
    ann.heard()
    await ben.enter()
    assert ann.heard() == []
    assert list((await node.members())["ben"]["devices"]) == devices
    await ben.watch()
    await node.tick()
    assert ann.heard() == [("remove", "ben")]


async def test_entering_by_publish_outlasts_subscriptions(node: Node) -> None:
    """Who came by command leaves by command, or with the socket."""
    ann, ben = node.connect("ann"), node.connect("ben")
    await ann.watch()
    await ben.say("enter")
    await ben.watch()
    await ben.ask("unsubscribe")
    await node.tick()
    assert ann.heard() == [("enter", "ben")]
    ben.disconnect()
    await node.tick(10)
    assert ann.heard() == [("remove", "ben")]


async def test_a_text_goes_when_its_time_is_over(node: Node) -> None:
    ann, ben = node.connect("ann"), node.connect("ben")
    await ann.watch()
    await ben.enter(text="at lunch", text_for_s=60)
    assert ann.heard() == [("enter", "ben")]
    assert ann.state["ben"]["text_until"] > ann.state["ben"]["since"]
    await node.tick(59)
    await ben.say("update", text="at lunch", text_for_s=30)
    ann.heard()
    await node.tick(29)
    assert ann.heard() == []
    await node.tick(1)
    assert ann.heard() == [("update", "ben")]
    assert not {"text", "text_until"} & ann.state["ben"].keys()


async def test_a_large_room_sends_less(node: Node) -> None:
    """Up to `presence.full` users a list, up to `presence.changes` who comes and goes, then their number; who asks for less gets less."""
    early, watcher, counter = (node.connect(name) for name in ("early", "watcher", "counter"))
    first = await early.watch()
    asked = [
        (await node.connect("x").watch(params={"mode": mode}))["topic"]
        for mode in ("full", "changes", "count")
    ]
    assert asked == ["presence:lobby", "presence-changes:lobby", "presence-count:lobby"]
    crowd = [node.connect(f"u{n}") for n in range(9)]
    for client in crowd[:5]:
        await client.enter()
    assert [event for event, _ in early.heard()] == ["enter"] * 5
    await crowd[5].enter()
    assert early.heard()[-1] == ("unsubscribed", "resized")
    assert early.socket.connected
    again = {key: first[key] for key in ("epoch", "offset", "mark")}
    answer = await watcher.watch(since=again)
    assert (answer["topic"], answer["recovered"]) == ("presence-changes:lobby", False)
    (item,) = answer["snapshot"]["items"]
    assert (item["key"], item["data"]["users"]) == ("changed", 6)
    for client in crowd[6:]:
        await client.enter(data={"a": 1})
    got = [told for name, told in watcher.socket.got if name == "publication"]
    assert [told.key for told in got] == ["changed"] * 3
    watcher.heard()
    assert watcher.state["changed"]["users"] == 9
    (entered,) = watcher.state["changed"]["entered"]
    assert (entered["user"], entered["data"]) == ("u8", {"a": 1})
    answer = await counter.watch()
    assert (answer["topic"], answer["snapshot"]["items"][0]["key"]) == (
        "presence-count:lobby",
        "users",
    )
    assert answer["snapshot"]["items"][0]["data"] == 9
    for client in crowd:
        client.disconnect()
    await node.tick(10)
    assert counter.heard() == [("set", "users")]
    assert counter.state == {"users": 0}
    assert watcher.heard() == [("set", "changed")]
    assert watcher.state["changed"] == {"users": 0, "left": [f"u{n}" for n in range(9)]}


async def test_who_is_counted_out_keeps_their_place(node: Node) -> None:
    """A room that outgrows its list ends the subscriptions of those inside, too: they come back within the grace period, and were never away."""
    inside = [node.connect(f"u{n}") for n in range(6)]
    for client in inside:
        await client.enter()
    assert inside[0].heard()[-1] == ("unsubscribed", "resized")
    counter = node.connect("counter")
    await counter.watch(params={"mode": "count"})
    for client in inside:
        assert (await client.enter())["topic"] == "presence-changes:lobby"
    await node.tick(11)
    assert counter.heard() == []
    assert len(await node.members()) == 6


async def test_ten_thousand_may_join_at_once() -> None:
    """In a tick each is written once, and the room is announced a bounded number of times: not to each of them that each of them is there."""
    async with nodes() as (node,):
        early = node.connect("early")
        counter = node.connect("counter")
        await early.watch()
        await counter.watch(params={"mode": "count"})
        crowd = [node.connect(f"u{n}") for n in range(10_000)]
        answers = await asyncio.gather(
            *(
                node.commands.run(
                    client.socket, "subscribe",
                    {"topic": "presence:big", "params": {"enter": {}, "mode": "count"}},
                )
                for client in crowd
            )
        )  # fmt: skip
        assert all(answer.then is not None for answer in answers)
        for answer in answers:
            assert answer.then is not None
            answer.then()
        await node.tick()
        await node.tick()
        found = await node.presence.members("big")
        assert (found.users, found.position.offset) == (10_000, 10_000)
        assert [len(client.socket.got) for client in crowd] == [1] * 10_000
        assert crowd[0].socket.got[0][1].data == 10_000
        assert (early.heard(), counter.heard()) == ([], [])


@pytest.mark.parametrize(
    ("params", "code", "pointer"),
    [
        ({"enter": {"data": {"x": "y" * 4_096}}}, "too_large", None),
        ({"enter": {"data": {"x": "y" * 900_000}}}, "too_large", None),
        ({"enter": {"text": "é" * 201}}, "invalid", "/params/enter/text"),
        ({"enter": {"text_for_s": 5}}, "invalid", "/params/enter/text_for_s"),
        ({"enter": {"status": "dancing"}}, "invalid", "/params/enter/status"),
        ({"enter": {"data": [1]}}, "invalid", "/params/enter/data"),
        ({"enter": {"more": 1}}, "invalid", "/params/enter/more"),
        ({"enter": 5}, "invalid", "/params/enter"),
        ({"mode": "some"}, "invalid", "/params/mode"),
        ({"\ud83d": 1}, "invalid", "/params"),
    ],
)
async def test_what_cannot_be_said_is_refused_and_nobody_enters(
    node: Node, params: Any, code: str, pointer: str | None
) -> None:
    ann = node.connect("ann")
    error = await ann.error("subscribe", params=params)
    assert error["code"] == code
    if pointer is not None:
        assert error["errors"][0]["pointer"] == pointer
    await node.tick()
    assert await node.members() == {}
    assert node.in_rooms == 0


@pytest.mark.parametrize(
    "given",
    [
        {"event": "enter", "key": "ben"},
        {"event": "enter", "ttl_s": 5},
        {"event": "dance"},
        {"data": {}},
        {"event": "update", "data": "x"},
    ],
)
async def test_publishing_anything_else_is_refused(node: Node, given: Any) -> None:
    """Nobody speaks for another user, and no item of a room is set by hand."""
    assert (await node.connect("ann").error("publish", **given))["code"] == "invalid"


async def test_who_may_not_enter_does_not(node: Node) -> None:
    """Watching needs `subscribe`, entering `publish`; an API key is nobody; without a socket nobody is anywhere."""
    watcher = node.connect(user("ann", topics={"presence:*": ("subscribe",)}))
    await watcher.watch()
    assert (await watcher.error("subscribe", params={"enter": {}}))["code"] == "forbidden"
    assert (await watcher.error("publish", event="enter"))["code"] == "forbidden"
    assert (await node.connect(user("x", topics={})).error("subscribe"))["code"] == "forbidden"
    scopes = frozenset({"topics:read", "topics:publish"})
    key = node.connect(Principal(id="key", kind="key", scopes=scopes))
    assert (await key.error("subscribe", params={"enter": {}}))["code"] == "forbidden"
    assert (await key.error("publish", event="enter"))["code"] == "forbidden"
    with pytest.raises(Invalid, match="only a socket"):
        await node.topics.publish(user("ann"), "presence:lobby", Publish(event="enter"))


async def test_rooms_of_tenants_are_other_rooms(node: Node) -> None:
    await node.connect(user("ann", tenant="acme")).enter()
    assert await node.members() == {}
    assert (await node.presence.members("lobby", "acme")).users == 1


async def test_limits_are_told_by_name(node: Node) -> None:
    """A socket may be in so many rooms; a user in one room so many times; a room may have so many users."""
    ann = node.connect("ann")
    for room in "abc":
        await ann.say("enter", room)
    assert (await ann.error("publish", "presence:d", event="enter"))["limit"] == 3
    assert (await ann.error("subscribe", "presence:d", params={"enter": {}}))["code"] == "too_many"
    assert (await ann.watch("d"))["offset"] == 0
    for _ in range(50):
        await node.connect("ben").say("enter")
    assert (await node.connect("ben").error("publish", event="enter"))["limit"] == 50
    async with nodes(members=2) as (small,):
        for name in ("ann", "ben", "ben"):
            await small.connect(name).say("enter")
        assert (await small.connect("cas").error("publish", event="enter"))["limit"] == 2


async def test_races_of_one_socket_leave_nobody_behind(node: Node) -> None:
    """Whatever order subscribe, unsubscribe and the end of the socket come in: after the grace period nobody is there who is not."""
    for order in range(6):
        clients = [node.connect(f"u{n}") for n in range(4)]
        running = []
        for n, client in enumerate(clients):
            for step in range(3):
                what = (order + step * (1 + n % 2)) % 3
                if what == 0:
                    running.append(client.begin("subscribe", params={"enter": {}}))
                elif what == 1:
                    running.append(client.begin("unsubscribe"))
                else:
                    client.disconnect()
                if n > 1:
                    await asyncio.sleep(0)
        await asyncio.gather(*running)
        await node.tick()
        await node.tick(10)
        assert await node.members() == {}
        assert node.in_rooms == 0


async def test_what_a_subscriber_has_made_of_changes_is_the_state(node: Node) -> None:
    """However many ticks are skipped between them, and from whatever position somebody recovers."""
    ann, late = node.connect("ann"), node.connect("late")
    first = await ann.watch()
    since = {key: first[key] for key in ("epoch", "offset", "mark")}
    people = [node.connect(f"u{n}") for n in range(4)]
    for round in range(12):
        client = people[round % 4]
        if round % 5 == 4:
            client.disconnect()
            people[round % 4] = client = node.connect(f"u{round % 4}")
        await client.ask("subscribe", params={"enter": {"data": {"round": round}}})
        if round % 3:
            await node.tick(4)
        ann.heard()
        if round % 3:
            assert ann.state == await node.members()
    await node.tick()
    answer = await late.watch(since=since)
    assert answer["recovered"] is True
    state: dict[str, Any] = {}
    for told in answer["publications"]:
        if told["event"] == "remove":
            del state[told["key"]]
        else:
            state[told["key"]] = told["data"]
    assert state == await node.members()
    await settle()


async def test_a_store_that_is_away_delays_and_loses_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits is told `unavailable`; the room is written when the store is back."""
    ann: Client = node.connect("ann")

    async def away(*_: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(node.shared.store, "append", away)
        assert (await ann.error("publish", event="enter", data={"data": {"n": 1}}))[
            "code"
        ] == "unavailable"
    await node.tick()
    assert (await node.members())["ann"]["data"] == {"n": 1}
