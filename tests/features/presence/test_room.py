"""The pure part: connections of several nodes become one entry for each user, whoever writes first."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import TooMany
from clarion.features.presence.room import Device, Room, Said, rfc3339, strongest, without
from clarion.topics.changes import REMOVE, Change, Item, Outcome, holds

USERS = ("ann", "ben")
STATUSES = ("online", "away", "dnd", "idle")


class Published:
    """A map as a store keeps it, and what was told of it."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.offset = 0
        self.told: list[tuple[str, str]] = []

    def append(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = []
        for change in changes:
            assert change.key is not None
            item = self.items.get(change.key)
            if not holds(change.guard, item):
                outcomes.append(Outcome(self.offset, 0, "guard", item))
                continue
            self.offset += 1
            self.told.append((change.event, change.key))
            if change.event == REMOVE:
                del self.items[change.key]
            else:
                self.items[change.key] = Item(change.data, self.offset)
            outcomes.append(Outcome(self.offset, 0, None, item))
        return outcomes

    @property
    def state(self) -> dict[str, Any]:
        return {user: item.data for user, item in self.items.items()}


def write(room: Room, published: Published) -> None:
    """As the shell does it, until there is nothing to write."""
    for _ in range(10):
        changes = room.changes()
        if not changes:
            return
        room.applied(changes, published.append(list(changes.values())))
    raise AssertionError("it does not come to rest")


class World:
    """Rooms of two nodes over one published map, and who is really there."""

    def __init__(self) -> None:
        self.published = Published()
        self.rooms = {name: Room(name) for name in ("aaaa", "bbbb")}
        self.there: dict[str, tuple[str, str, Device]] = {}
        self.now_ms = 1_000
        self.made = 0

    def act(self, what: str, node: str, user: str, status: Any) -> None:
        self.now_ms += 1_000
        room = self.rooms[node]
        mine = [s for s, (n, u, _) in self.there.items() if (n, u) == (node, user)]
        if what == "write":
            write(room, self.published)
        elif what == "begin":
            # Decided, and not written before others wrote: the guard decides.
            changes = room.changes()
            write(self.rooms["aaaa" if node == "bbbb" else "bbbb"], self.published)
            room.applied(changes, self.published.append(list(changes.values())))
        elif what == "enter":
            self.made += 1
            socket = f"s{self.made}"
            said = Said(status, data={"n": self.made})
            device = room.enter(user, f"{node}{self.made}", socket, said, self.now_ms)
            self.there[socket] = (node, user, device)
        elif mine and what == "say":
            self.made += 1
            said = Said(status, data={"n": self.made})
            room.update(user, self.there[mine[-1]][2], said, self.now_ms)
        elif mine and what == "lose":
            room.lose(self.there.pop(mine[0])[2], self.now_ms)
        elif what == "expire":
            for device in list(room.people[user].devices.values()) if user in room.people else ():
                if not device.socket:
                    room.leave(user, device)


ACTS = st.tuples(
    st.sampled_from(["enter", "say", "lose", "expire", "write", "begin"]),
    st.sampled_from(["aaaa", "bbbb"]),
    st.sampled_from(USERS),
    st.sampled_from(STATUSES),
)


@given(st.lists(ACTS, max_size=40))
def test_nodes_agree_on_one_entry_for_each_user(acts: list[Any]) -> None:
    """Whatever the order of connections, losses and writes: in the end each user has exactly their connections, their strongest status, and what was written last."""
    world = World()
    for act in acts:
        world.act(*act)
    for node in world.rooms:
        for user in USERS:
            world.act("expire", node, user, None)
    for _ in range(2):
        for room in world.rooms.values():
            write(room, world.published)
    expected: dict[str, dict[str, str]] = {}
    for _, user, device in world.there.values():
        expected.setdefault(user, {})[device.id] = device.status
    found = {
        user: {id: each["status"] for id, each in entry["devices"].items()}
        for user, entry in world.published.state.items()
    }
    assert found == expected
    for entry in world.published.state.values():
        statuses = [each["status"] for each in entry["devices"].values()]
        assert entry["status"] == strongest(statuses)
        assert entry["since"] <= entry["last_active"]
    for room in world.rooms.values():
        assert room.is_settled
        assert {user for user, person in room.people.items() if not person.devices} == set()
    # Who is there is told of as entering, and who leaves as removed: in turn.
    for user in USERS:
        events = [event for event, key in world.published.told if key == user]
        assert [e for e in events if e != "update"] == ["enter", REMOVE] * (
            len([e for e in events if e != "update"]) // 2
        ) + (["enter"] if user in expected else [])


def test_what_nodes_say_of_a_user_is_merged_and_not_lost() -> None:
    """Two nodes write one after the other: the second keeps what the first wrote, beside what it says itself."""
    published, one, two = Published(), Room("aaaa"), Room("bbbb")
    one.enter("ann", "aaaa1", "s1", Said(data={"name": "Ann"}), 1_000)
    two.enter("ann", "bbbb1", "s2", Said("idle", text="busy"), 2_000)
    changes = two.changes()  # decided before the first one writes
    write(one, published)
    two.applied(changes, published.append(list(changes.values())))
    write(two, published)
    entry = published.state["ann"]
    assert (entry["data"], entry["text"], entry["status"]) == ({"name": "Ann"}, "busy", "online")
    assert (entry["since"], entry["last_active"]) == (rfc3339(1_000), rfc3339(2_000))
    assert [event for event, _ in published.told] == ["enter", "update"]
    assert without(entry, "aaaa") == {
        **entry, "status": "idle", "devices": {"bbbb1": {"status": "idle"}},
    }  # fmt: skip
    only = without(entry, "bbbb")
    assert only is not None
    assert without(only, "aaaa") is None


def test_what_is_taken_for_dead_is_written_again() -> None:
    """Others removed everything of this node: `assert_all` brings it back, with what was said before."""
    published, room = Published(), Room("aaaa")
    room.enter("ann", "aaaa1", "s1", Said(data={"name": "Ann"}), 1_000)
    write(room, published)
    before = published.state
    published.items.clear()
    room.assert_all()
    write(room, published)
    assert published.state == before


def test_hidden_users_are_not_published() -> None:
    published, room = Published(), Room("aaaa")
    room.enter("ann", "aaaa1", "s1", Said(), 1_000)
    room.hide("ann", True)
    room.hide("ben", True)
    write(room, published)
    assert published.told == []
    room.hide("ann", False)
    write(room, published)
    room.hide("ann", True)
    write(room, published)
    assert published.told == [("enter", "ann"), (REMOVE, "ann")]
    assert room.is_settled


def test_what_could_not_be_written_is_due_again() -> None:
    room = Room("aaaa")
    device = room.enter("ann", "aaaa1", "s1", Said(), 1_000)
    room.failed(room.changes())
    assert list(room.changes()) == ["ann"]
    room.failed(["ann"])
    room.leave("ann", device)
    room.leave("ann", device)
    assert (room.changes(), room.people) == ({}, {})
    room.leave("ann", device)
    room.end_text("ann", 5_000)
    assert room.is_settled


def test_one_user_has_a_bounded_number_of_connections() -> None:
    room = Room("aaaa")
    for n in range(50):
        room.enter("ann", f"aaaa{n}", f"s{n}", Said(), 1_000)
    with pytest.raises(TooMany):
        room.enter("ann", "aaaa50", "s50", Said(), 1_000)


def test_a_connection_comes_back_into_the_place_of_its_own_sort() -> None:
    """A phone into the phone's; where there is none of its sort, into any that is away."""
    room = Room("aaaa")
    laptop = room.enter("ann", "aaaa1", "s1", Said(device="laptop"), 1_000)
    phone = room.enter("ann", "aaaa2", "s2", Said(device="phone"), 1_000)
    room.lose(laptop, 9_000)
    room.lose(phone, 9_000)
    assert room.enter("ann", "aaaa3", "s3", Said(device="phone"), 2_000) is phone
    assert room.enter("ann", "aaaa4", "s4", Said(device="tablet"), 2_000) is laptop
    assert (laptop.name, laptop.gone_ms) == ("tablet", None)
    assert room.enter("ann", "aaaa5", "s5", Said(), 2_000).id == "aaaa5"
