"""Operators: values that say whom an event is for, and how it is sent."""

import re

import pytest

from clarion.errors import Invalid, UsageError
from clarion.realtime import Operator, SocketOperator
from clarion.realtime.handlers import Runner
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.hub import Hub
from clarion.realtime.peers import Selection
from clarion.settings import Limits
from tests.support.memory_transport import MemoryClient, make_server


class Client:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def send_event(self, event, args, *, is_volatile, compress):
        self.asked.append((event, args, is_volatile, compress))
        return "sent"

    async def ask(self, event, args, *, timeout_s, all_args, compress):
        self.asked.append((event, args, timeout_s, all_args, compress))
        return "answer"


@pytest.fixture
def everybody() -> Operator:
    return Operator(Hub("/", Limits(), Wheel(), Runner()))


def test_steps_add_up_and_leave_no_trace(everybody):
    """Rooms unite in the order of naming, each once; what was made before does not change."""
    chosen = everybody.to("a", "b").in_("b", "c").except_("d").except_("d", "e").volatile.timeout(2)
    assert chosen.selection == Selection(("a", "b", "c"), ("d", "e"))
    assert (chosen.is_volatile, chosen.timeout_s) == (True, 2)
    assert everybody.selection == Selection()
    assert (everybody.is_volatile, everybody.timeout_s) == (False, None)


async def test_a_list_of_no_rooms_means_nobody():
    """A list that happens to be empty reaches nobody, where Node emits to, moves and disconnects everybody; rooms that are named later count."""
    io = make_server()
    client = MemoryClient(io)
    await client.join()
    for operator in (io.to([]), io.in_(*[]), io.of("/").to([]), io.to([]).except_("a")):
        assert operator.emit("e") == 0
        assert await operator.fetch_sockets() == []
        assert await operator.timeout(1).emit_with_ack("q") == []
        await operator.disconnect_sockets()
    assert io.except_().emit("e") == 1
    assert io.to([]).to(next(iter(io.of("/").sockets))).emit("e") == 1


async def test_rooms_may_come_from_a_generator():
    """Everybody who is meant goes into all of them, and leaves all of them, also over the children of a parent."""
    io = make_server()
    family = io.of(re.compile("^/room-"))
    first, second = MemoryClient(io), MemoryClient(io)
    for client in (first, second):
        await client.join()
        client.say("40/room-1")
    for whom, where in ((io, io), (family, io.of("/room-1"))):
        await whom.except_().sockets_join(room for room in "ab")
        assert where.rooms == {"a": 2, "b": 2}
        await whom.except_().sockets_leave(room for room in "ab")
        assert where.rooms == {}


async def test_nobody_is_a_possible_choice(everybody):
    """Acting on nobody does nothing, and a question to nobody is answered at once."""
    assert everybody.emit("e") == 0
    assert await everybody.fetch_sockets() == []
    await everybody.sockets_join("a")
    await everybody.sockets_leave("a")
    await everybody.disconnect_sockets()
    assert await everybody.timeout(1).emit_with_ack("q") == []
    with pytest.raises(UsageError):
        await everybody.emit_with_ack("q")


async def test_a_sockets_own_operator_hands_on_what_was_said():
    """`socket.volatile`, `timeout` and `compress` are said to the socket with the event."""
    client = Client()
    operator = SocketOperator(client)
    assert operator.volatile.timeout(3).emit("e", 1) == "sent"
    assert operator.compress(False).send("e") == "sent"
    assert operator.write() == "sent"
    assert await operator.timeout(3).volatile.emit_with_ack("q", 2) == "answer"
    assert await operator.compress(False).emit_with_ack("q", all_args=True) == "answer"
    assert client.asked == [
        ("e", (1,), True, True),
        ("message", ("e",), False, False),
        ("message", (), False, True),
        ("q", (2,), 3, False, True),
        ("q", (), 20, True, False),
    ]


@pytest.mark.parametrize("wrong", [None, 5, b"a", [None], ["a", 5]])
async def test_what_is_no_rooms_name_does_not_mean_nobody(everybody, wrong):
    """`to(None)`, or a user's id that is a number, would reach nobody without a word. As with `join`, a client may have sent it: `invalid`."""
    io = make_server()
    client = MemoryClient(io)
    socket = io.sockets[await client.join()]
    for choose in (everybody.to, everybody.except_, io.to, io.in_, socket.to, socket.except_):
        with pytest.raises(Invalid, match=r"a room's name is text, not (NoneType|int)"):
            choose(wrong)
    with pytest.raises(Invalid, match=r"a room's name is text, not (NoneType|int)"):
        socket.join(wrong)


@pytest.mark.parametrize("wrong", [0, -1, "5", None, float("nan")])
async def test_a_timeout_is_a_number_of_seconds(everybody, wrong):
    """Found where it is said, and not as an error of the timer, or as an answer that never has time to come."""
    io = make_server()
    socket = io.sockets[await MemoryClient(io).join()]
    for choose in (everybody.timeout, io.timeout, socket.timeout, socket.volatile.timeout):
        with pytest.raises(UsageError, match="a number of seconds above 0"):
            choose(wrong)
    with pytest.raises(UsageError, match="a number of seconds above 0"):
        await socket.emit_with_ack("q", timeout_s=wrong)


def test_rooms_can_be_named_in_lists(everybody):
    """Where a room is taken a list of rooms is, too."""
    chosen = everybody.to(["a", "b"], "c").in_(("c", "d")).except_(["e"], "f").local.compress(False)
    assert chosen.selection == Selection(("a", "b", "c", "d"), ("e", "f"))
    assert (chosen.is_local, chosen.is_compressed) == (True, False)
    assert (everybody.is_local, everybody.is_compressed) == (False, True)
