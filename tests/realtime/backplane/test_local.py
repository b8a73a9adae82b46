"""Workers of one host are one server of Socket.IO: whatever one does to sockets happens to those of all."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clarion.bus.owner import Owner
from clarion.bus.unix import UnixBus
from clarion.clock import SystemClock
from clarion.errors import AckTimeout, Unavailable
from clarion.ids import Ids
from clarion.realtime import RemoteSocket, Server
from clarion.realtime.admin import AdminUi, endpoint, instrument
from clarion.realtime.backplane.local import Local
from clarion.telemetry import backplane_messages
from tests.realtime.backplane.peers import Heard
from tests.support.memory_transport import MemoryClient, make_server
from tests.support.owner import linked, owning


class Worker:
    """A server, and its way to the other."""

    def __init__(self, io: Server, bus: UnixBus) -> None:
        self.io, self.bus = io, bus

    async def client(self, *rooms: str) -> Heard:
        client = MemoryClient(self.io)
        id = await client.join()
        self.io.of("/").sockets[id].join(*rooms)
        return Heard(client, id)

    async def settle(self) -> None:
        """Return when all that was said before has been done by the other."""
        await self.bus.subscribers("")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def two_of(stack: AsyncExitStack, folder: Path) -> tuple[Owner, Worker, Worker]:
    path = folder / "owner.sock"
    owner = await stack.enter_async_context(owning(path))
    made = []
    for seed in (1, 2):
        bus = UnixBus(await stack.enter_async_context(linked(path, f"{seed}")))
        io = make_server(seed=seed, backplane=Local(bus, Ids.seeded(seed)))
        stack.push_async_callback(io.close)
        made.append(Worker(io, bus))
    for each in made:
        await each.settle()
    return owner, *made


async def test_what_one_does_happens_to_the_sockets_of_all(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    """Events with their exceptions and bytes, answers, rooms, data, disconnects, events for servers, and counts; what is local stays so."""
    _, one, two = await two_of(stack, tmp_path)
    ann, bob = await one.client("r"), await two.client("r", "s")
    two.io.of("/").sockets[bob.id].data["name"] = "bob"
    assert one.io.emit("a", 1, b"\x01") == 1
    for each in (ann, bob):
        assert (await each.next())[::3] == ["a", b"\x01"]
    two.io.to("r").except_("s").emit("b")
    assert await ann.next() == ["b"]
    one.io.to("nowhere").emit("c")
    one.io.of("/").sockets[ann.id].broadcast.emit("d")
    assert await bob.next() == ["d"]
    one.io.local.emit("e")
    assert await ann.next() == ["e"]

    answers, *asked = await asyncio.gather(
        one.io.to("r").timeout(20).emit_with_ack("q"), ann.next(), bob.next()
    )
    assert (sorted(answers), asked) == (sorted([ann.id, bob.id]), [["q"], ["q"]])
    with pytest.raises(AckTimeout) as caught:
        await one.io.timeout(0.1).emit_with_ack("q")
    assert (caught.value.responses, caught.value.missing) == ((), 2)
    assert await ann.next() == await bob.next() == ["q"]

    found = {socket.id: socket for socket in await one.io.in_("r").fetch_sockets()}
    assert set(found) == {ann.id, bob.id}
    far = found[bob.id]
    assert isinstance(far, RemoteSocket)
    assert (far.rooms, far.data) == ((bob.id, "r", "s"), {"name": "bob"})
    far.emit("to you")
    assert await bob.next() == ["to you"]
    await two.io.in_("r").sockets_join("t")
    far.leave("s")
    found = {socket.id: set(socket.rooms) for socket in await two.io.in_("t").fetch_sockets()}
    assert found == {ann.id: {ann.id, "r", "t"}, bob.id: {bob.id, "r", "t"}}

    two.io.on_server_side("sum", lambda *numbers: sum(numbers))
    assert await one.io.server_side_emit_with_ack("sum", 1, 2) == [3]
    assert await one.io.of("/").server_count() == 2
    await one.io.in_(bob.id).disconnect_sockets()
    assert {socket.id for socket in await one.io.fetch_sockets()} == {ann.id}
    assert ann.has_nothing()


async def test_without_the_owner_a_worker_goes_on_alone(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    """Its own sockets get what is sent, what needs the others is refused by name; garbage is counted; with the next owner all is as before."""
    owner, one, two = await two_of(stack, tmp_path)
    ann, bob = await one.client("r"), await two.client("r")
    malformed = backplane_messages.labels("malformed")
    before = malformed._value.get()
    place = "socket.io-request#/#"
    for data in (b"", b"\xff", b"{}", *(msgspec.msgpack.encode(("x", place, d)) for d in (b"", b"{", b"[]"))):  # fmt: skip
        one.bus.say("backplane:/", data)
    one.io.emit("still here")
    assert await ann.next() == await bob.next() == ["still here"]
    assert malformed._value.get() - before >= 10

    gaps = asyncio.Event()
    one.bus.on_gap(lambda _: gaps.set())
    back = asyncio.Event()
    two.bus.on_gap(lambda _: back.set())
    await owner.close()
    with pytest.raises(Unavailable):
        await one.io.fetch_sockets()
    assert one.io.to("r").emit("alone") == 1
    assert await ann.next() == ["alone"]
    with pytest.raises(Unavailable):
        await one.io.in_("r").sockets_join("s")
    assert "s" in one.io.of("/").sockets[ann.id].rooms
    async with owning(tmp_path / "owner.sock"):
        await asyncio.gather(gaps.wait(), back.wait())
        one.io.to("r").emit("together")
        assert await bob.next() == ["together"]


async def test_an_admin_page_is_shown_all_of_them(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics of each, the sockets that there are, and what happens to them; when the page is gone nothing is observed any more."""
    monkeypatch.setattr(endpoint, "STATS_S", 0.5)
    monkeypatch.setattr(endpoint, "WATCHED_S", 1.0)
    _, one, two = await two_of(stack, tmp_path)
    for number, worker in enumerate((one, two), 1):
        given = AdminUi(password="correct horse", mode="development")
        instrument(worker.io, given, server_id=f"node-{number}", clock=SystemClock())
        await worker.settle()
    bob = await two.client("r")
    page = MemoryClient(one.io)
    page.say('40/admin,{"username": "admin", "password": "correct horse"}')
    told: list[Any] = []

    async def until_told(what: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(10):
            while not any(what(each) for each in told):
                told.extend([_event(str(packet)) for packet in await page.hear()])
                await asyncio.sleep(0.01)

    await until_told(lambda it: it[0] == "all_sockets" and bob.id in [s["id"] for s in it[1]])
    for id in ("node-1", "node-2"):
        await until_told(lambda it, id=id: it[0] == "server_stats" and it[1]["serverId"] == id)
    carol = await two.client()
    await until_told(lambda it: it[0] == "socket_connected" and it[1]["id"] == carol.id)
    two.io.of("/").sockets[carol.id].disconnect()
    await until_told(lambda it: it[0] == "socket_disconnected" and it[2] == carol.id)
    page.say('42/admin,["_disconnect", "/", false, "r"]')
    await until_told(lambda it: it[0] == "socket_disconnected" and it[2] == bob.id)
    page.say("41/admin")
    async with asyncio.timeout(20):
        while two.io.of("/").adapter.is_heard:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _event(packet: str) -> list[Any]:
    found = re.match(r"42/admin,(\[.*\])", packet, re.DOTALL)
    return list(json.loads(found[1])) if found else [""]
