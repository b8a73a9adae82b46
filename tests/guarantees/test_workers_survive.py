"""Workers around the process that owns the file are one server, and what was answered survives `kill -9` of any of them."""

import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clarion.bus.unix import UnixRegistry
from tests.support.owner import linked
from tests.support.raw_socketio import Reach, Spoken
from tests.support.server import Server, running, until

APP = """
from clarion.topics import SignedIn

def setup(app):
    app.topics.add("log", "stream", rights={"subscribe": SignedIn()})
    app.topics.add("ledger", "stream", rights={"subscribe": SignedIn()}, durability="durable")
"""
LOG, LEDGER = "/v1/topics/log%3Aa/publications", "/v1/topics/ledger%3Aa/publications"
WRITERS = 6
BETWEEN_KILLS = 40  # answered publications, over all writers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("workers")
    (folder / "logs.py").write_text(APP)
    settings = {"CLARION_WORKERS": "2", "CLARION_LIMITS_DRAIN_S": "1"}
    with running(folder, "--app", "logs:setup", **settings) as server:
        yield server


def owner(server: Server) -> int:
    """The process that has the lock on the file."""
    return int((server.folder / "data" / "clarion.db.lock").read_text() or 0)


def workers(server: Server) -> set[int]:
    """The other processes that the first has started."""
    forked = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return {int(pid) for pid in forked.split()} - {owner(server)}


class Writer(threading.Thread):
    """Publishes under ids of its own until it is told to stop; what was not answered with a yes it repeats under the same id."""

    def __init__(self, server: Server, key: str, name: str, answered: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._server, self._key, self._name, self._one = server, key, name, answered
        self.answered: dict[str, tuple[str, int]] = {}
        self.refused: set[str] = set()
        self.is_to_stop = False

    def run(self) -> None:
        n = 0
        while not self.is_to_stop:
            n += 1
            id = f"{self._name}-{n}"
            told = until(lambda id=id: self._publish(id))
            self.answered[id] = told["epoch"], told["offset"]
            self._one.release()

    def _publish(self, id: str) -> dict[str, Any]:
        body = {"event": "said", "data": id, "id": id}
        try:
            answer = self._server.post(LEDGER, body, token=self._key)
        except httpx.TransportError:
            return {}
        if answer.status_code in {200, 201}:
            return dict(answer.json())
        self.refused.add(answer.json()["code"])
        return {}


class Listener:
    """A socket in `/clarion`."""

    def __init__(self, spoken: Spoken, node: str) -> None:
        self._spoken, self.node = spoken, node
        self._asked = 0

    async def ask(self, event: str, argument: Any) -> Any:
        self._asked += 1
        self._spoken.say(f"42/clarion,{self._asked}{json.dumps([event, argument])}")
        while not (said := await self._hear()).startswith(f"43/clarion,{self._asked}["):
            pass
        return json.loads(said.removeprefix(f"43/clarion,{self._asked}"))[0]

    async def event(self) -> Any:
        """The next."""
        while not (said := await self._hear()).startswith("42/clarion,["):
            pass
        return json.loads(said.removeprefix("42/clarion,"))

    async def _hear(self) -> str:
        while (said := await self._spoken.hear()) == "2":
            self._spoken.say("3")
        assert isinstance(said, str), said
        return said


@asynccontextmanager
async def one_on_each(server: Server, token: str) -> AsyncIterator[list[Listener]]:
    """Sockets on two workers: the kernel chooses, so some more may be opened."""
    reach, found = Reach(server.port), dict[str, Listener]()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(reach.hang_up)
        while len(found) < 2:
            spoken = await reach.websocket()
            node = json.loads((await spoken.hear())[1:])["sid"][-4:]
            spoken.say(f"40/clarion,{json.dumps({'token': token})}")
            assert (await spoken.hear()).startswith("40/clarion,{")
            found.setdefault(node, Listener(spoken, node))
        yield list(found.values())


async def test_two_workers_are_one_server(server: Server) -> None:
    """A publication reaches the subscribers of both, at one offset, as does a broadcast; who is there is counted over both; only this user reaches their sockets."""
    token = server.register("ann")["access_token"]
    key = server.key("topics:*", "users:*", "realtime:emit")
    async with one_on_each(server, token) as listeners:
        for each in listeners:
            assert (await each.ask("subscribe", {"topic": "log:a"}))["offset"] == 0
        for number in range(1, 6):
            said = server.post(LOG, {"event": "said", "data": number}, token=key).json()
            assert (said["offset"], said["class"]) == (number, "recoverable")
            for each in listeners:
                event, heard = await each.event()
                assert (event, heard["offset"], heard["data"]) == ("publication", number, number)
        counted = server.get("/v1/topics/log%3Aa/occupancy", token=key).json()
        assert (counted["subscriptions"], counted["complete"]) == (2, True)
        server.post("/v1/broadcast", {"event": "hello", "args": [1]}, token=key)
        for each in listeners:
            assert await each.event() == ["hello", 1]
        async with linked(server.folder / "data" / "owner.sock", "test") as link:
            # A session's id names its worker as the others know it.
            assert {each.node for each in listeners} < set(await UnixRegistry(link).living())
        # With the owner goes what was in its memory: sockets stay, and are told to take the state anew.
        os.kill(owner(server), signal.SIGKILL)
        for each in listeners:
            event, heard = await each.event()
            assert (event, heard["code"]) == ("unsubscribed", 3010)
            assert (await each.ask("subscribe", {"topic": "log:a"}))["offset"] == 0
    text = server.get("/metrics", token=server.key("metrics:read")).text
    for number in range(2):
        assert f'clarion_owner_connected{{worker="{number}"}} 1.0' in text
    assert text.count("# TYPE clarion_sessions gauge") == 1
    sockets = list((server.folder / "data").glob("*.sock"))
    assert sorted(each.name for each in sockets) == ["clarion.sock", "owner.sock", "worker-1.sock"]
    assert {each.stat().st_mode & 0o777 for each in sockets} == {0o600}


def test_no_answered_publication_is_lost_and_none_is_doubled(server: Server) -> None:
    """Workers and owner are killed one after another under load and come back; the log has each publication once, at the offset that was told."""
    key = server.key("topics:publish", "topics:read")
    one = threading.Semaphore(0)
    writers = [Writer(server, key, f"w{i}", one) for i in range(WRITERS)]
    for each in writers:
        each.start()
    for victim in (owner, lambda _: min(workers(server)), owner, lambda _: max(workers(server))):
        for _ in range(BETWEEN_KILLS):
            assert one.acquire(timeout=30)
        os.kill(victim(server), signal.SIGKILL)
    for _ in range(BETWEEN_KILLS):
        assert one.acquire(timeout=30)
    for each in writers:
        each.is_to_stop = True
    for each in writers:
        each.join(60)
    assert set().union(*(each.refused for each in writers)) <= {"unavailable", "outcome_unknown"}
    until(lambda: len(workers(server)) == 2)
    answered = {id: place for each in writers for id, place in each.answered.items()}
    log = server.get(f"{LEDGER}?after=0&limit=1000", token=key).json()
    assert [item["offset"] for item in log["items"]] == list(range(1, log["offset"] + 1))
    assert {item["data"]: (log["epoch"], item["offset"]) for item in log["items"]} == answered


def test_a_stop_ends_all_of_them(server: Server) -> None:
    """SIGTERM: every process ends, in time, and what they listened on is gone."""
    forked = {owner(server), *workers(server)}
    server.send(signal.SIGTERM)
    assert server.ended(30)
    assert server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in forked)
    assert not list((server.folder / "data").glob("*.sock"))
    # And those that are left when the first is killed end by themselves.
    server.start("--app", "logs:setup")
    left = {owner(server), *workers(server)}
    server.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
