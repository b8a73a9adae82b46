"""Servers that share a Redis: of Node in a process of its own, and of Clarion in this one, with clients in memory."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from clarion.bus.redis_bus import RedisBus
from clarion.bus.sharded_bus import ShardedBus
from clarion.ids import Ids
from clarion.realtime import Server
from clarion.realtime.backplane.pubsub import PubSub
from clarion.realtime.backplane.sharded import Sharded
from clarion.realtime.backplane.streams import Streams
from clarion.telemetry import spawn
from tests.support.memory_transport import MemoryClient, make_server
from tests.support.redis_server import RedisServer

MODULES = Path(__file__).parents[3] / "clients" / "node_modules"


class NodePeer:
    """A Socket.IO server of Node, driven by lines of JavaScript."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.heard: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()

    async def read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif "to" in said:
                self.heard.put_nowait((said["to"], said["event"]))

    async def run(self, code: str) -> Any:
        """What the code returns; an error of it is one here."""
        id = next(self._numbers)
        self._waiting[id] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": id, "code": code}).encode() + b"\n")
        said = await asyncio.wait_for(self._waiting[id], 20)
        assert "error" not in said, said
        return said["value"]

    async def hears(self, number: int) -> dict[str, list[Any]]:
        """The next so many events of its clients, by client."""
        return dict([await asyncio.wait_for(self.heard.get(), 20) for _ in range(number)])


@asynccontextmanager
async def node_peer(
    redis: RedisServer, folder: Path, format: str = "pubsub", *more: str
) -> AsyncIterator[NodePeer]:
    (folder / "node_modules").symlink_to(MODULES)
    shutil.copy(Path(__file__).with_name("peer.mjs"), folder / "peer.mjs")
    pipe = asyncio.subprocess.PIPE
    where = redis.url if redis.port else str(redis.folder / "s")
    process = await asyncio.create_subprocess_exec(
        "node", str(folder / "peer.mjs"), where, format, *more, stdin=pipe, stdout=pipe
    )
    peer = NodePeer(process)
    assert process.stdout is not None
    assert json.loads(await asyncio.wait_for(process.stdout.readline(), 20)) == {"ready": True}
    reading = spawn(peer.read(), name="node peer")
    try:
        yield peer
    finally:
        process.kill()
        await process.wait()
        await reading


class Here:
    """A server of Clarion, and a client of it whose events can be awaited."""

    def __init__(
        self,
        io: Server,
        backplane: PubSub | Sharded | Streams,
        bus: RedisBus | ShardedBus | Streams,
    ) -> None:
        self.io, self.backplane, self.bus = io, backplane, bus

    async def client(self, *rooms: str) -> "Heard":
        client = MemoryClient(self.io)
        id = await client.join()
        self.io.of("/").sockets[id].join(*rooms)
        return Heard(client, id)

    async def settle(self) -> None:
        """Return when this server hears what it has subscribed to."""
        await self.backplane.settle()


class Heard:
    """A client in memory."""

    def __init__(self, client: MemoryClient, id: str) -> None:
        self.client, self.id = client, id

    async def next(self) -> list[Any]:
        """The next event; `[..., id]` behind one that wants an answer is left out, and answered with the client's id."""
        async with asyncio.timeout(20):
            while not self.client.transport.sent:  # noqa: ASYNC110  it comes over a real Redis
                await asyncio.sleep(0.005)
        frame = self.client.transport.sent.pop(0)
        assert isinstance(frame, str)
        digits, bracket, rest = frame[2:].partition("[")
        if frame.startswith("45"):  # with attachments
            attachments = [self.client.transport.sent.pop(0) for _ in range(int(frame[2]))]
            return [*json.loads(bracket + rest), *attachments]
        assert frame.startswith("42"), frame
        if digits:
            self.client.say(f"43{digits}{json.dumps([self.id])}")
        return list(json.loads(bracket + rest))

    def has_nothing(self) -> bool:
        return not self.client.transport.sent


@asynccontextmanager
async def clarion_peer(
    redis: RedisServer, seed: int, format: str = "pubsub", **more: Any
) -> AsyncIterator[Here]:
    ids = Ids.seeded(seed)
    bus: RedisBus | ShardedBus | Streams
    backplane: PubSub | Sharded | Streams
    if format == "sharded":
        bus = sharded = ShardedBus(redis.url, ids=ids)
        backplane = Sharded(sharded, ids)
    elif format == "streams":
        bus = backplane = Streams(redis.url, ids)
    else:
        bus = plain = RedisBus(redis.url, ids=ids, prefix="")
        backplane = PubSub(plain, ids)
    await bus.start()
    io = make_server(seed=seed, backplane=backplane, **more)
    await backplane.settle()
    try:
        yield Here(io, backplane, bus)
    finally:
        await io.close()
        await bus.close()
