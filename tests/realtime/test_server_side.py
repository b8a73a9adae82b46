"""Events from node to node: what a backplane carries, and what it brings."""

import asyncio

import pytest

from clarion.errors import UsageError
from tests.support.memory_transport import make_server, settle


class Others:
    """A backplane that notes what it is told, and whose nodes answer."""

    def __init__(self) -> None:
        self.told = []

    def tell_servers(self, event, args):
        self.told.append((event, args))

    async def ask_servers(self, event, args):
        self.told.append((event, args))
        return ["one", None]


async def test_what_is_emitted_reaches_the_others_and_not_oneself():
    """The backplane of the namespace carries it; listeners of this node hear nothing of it."""
    io = make_server()
    others = io.of("/").peers = Others()
    io.on_server_side("hello", lambda *args: pytest.fail("it reaches other nodes only"))
    io.server_side_emit("hello", 1, b"\x01")
    assert await io.server_side_emit_with_ack("hello", [2]) == ["one", None]
    assert others.told == [("hello", (1, b"\x01")), ("hello", ([2],))]


async def test_what_comes_from_the_others_is_heard_and_answered():
    """Listeners get the arguments, what they return is this node's answer; other namespaces hear nothing."""
    io, answers, heard = make_server(), [], []

    @io.on_server_side("sum")
    async def add(*numbers):
        await asyncio.sleep(0)
        return sum(numbers)

    io.of("/other").on_server_side("sum", lambda *numbers: heard.append(numbers))
    door = io.of("/").server_side
    door.heard("sum", [1, 2], lambda *args: answers.append(args))
    door.heard("sum", [3])
    door.heard("nobody listens", [])
    await settle()
    assert answers == [(3,)]
    assert heard == []


async def test_what_cannot_be_sent_is_refused_also_where_nobody_is():
    """A program finds out on one node, not when there are two."""
    io = make_server()
    with pytest.raises(UsageError):
        io.server_side_emit("e", object())
    with pytest.raises(UsageError):
        await io.server_side_emit_with_ack("e", float("nan"))
