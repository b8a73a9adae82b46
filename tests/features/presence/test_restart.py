"""A single process that is restarted in good order: nobody has left who comes back."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.clock import ManualClock
from clarion.features.presence.saved import FILE
from clarion.settings import Presence as Settings
from tests.features.presence.house import Node, Shared
from tests.support.official import official
from tests.support.server import Server


class Process:
    """A process with a folder; the next one has the same folder and clock, and nothing else."""

    def __init__(self, folder: Path, name: str, clock: ManualClock | None = None) -> None:
        shared = Shared()
        shared.clock = clock or shared.clock
        self.node = Node(shared, name, Settings(), folder)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Node]:
        await self.node.presence.start()
        try:
            yield self.node
        finally:
            self.node.presence.freeze()
            for socket_id in list(self.node.who):
                self.node.presence.places.disconnected(socket_id)
            await self.node.close()
            await self.node.shared.close()


async def test_a_planned_restart_is_no_mass_leave(tmp_path: Path) -> None:
    """The next process has everybody from its first moment; who does not come back within the window and the grace period goes then."""
    first = Process(tmp_path, "aaaa")
    async with first.running() as node:
        await node.connect("ann").enter(device="web", data={"name": "Ann"})
        ben = node.connect("ben")
        await ben.enter(text="back soon", text_for_s=3600)
        await node.connect("cleo").enter()
        ben.disconnect()  # away when the process stops: still in his grace period
        before = await node.members()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    async with Process(tmp_path, "bbbb", first.node.clock).running() as node:
        assert not (tmp_path / FILE).exists()
        after = await node.members()
        for user, entry in before.items():
            devices = [list(each["devices"].values()) for each in (entry, after[user])]
            assert devices[0] == devices[1]
            assert {**after[user], "devices": {}} == {**entry, "devices": {}}
        assert after.keys() == before.keys()
        watcher = node.connect("w")
        await watcher.watch()
        await node.connect("ann").enter(device="web")
        await node.tick(19)
        assert watcher.heard() == []
        await node.tick(2)
        assert watcher.heard() == [("remove", "ben"), ("remove", "cleo")]
        assert list(await node.members()) == ["ann"]


async def test_who_is_invisible_stays_so_and_who_is_online_too(tmp_path: Path) -> None:
    """Nothing of an invisible user is in the next process's rooms; of all users it knows that they were online a moment ago."""
    first = Process(tmp_path, "aaaa")
    async with first.running() as node:
        for name in ("ann", "ben"):
            await node.connect(name).enter(text="here")
        await node.presence.people.choose("default", "ben", "nobody")
        while sorted(await node.members()) != ["ann"]:
            await asyncio.sleep(0.001)
            await node.tick()
    second = Process(tmp_path, "bbbb", first.node.clock)
    async with second.running() as node:
        assert sorted(await node.members()) == ["ann"]
        found = await node.presence.status("default", ["ann", "ben"], regardless=True)
        assert [each.status for each in found] == ["online", "online"]
        await node.tick(21)
        found = await node.presence.status("default", ["ann"])
        assert found[0].status == "offline"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"at_ms":1,"people":[[]]}', b"\xff"])
async def test_a_file_that_is_none_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    async with Process(tmp_path, "aaaa").running() as node:
        assert await node.members() == {}
    assert not (tmp_path / FILE).exists()


async def test_who_was_away_for_long_finds_empty_rooms(tmp_path: Path) -> None:
    first = Process(tmp_path, "aaaa")
    async with first.running() as node:
        await node.connect("ann").enter()
    first.node.clock.advance(301)
    async with Process(tmp_path, "bbbb", first.node.clock).running() as node:
        assert await node.members() == {}


async def test_clients_see_nobody_leave_over_a_restart_of_the_server(tmp_path: Path) -> None:
    """With the unchanged client: it comes back, gets the state anew, and whoever did not come back yet is still in it."""
    settings = {
        "CLARION_PRESENCE_OPEN": "lobby",
        "CLARION_PRESENCE_TICK_S": "0.02",
        "CLARION_LIMITS_DRAIN_S": "0.2",
    }
    server = Server(tmp_path, **settings)
    with contextlib.closing(server.start()):
        tokens = [server.register(name)["access_token"] for name in ("ann", "ben")]
        told = {}
        async with official("presence_restart.mjs", server.port, *tokens) as facts:
            async for fact, value in facts:
                told[fact] = value
                if fact == "restart":
                    assert await asyncio.to_thread(server.stop) == 0
                    await asyncio.to_thread(server.start)
        assert "Traceback" not in server.log
    assert told == {
        "restart": None,
        "answer": [False, "epoch_changed", ["ann", "ben"]],
        "left": [],
    }
