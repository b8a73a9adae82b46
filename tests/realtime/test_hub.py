"""Rooms of a namespace, and who gets a broadcast."""

import functools
from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clarion.errors import UsageError
from clarion.protocol import socketio
from clarion.realtime.egress import Egress, Flusher
from clarion.realtime.handlers import Runner
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.hub import Hub
from clarion.realtime.peers import Selection
from clarion.settings import Limits
from tests.support.counting import peak_bytes
from tests.support.memory_transport import MemoryTransport, settle


class Member:
    def __init__(self, id: str, flusher: Flusher | None = None) -> None:
        self.id, self.transport = id, MemoryTransport()
        self.egress = Egress(None, flusher or Flusher(1 << 20, 1 << 20), self.transport)

    def __repr__(self) -> str:
        return self.id


def made(*ids: str) -> tuple[Hub, dict[str, Member]]:
    hub = Hub("/", Limits(), Wheel(), Runner())
    members = {id: Member(id) for id in ids}
    for member in members.values():
        hub.add(member)
    return hub, members


def chosen(hub: Hub, *rooms: str, out: tuple[str, ...] = ()) -> list[str]:
    return [member.id for member in hub.select(Selection(rooms, out))]


def test_rooms_unite_and_exceptions_take_away():
    """Recipients are the union of the rooms without those in any excluded room, each once, in order; no room means everybody."""
    hub, members = made("a", "b", "c", "d")
    for id, rooms in {"a": "xy", "b": "y", "c": "x"}.items():
        for room in rooms:
            hub.join(members[id], room)
    assert chosen(hub) == ["a", "b", "c", "d"]
    assert chosen(hub, "x") == ["a", "c"]
    assert chosen(hub, "x", "y") == ["a", "c", "b"]
    assert chosen(hub, "x", "y", out=("y",)) == ["c"]
    assert chosen(hub, out=("a",)) == ["b", "c", "d"]
    assert chosen(hub, out=("a", "x")) == ["b", "d"]
    assert chosen(hub, "nobody") == []
    assert chosen(hub, "x", out=("nobody",)) == ["a", "c"]


def test_leaving_many_out_costs_nothing_for_few():
    """Those of an excluded room are not copied: 10,000 sockets of other tenants are in one when somebody speaks to a room of two."""
    hub, members = made(*map(str, range(10_000)))
    for member in members.values():
        hub.join(member, "others")
    hub.leave(members["0"], "others")
    for id in ("0", "1"):
        hub.join(members[id], "few")
    assert chosen(hub, "few", out=("others",)) == ["0"]
    assert peak_bytes(lambda: chosen(hub, "few", out=("others",))) < 10_000


def test_the_own_id_is_a_room():
    """A socket is in the room of its id, until it leaves that; others may join it, too."""
    hub, members = made("a", "b")
    a, b = members["a"], members["b"]
    assert hub.rooms_of(a) == ("a",)
    hub.join(b, "a")
    assert chosen(hub, "a") == ["b", "a"]
    hub.leave(a, "a")
    assert chosen(hub, "a") == ["b"]
    assert hub.rooms_of(a) == ()
    hub.join(a, "a")
    assert chosen(hub, "a") == ["b", "a"]
    assert chosen(hub, out=("a",)) == []


def test_who_is_gone_is_in_no_room():
    """After discard no room knows the socket, and a second discard or leave is harmless."""
    hub, members = made("a", "b")
    a = members["a"]
    hub.join(a, "x")
    hub.leave(a, "a")
    hub.discard(a)
    hub.discard(a)
    hub.leave(a, "x")
    assert hub.rooms() == {}
    assert hub.rooms_of(a) == ()
    assert chosen(hub) == ["b"]
    assert not hub._left_own


async def test_a_broadcast_is_encoded_once_and_counted():
    """One encoding serves all; the result says how many get it, without those whose volatile event was dropped."""
    hub, members = made("a", "b", "c")
    prepared = hub.prepare("tick", [1, "é"])
    members["a"].transport.is_writable = False
    assert hub.deliver(Selection(), prepared) == 3
    assert hub.deliver(Selection(), prepared, is_volatile=True) == 3
    members["b"].egress.finish(keep=False)
    assert hub.deliver(Selection(), prepared, is_volatile=True) == 2
    await settle()
    assert members["c"].transport.sent == ['42["tick",1,"é"]'] * 3
    assert members["b"].transport.sent == ['42["tick",1,"é"]'] * 2


async def test_what_goes_out_can_be_watched():
    """Of one socket and of all, before what is volatile is dropped; without the ack; nothing is kept where nobody watches."""
    hub, members = made("a", "b")
    assert hub.prepare("quiet", [1]).event is None
    early, seen = hub.prepare("early", []), []
    hub.outgoing.add(members["a"], lambda *event: seen.append(("a", *event)))
    hub.outgoing.add(None, lambda socket, name: seen.append((socket.id, name)))
    members["b"].egress.finish(keep=False)
    hub.deliver(Selection(), hub.prepare("tick", [1]), is_volatile=True)
    hub.deliver(Selection(("a",)), hub.prepare("q", [2], 7))
    hub.deliver(Selection(), early)
    assert seen == [("a", "tick"), ("a", "tick", 1), ("b", "tick"), ("a", "q"), ("a", "q", 2)]
    hub.outgoing.remove(None)
    hub.outgoing.remove(members["a"])
    assert not hub.outgoing.is_heard
    assert hub.prepare("quiet", [1]).event is None


def test_who_watches_may_change_the_room_that_is_walked_over():
    """A listener that puts sockets into rooms or out of them does not break the broadcast."""
    hub, members = made("a", "b", "c")
    for member in members.values():
        hub.join(member, "x")
    hub.outgoing.add(None, lambda socket, name: hub.leave(socket, "x"))
    assert hub.deliver(Selection(("x",)), hub.prepare("e", [])) == 0
    assert hub.rooms() == {}


def test_whether_it_may_be_compressed_is_carried_along():
    """`compress(False)` reaches what is handed to the transports."""
    hub, _ = made()
    assert hub.prepare("e", []).compress
    assert not hub.prepare("e", [], compress=False).compress


def test_an_event_that_cannot_be_sent_is_the_callers_mistake():
    """Reserved names and values that JSON does not have are refused before anybody gets anything."""
    hub, _ = made("a")
    for event, args in (("disconnect", []), ("x", [float("nan")]), ("x", [object()])):
        with pytest.raises(UsageError):
            hub.prepare(event, args)


def test_acks_are_numbered_by_the_namespace():
    """One counter a namespace, from 0."""
    hub, _ = made()
    assert [hub.next_ack() for _ in range(3)] == [0, 1, 2]
    assert hub.prepare("q", [], 0).messages == ['420["q"]']
    assert socketio.encode_event("/", ["q"], 0) == ['20["q"]']


class Rooms(RuleBasedStateMachine):
    """The hub against a plain model: a set of members for each room."""

    ids = st.sampled_from("abcd")
    names = st.sampled_from(["a", "b", "x", "y"])

    def __init__(self) -> None:
        super().__init__()
        self.hub, self.members = made()
        self.model: dict[str, set[str]] = defaultdict(set)
        # What the adapter's events say; what contradicts that is noted, since listeners that fail hurt nobody.
        self.told: dict[str, set[str]] = {}
        self.wrong: list[str] = []
        for event in ("create_room", "join_room", "leave_room", "delete_room"):
            self.hub.adapter.on(event, functools.partial(self.tell, event))

    def tell(self, event, room, id=None):
        there = self.told.get(room)
        match event:
            case "create_room" if there is None:
                self.told[room] = set()
            case "join_room" if there is not None and id not in there:
                there.add(id)
            case "leave_room" if there is not None and id in there:
                there.remove(id)
            case "delete_room" if there == set():
                del self.told[room]
            case _:
                self.wrong.append(f"{event} {room} {id}")

    @rule(id=ids)
    def connect(self, id):
        if id not in self.members:
            self.members[id] = Member(id)
            self.hub.add(self.members[id])
            self.model[id].add(id)

    @rule(id=ids)
    def disconnect(self, id):
        if member := self.members.pop(id, None):
            self.hub.discard(member)
            for room in self.model.values():
                room.discard(id)

    @rule(id=ids, room=names)
    def join(self, id, room):
        if member := self.members.get(id):
            self.hub.join(member, room)
            self.model[room].add(id)

    @rule(id=ids, room=names)
    def leave(self, id, room):
        if member := self.members.get(id):
            self.hub.leave(member, room)
            self.model[room].discard(id)

    @rule(rooms=st.lists(names, max_size=3), out=st.lists(names, max_size=2))
    def choose(self, rooms, out):
        expected = (
            set().union(*(self.model[room] for room in rooms)) if rooms else set(self.members)
        )
        expected -= set().union(*(self.model[room] for room in out))
        found = chosen(self.hub, *rooms, out=tuple(out))
        assert sorted(found) == sorted(expected)

    @invariant()
    def agree(self):
        for id, member in self.members.items():
            assert set(self.hub.rooms_of(member)) == {
                r for r, ids in self.model.items() if id in ids
            }
        assert self.told == {room: ids for room, ids in self.model.items() if ids}
        assert self.wrong == []


TestRooms = Rooms.TestCase
