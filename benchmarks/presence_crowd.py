"""Presence: a crowd that enters one room, at a pace; what it costs, and whether the server keeps up.

    python -m benchmarks.presence_crowd [--members 100000] [--joins 10000] [--watch 0] [--json]

Everything that a server has between a socket's command and its frames is in this process: commands, engine, presence, the topics in memory, a database
file. Sockets are made up, and count what they are sent. Each connects, and enters by `subscribe` with `params: {enter: {}}`: the first few hundred get
the list, then those who come and go, then their number: one publication per tick for everybody who is there. `--watch`: so many only watch, who are there
before. Reported is CPU of the one process; a wall time above members/joins says that it did not keep up.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import SystemClock
from clarion.features.presence import Presence
from clarion.ids import Ids
from clarion.realtime.transports import settle_memory
from clarion.settings import Limits
from clarion.settings import Presence as Settings
from clarion.storage import open_store
from clarion.telemetry import spawn
from clarion.topics import Commands, Kinds, TopicEngine, Topics
from clarion.topics.stores import MemoryStore

BATCH_S = 0.01
TOPICS: dict[str, tuple[str, ...]] = {"presence:*": ("subscribe", "publish")}


class Socket:
    """A connection without a network."""

    __slots__ = ("connected", "got", "id", "is_slow", "principal", "server")

    def __init__(self, id: str, principal: Principal, server: "Server") -> None:
        self.id, self.principal, self.server = id, principal, server
        self.connected, self.is_slow, self.got = True, False, 0

    def deliver(self, prepared: Any, /) -> None:
        self.got += 1
        if prepared[0] == "unsubscribed":  # the room has outgrown its list: as clients are told to
            work = self.server.subscribe(self, "presence:big", {"enter": {}})
            self.server.again.append(spawn(work, name="again"))

    def join(self, _: str, /) -> None: ...

    def leave(self, _: str, /) -> None: ...


class Server:
    """A process with presence."""

    def __init__(self, store: Any, members: int) -> None:
        clock, ids, bus, kinds = SystemClock(), Ids(), LocalBus(), Kinds()
        limits, settings = Limits(), Settings(members=max(members, 100_000))
        self.prepared = 0
        self.engine = TopicEngine(self._prepare, kinds, bus, limits, clock=clock, ids=ids)
        kept = MemoryStore(clock=clock, ids=ids)
        self.topics = Topics(self.engine, kinds, kept, limits, clock=clock)
        self.presence = Presence(
            store, bus, self.topics, self.engine, settings, node="aaaa", clock=clock, ids=ids
        )
        self.commands = Commands(
            self.engine, self.topics, lambda socket: socket.principal, limits, clock=clock
        )
        self.sockets: list[Socket] = []
        self.again: list[asyncio.Task[str]] = []

    def _prepare(self, event: str, data: Any) -> Any:
        self.prepared += 1
        return event, data

    async def close(self) -> None:
        await self.presence.close()
        await self.topics.close()
        await self.engine.close()

    def connect(self, name: str) -> Socket:
        socket = Socket(name, Principal(id=name, topics=TOPICS), self)
        self.sockets.append(socket)
        self.commands.connected(socket)
        self.presence.connected(socket, socket.principal)
        return socket

    async def subscribe(self, socket: Socket, topic: str, params: dict[str, Any]) -> str:
        """As a client does it who comes again where it is sent away; returns the topic that is given."""
        answer = await self.commands.run(socket, "subscribe", {"topic": topic, "params": params})
        assert answer.then is not None, answer.value
        answer.then()
        given: str = answer.value.topic
        return given


async def watch_loop(delays: list[float]) -> None:
    """How late the loop is."""
    while True:
        at = time.perf_counter()
        await asyncio.sleep(0.005)
        delays.append(time.perf_counter() - at - 0.005)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def measure(members: int, pace: int, watchers: int, *, wants_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(data_dir=Path(folder), clock=SystemClock())
        server = Server(store, members)
        server.engine.start()
        server.topics.start()
        await server.presence.start()
        settle_memory()
        for number in range(watchers):
            await server.subscribe(server.connect(f"w{number}"), "presence:big", {"mode": "count"})
        delays: list[float] = []
        watching = spawn(watch_loop(delays), name="loop")
        memory, cpu, wall = rss_bytes(), time.process_time(), time.perf_counter()
        tasks: list[asyncio.Task[str]] = []
        per_batch = int(pace * BATCH_S)
        for first in range(0, members, per_batch):
            due = wall + first / pace
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            for number in range(first, min(first + per_batch, members)):
                socket = server.connect(f"u{number}")
                work = server.subscribe(socket, "presence:big", {"enter": {}})
                tasks.append(spawn(work, name="join"))
        given = await asyncio.gather(*tasks)
        joined = time.perf_counter() - wall
        async with asyncio.timeout(300):
            while (await server.presence.members("big", limit=1)).users < members:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        shown, used = time.perf_counter() - wall, time.process_time() - cpu
        await asyncio.sleep(0.6)  # the last tick reaches everybody
        watching.cancel()
        sent = sum(socket.got for socket in server.sockets)
        kinds = {name: sum(each.startswith(f"{name}:") for each in given) for name in dict.fromkeys(each.partition(":")[0] for each in given)}  # fmt: skip
        delays.sort()
        if wants_json:
            late_ms = delays[len(delays) * 99 // 100] * 1e3
            figures = {"all_in_s": shown, "cpu_us": used / members * 1e6, "late_p99_ms": late_ms}
            print(json.dumps(figures))
            await server.close()
            await store.close()
            return
        print(f"{members:,} members at {pace:,} joins/s, {watchers:,} who only watch")
        print(
            f"  all had their answer after    {joined:8.2f} s (offered in {members / pace:.2f} s)"
        )
        print(f"  all were in the room after    {shown:8.2f} s")
        print(
            f"  CPU                           {used:8.2f} s, {used / members * 1e6:.0f} us a join"
        )
        print(f"  given at subscribing          {kinds}")
        print(f"  sent away from the list       {len(server.again):8,}, who came back")
        print(f"  frames prepared, deliveries   {server.prepared:,}, {sent:,}")
        print(
            f"  the loop was late, p50 / p99 / most  {delays[len(delays) // 2] * 1e3:.1f} / {delays[len(delays) * 99 // 100] * 1e3:.1f} / {delays[-1] * 1e3:.1f} ms"
        )
        print(
            f"  memory                        {(rss_bytes() - memory) / members / 1024:8.1f} KB a member"
        )
        cpu = time.process_time()
        status = await server.presence.status("default", [f"u{number}" for number in range(1_000)])
        print(
            f"  status of 1,000 users         {(time.process_time() - cpu) * 1e3:8.1f} ms, online: {sum(each.status == 'online' for each in status)}"
        )
        await server.close()
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--joins", type=int, default=10_000)
    parser.add_argument("--watch", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for a program")
    given = parser.parse_args()
    uvloop.run(measure(given.members, given.joins, given.watch, wants_json=given.json))


if __name__ == "__main__":
    main()
