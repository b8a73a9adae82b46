"""What every backplane must do: two nodes are one server of Socket.IO."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from clarion.errors import AckTimeout
from clarion.realtime import RemoteSocket, Server
from tests.realtime.backplane.peers import Heard


class Peer(Protocol):
    """A node in this process."""

    io: Server

    async def client(self, *rooms: str) -> Heard:
        """One of its clients, in these rooms."""
        ...

    async def settle(self) -> None:
        """Return when it hears all that it should."""
        ...


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so: the other node has to do its part first."""
    async with asyncio.timeout(20):
        while not await what():  # noqa: ASYNC110  it is on its way
            await asyncio.sleep(0.005)


async def events_reach_all(one: Peer, two: Peer) -> None:
    """Each that is meant once, with bytes, in order; what is local stays so."""
    ann, bob = await one.client("r"), await two.client("r", "s")
    for each in (one, two):
        await each.settle()
    assert one.io.emit("a", 1, b"\x01") == 1
    for heard in (ann, bob):
        assert (await heard.next())[::3] == ["a", b"\x01"]
    two.io.to("r").except_("s").emit("b")
    assert await ann.next() == ["b"]
    one.io.to("nowhere").emit("c")
    one.io.of("/").sockets[ann.id].broadcast.emit("d")
    assert await bob.next() == ["d"]
    one.io.local.emit("e")
    assert await ann.next() == ["e"]
    for number in range(20):
        one.io.to("s").emit("n", number)
    assert [await bob.next() for _ in range(20)] == [["n", number] for number in range(20)]
    assert ann.has_nothing()


async def answers_come_from_all(one: Peer, two: Peer) -> None:
    """Of clients and of servers; who does not answer is missing."""
    ann, bob = await one.client("r"), await two.client("r")
    for each in (one, two):
        await each.settle()
    answers, *asked = await asyncio.gather(
        one.io.to("r").timeout(20).emit_with_ack("q"), ann.next(), bob.next()
    )
    assert (sorted(answers), asked) == (sorted([ann.id, bob.id]), [["q"], ["q"]])
    with pytest.raises(AckTimeout) as caught:
        await one.io.timeout(0.2).emit_with_ack("q")
    assert (caught.value.responses, caught.value.missing) == ((), 2)
    assert await ann.next() == await bob.next() == ["q"]
    two.io.on_server_side("sum", lambda *numbers: sum(numbers))
    assert await one.io.server_side_emit_with_ack("sum", 1, 2) == [3]
    assert await one.io.of("/").server_count() == 2


async def sockets_are_found_and_moved(one: Peer, two: Peer) -> None:
    """With rooms and data, wherever they are; they are spoken to, and put out."""
    ann, bob = await one.client("r"), await two.client("r", "s")
    two.io.of("/").sockets[bob.id].data["name"] = "bob"
    for each in (one, two):
        await each.settle()
    found = {socket.id: socket for socket in await one.io.in_("r").fetch_sockets()}
    assert set(found) == {ann.id, bob.id}
    far = found[bob.id]
    assert isinstance(far, RemoteSocket)
    assert (far.rooms, far.data) == ((bob.id, "r", "s"), {"name": "bob"})
    far.emit("to you")
    assert await bob.next() == ["to you"]
    await two.io.in_("r").sockets_join("t")
    far.leave("s")
    rooms = {ann.id: {ann.id, "r", "t"}, bob.id: {bob.id, "r", "t"}}

    async def are_moved() -> bool:
        return {each.id: set(each.rooms) for each in await two.io.fetch_sockets()} == rooms

    await until(are_moved)
    await one.io.in_(bob.id).disconnect_sockets()

    async def is_out() -> bool:
        return {each.id for each in await one.io.fetch_sockets()} == {ann.id}

    await until(is_out)
