"""Contacts: one topic tells a user which of those whom they know are here, as far as these let them see it."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from clarion.errors import TooMany, Unavailable
from clarion.features.presence import shards
from clarion.features.presence.contacts import LINGER_S, TURN
from clarion.features.presence.users import shard_of
from clarion.ids import Ids
from clarion.telemetry import spawn
from clarion.topics.books import channel
from tests.features.presence.house import Client, Node, nodes
from tests.topics.fakes import settle


async def know(node: Node, user: str, *contacts: str, forget: tuple[str, ...] = ()) -> None:
    await node.presence.people.change_contacts("default", user, contacts, forget)
    await calm(node)


async def choose(node: Node, user: str, visibility: Any) -> None:
    await node.presence.people.choose("default", user, visibility)
    await calm(node)


async def calm(*all_nodes: Node) -> None:
    """Let everything that was begun come to its end: the database answers by timers of no time."""
    for _ in range(6):
        for node in all_nodes:
            await node.tick()
        await asyncio.sleep(0.001)


async def follow(client: Client) -> Any:
    return await client.follow()


async def test_a_user_sees_which_contacts_are_here() -> None:
    """Contacts that are here and the user: who comes, changes and goes; offline ones and strangers are not in it."""
    async with nodes() as (node,):
        await know(node, "ann", "ben", "cleo", "dan")
        ben = node.connect("ben")
        node.connect("eve")
        ann = node.connect("ann")
        await calm(node)
        answer = await follow(ann)
        assert (answer["topic"], answer["class"]) == ("contacts:ann", "recoverable")
        assert sorted(ann.state) == ["ann", "ben"]
        cleo = node.connect("cleo")
        await calm(node)
        assert ann.heard() == [("enter", "cleo")]
        done = await cleo.ask(
            "publish",
            "contacts:cleo",
            event="update",
            data={"status": "dnd", "text": "busy", "device": "phone"},
        )
        assert done["topic"] == "contacts:cleo"
        await calm(node)
        assert ann.heard() == [("update", "cleo")]
        shown = ann.state["cleo"]
        assert (
            shown["status"],
            shown["text"],
            [each["device"] for each in shown["devices"].values()],
        ) == ("dnd", "busy", ["phone"])
        ben.disconnect()
        await node.tick(9)
        assert ann.heard() == []
        await node.tick(2)
        await calm(node)
        assert ann.heard() == [("remove", "ben")]
        (found,) = await node.presence.status("default", ["cleo"])
        assert (found.status, found.text) == ("dnd", "busy")


async def test_contacts_that_are_added_and_removed_come_and_go() -> None:
    async with nodes() as (node,):
        for name in ("ben", "cleo"):
            node.connect(name)
        ann = node.connect("ann")
        await calm(node)
        await follow(ann)
        await know(node, "ann", "ben", "cleo", "nobody")
        assert ann.heard() == [("enter", "ben"), ("enter", "cleo")]
        await know(node, "ann", forget=("ben",))
        assert ann.heard() == [("remove", "ben")]
        assert sorted(ann.state) == ["ann", "cleo"]


async def test_who_is_invisible_is_absent_everywhere_but_to_themself() -> None:
    """In rooms, in their number, in their contacts' topics and in statuses; at once when they choose so, and back when they choose otherwise."""
    async with nodes() as (node,):
        await know(node, "ann", "ben")
        ann, room, counter = node.connect("ann"), node.connect("eve"), node.connect("counter")
        ben, own_view = node.connect("ben"), node.connect("ben")
        await calm(node)
        await ben.enter()
        await room.watch()
        await follow(ann)
        await follow(own_view)
        await counter.watch(params={"mode": "count"})
        await choose(node, "ben", "nobody")
        assert ann.heard() == [("remove", "ben")]
        assert room.heard() == [("remove", "ben")]
        assert counter.heard() == [("set", "users")]
        assert counter.state == {"users": 0}
        assert await node.members() == {}
        # A new connection, a change, another room: nothing shows.
        again = node.connect("ben")
        await again.enter("hall", data={"x": 1})
        await again.ask("publish", "contacts:ben", event="update", data={"status": "idle"})
        await ben.say("update", status="away")
        await calm(node)
        assert (ann.heard(), room.heard(), await node.members("hall")) == ([], [], {})
        (seen,) = await node.presence.status("default", ["ben"])
        assert (seen.status, seen.last_seen, seen.devices) == ("offline", None, [])
        (own,) = await node.presence.status("default", ["ben"], viewer="ben")
        (true,) = await node.presence.status("default", ["ben"], regardless=True)
        assert own == true
        assert own.status == "online"
        assert own_view.heard() == [("update", "ben"), ("update", "ben")]
        assert len(own_view.state["ben"]["devices"]) == 3
        await choose(node, "ben", "everyone")
        assert (ann.heard(), room.heard()) == ([("enter", "ben")], [("enter", "ben")])
        assert list(await node.members("hall")) == ["ben"]
        assert counter.state == {"users": 0}
        counter.heard()
        assert counter.state == {"users": 1}


async def test_who_is_not_counted_is_hidden_as_well() -> None:
    """By a connection more than a user has among all: it is in the room when the others are gone."""
    async with nodes() as (node,):
        counted = [node.connect("ann") for _ in range(50)]
        last = node.connect("ann")
        await last.enter()
        for each in counted:
            each.disconnect()
        await node.tick(11)
        assert list(await node.members()) == ["ann"]
        await choose(node, "ann", "nobody")
        assert await node.members() == {}
        last.disconnect()
        assert not node.presence.users.may_be_here("default", "ann")


async def test_who_is_visible_to_contacts_is_seen_by_those_whom_they_know() -> None:
    """Not by those who merely know them, and in no room."""
    async with nodes() as (node,):
        await know(node, "ann", "ben")
        await know(node, "eve", "ben")
        await know(node, "ben", "ann")
        await choose(node, "ben", "contacts")
        ann, eve, ben = node.connect("ann"), node.connect("eve"), node.connect("ben")
        await ben.enter()
        await calm(node)
        for client in (ann, eve):
            await follow(client)
        assert ("ben" in ann.state, "ben" in eve.state) == (True, False)
        assert await node.members() == {}
        await know(node, "ben", "eve", forget=("ann",))
        assert ann.heard() == [("remove", "ben")]
        assert eve.heard() == [("enter", "ben")]
        for viewer, status in (("ann", "offline"), ("eve", "online"), (None, "offline")):
            (found,) = await node.presence.status("default", ["ben"], viewer=viewer)
            assert found.status == status


async def test_the_operator_says_what_holds_for_who_has_not_chosen() -> None:
    async with nodes(visibility="contacts") as (node,):
        await node.connect("ben").enter()
        assert await node.members() == {}
        await choose(node, "ben", "everyone")
        assert list(await node.members()) == ["ben"]


async def test_a_choice_holds_on_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever node somebody is on, whoever says it: rooms and views of all nodes follow, after lost notices, too."""
    async with nodes("aaaa", "bbbb") as (one, two):
        await know(one, "ann", "ben")
        ann = one.connect("ann")
        for node in (one, two):
            await node.connect("ben").enter()
        await calm(one, two)
        await follow(ann)
        assert sorted(ann.state) == ["ann", "ben"]
        await choose(two, "ben", "nobody")
        await calm(one, two)
        assert ann.heard() == [("remove", "ben")]
        assert await one.members() == {}
        # A choice that nobody was told of is found when the bus says that it may have lost something.
        with monkeypatch.context() as patch:
            patch.setattr(one.shared.bus, "publish", lost)
            await choose(two, "ben", "everyone")
        await calm(one, two)
        assert await one.members() == {}
        one.shared.bus.gap()
        await calm(one, two)
        assert ann.heard() == [("enter", "ben")]
        assert len((await one.members())["ben"]["devices"]) == 2


async def test_what_the_bus_has_lost_is_seen_when_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes() as (node,):
        await know(node, "ann", "ben")
        ann = node.connect("ann")
        await calm(node)
        await follow(ann)
        with monkeypatch.context() as patch:
            patch.setattr(node.shared.bus, "publish", lost)
            node.connect("ben")
            await calm(node)
        assert ann.heard() == []
        node.shared.bus.gap()
        await calm(node)
        assert ann.heard() == [("enter", "ben")]


async def lost(*_: Any) -> None:
    """A bus that loses what it is given."""


async def test_what_many_see_leaves_turns_to_others() -> None:
    """However many follow somebody, a part of them at a time is told of a status or a choice; in the end all are."""
    async with nodes() as (node,):
        star = node.connect("star")
        fans = [node.connect(f"u{number}") for number in range(2 * TURN + 10)]
        for fan in fans:
            await node.presence.people.change_contacts("default", fan.topic.name, ["star"], [])
            await follow(fan)
        await calm(node)
        told: list[int] = []  # how many fans, turn by turn of the loop

        async def watch() -> None:
            while True:
                told.append(sum(bool(fan.socket.got) for fan in fans))
                await asyncio.sleep(0)

        for fan in fans:
            fan.heard()
        watching = spawn(watch(), name="tests: turns")
        await star.ask("publish", "contacts:star", event="update", data={"status": "dnd"})
        await calm(node)
        assert {tuple(fan.heard()) for fan in fans} == {(("update", "star"),)}
        await choose(node, "star", "nobody")
        assert {tuple(fan.heard()) for fan in fans} == {(("remove", "star"),)}
        watching.cancel()
        assert max(told) == len(fans)
        assert max(after - before for before, after in pairwise(told)) <= TURN


async def test_who_comes_back_is_told_what_was_missed() -> None:
    """While the view lingers; then it begins anew. Nothing is kept of those who watch nobody."""
    async with nodes() as (node,):
        await know(node, "ann", "ben")
        ann = node.connect("ann")
        await calm(node)
        first = await follow(ann)
        ann.disconnect()
        node.connect("ben")
        await node.tick(LINGER_S / 2)
        node.presence.contacts.sweep()
        again = node.connect("ann")
        await calm(node)
        since = {key: first[key] for key in ("epoch", "offset", "mark")}
        answer = await again.ask("subscribe", "contacts:ann", since=since)
        assert answer["recovered"] is True
        assert ("enter", "ben") in [(each["event"], each["key"]) for each in answer["publications"]]
        again.disconnect()
        await node.tick(LINGER_S + 1)
        node.presence.contacts.sweep()
        await settle()
        contacts = node.presence.contacts
        assert (contacts._views, contacts._views_of, contacts._shards, contacts._followed) == (
            {},
            {},
            {},
            {},
        )
        third = node.connect("ann")
        await calm(node)
        answer = await third.ask("subscribe", "contacts:ann", since=since)
        assert (answer["recovered"], answer["reason"]) == (False, "epoch_changed")


async def test_contacts_are_bounded() -> None:
    """A user knows at most `presence.contacts`, of which one subscription tells, page by page."""
    async with nodes(contacts=600) as (node,):
        names = [f"u{number:03}" for number in range(600)]
        await know(node, "ann", *names)
        with pytest.raises(TooMany):
            await know(node, "ann", "one more")
        for name in names:
            node.connect(name)
        ann = node.connect("ann")
        await calm(node)
        answer = await follow(ann)
        assert (len(ann.state), answer["snapshot"]["more"]) == (500, True)
        page = await ann.ask("page", "contacts:ann", after=answer["snapshot"]["next"])
        assert (len(page["items"]), page["more"]) == (101, False)


@pytest.mark.parametrize(
    ("command", "topic", "more", "code"),
    [
        ("subscribe", "contacts:ben", {}, "forbidden"),
        ("publish", "contacts:ben", {"event": "update"}, "forbidden"),
        ("subscribe", "contacts:ann", {"params": {"enter": {}}}, "invalid"),
        ("publish", "contacts:ann", {"event": "enter"}, "invalid"),
        ("publish", "contacts:ann", {"event": "update", "key": "ben"}, "invalid"),
        ("publish", "contacts:ann", {"event": "update", "data": {"status": "odd"}}, "invalid"),
        ("publish", "contacts:ann", {"event": "update", "data": {"data": {"x": "y" * 900_000}}}, "too_large"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(command: str, topic: str, more: Any, code: str) -> None:
    async with nodes() as (node,):
        assert (await node.connect("ann").error(command, topic, **more))["code"] == code


async def test_a_store_that_is_away_is_told_and_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who subscribes meanwhile is told `unavailable`; a view that is there is true again when the store is back."""
    async with nodes() as (node,):
        monkeypatch.setattr(shards, "AGAIN_S", 0)
        await know(node, "ann", "ben")
        ann, ben = node.connect("ann"), node.connect("ben")
        await calm(node)

        async def away(*_: Any) -> Any:
            raise Unavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(node.shared.store, "get", away)
            assert (await ann.error("subscribe", "contacts:ann"))["code"] == "unavailable"
            assert node.presence.contacts._views == {}
        await follow(ann)
        ben.disconnect()
        with monkeypatch.context() as patch:
            patch.setattr(node.shared.store, "top", away)
            node.shared.bus.gap([channel(shard_of("default", "ben"))])
            await node.tick(11)
            await calm(node)
        await calm(node)
        assert ann.heard() == [("remove", "ben")]


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_a_view_is_what_may_be_seen(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People come, go, change, hide and get to know each other on two nodes, and announcements get lost: then each view is the truth, and so is what its subscriber made of changes."""
    chance = Ids.seeded(seed)

    def pick(some: Any) -> Any:
        return some[int(chance.uniform(0, len(some)))]

    names = ["ann", "ben", "cleo", "dan"]
    async with nodes("aaaa", "bbbb") as both:
        watchers = [both[0].connect("ann"), both[1].connect("ben")]
        await calm(*both)
        for watcher in watchers:
            await follow(watcher)
        there: list[Client] = []
        visible = dict.fromkeys(names, "everyone")
        known: dict[str, set[str]] = {name: set() for name in names}
        for _ in range(90):
            node, what, who, other = pick(both), chance.uniform(0, 1), pick(names), pick(names)
            if what < 0.25:
                there.append(node.connect(who))
            elif what < 0.4 and there:
                there.pop(int(chance.uniform(0, len(there)))).disconnect()
            elif what < 0.55 and there:
                client = pick(there)
                mine = client.node.who[client.socket.id].id
                await client.ask(
                    "publish",
                    f"contacts:{mine}",
                    event="update",
                    data={"status": pick(["online", "idle"])},
                )
            elif what < 0.7:
                visible[who] = pick(["everyone", "contacts", "nobody"])
                await node.presence.people.choose("default", who, visible[who])
            elif what < 0.9:
                known[who] ^= {other}
                add, remove = ([other], []) if other in known[who] else ([], [other])
                await node.presence.people.change_contacts("default", who, add, remove)
            elif what < 0.95:
                with (
                    monkeypatch.context() as patch
                ):  # what is published now is lost, and the bus says so
                    patch.setattr(node.shared.bus, "publish", lost)
                    there.append(node.connect(who))
                    await node.tick()
                node.shared.bus.gap()
            await node.tick(chance.uniform(0, 1))
        for node in both:
            await node.tick(20)
        await calm(*both)
        here = {each.node.who[each.socket.id].id for each in there} | {"ann", "ben"}
        for watcher, viewer in zip(watchers, ("ann", "ben"), strict=True):
            expected = {viewer} | {
                name
                for name in known[viewer] & here
                if visible[name] == "everyone"
                or (visible[name] == "contacts" and viewer in known[name])
            }
            watcher.heard()
            assert sorted(watcher.state) == sorted(expected)
            found = await watcher.node.presence.contacts.page(watcher.topic, "")
            fresh = {item["key"]: item["data"] for item in found.state["items"]}
            entries = await watcher.node.presence.users.entries("default", sorted(expected))
            assert watcher.state == fresh == dict(zip(sorted(expected), entries, strict=True))
