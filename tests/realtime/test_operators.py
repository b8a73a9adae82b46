"""Operators: values that say whom an event is for, and how it is sent."""

import pytest

from clarion.errors import UsageError
from clarion.realtime import Operator, SocketOperator
from clarion.realtime.handlers import Runner
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.hub import Hub, Selection
from clarion.settings import Limits


class Client:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def send_event(self, event, args, *, is_volatile):
        self.asked.append((event, args, is_volatile))
        return "sent"

    async def emit_with_ack(self, event, *args, timeout_s=None):
        self.asked.append((event, args, timeout_s))
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
    """`socket.volatile` and `socket.timeout` are said to the socket with the event."""
    client = Client()
    operator = SocketOperator(client)
    assert operator.volatile.timeout(3).emit("e", 1) == "sent"
    assert operator.emit("e") == "sent"
    assert await operator.timeout(3).volatile.emit_with_ack("q", 2) == "answer"
    assert client.asked == [("e", (1,), True), ("e", (), False), ("q", (2,), 3)]
