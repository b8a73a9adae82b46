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

from clarion.clock import SystemClock
from clarion.errors import Unavailable
from clarion.realtime.admin import AdminUi, endpoint, instrument
from clarion.telemetry import backplane_messages
from tests.realtime.backplane.workers import two_of
from tests.support.memory_transport import MemoryClient
from tests.support.owner import owning


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


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
