"""One life of a node: the real store core, bus, topic engine, commands, inbox, queue and worker, behind simulated connections.

In place of the real-time server stands a door that takes one JSON value a line: `{user}` first, then `{id, do, args, key?}`, each
answered by `{id, answer}`. What the engine delivers to a socket goes out as `{event, data}`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import LoopClock
from clarion.errors import ClarionError
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.notifications import CreateNotification, Inbox, Notifications, inbox_kind
from clarion.notifications.preferences.book import Book
from clarion.settings import Limits
from clarion.storage.slices import total
from clarion.telemetry import spawn
from clarion.topics.commands import COMMANDS, Commands
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kind, Kinds, Read, Snapshot, Topic
from clarion.topics.stores import MemoryStore as TopicStore
from clarion.topics.stream import Position
from clarion.topics.topics import Topics
from tests.simulation.wire import Wire
from tests.support.memory_store import Disk, MemoryStore
from tests.support.simulation import SimLoop
from tests.support.simulation_network import Network

PORT = 1
PING_S = 5.0  # shorter than what a client takes for silence
SLOW_S = 0.3  # the most that a read of a log may take


class LossyBus(LocalBus):
    """The bus inside one process, of which a part may get lost on the way, as between nodes; it says so or it does not."""

    def __init__(self, loop: SimLoop) -> None:
        super().__init__()
        self._rng = loop.rng
        self.loss = 0.0
        """Of what is published, while there is trouble."""

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand on, or lose."""
        if self._rng.random() >= self.loss:
            await super().publish(channel, data)
        elif self._rng.random() < 0.5:
            self.gap([channel])


class WatchedLog:
    """A kind's log, read slowly at times; counts how often somebody had to ask it for what they missed."""

    def __init__(self, kind: Kind, loop: SimLoop) -> None:
        self._log, self._rng = kind.log, loop.rng
        self.reads = 0

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest positions."""
        found = await self._log.top(topics)
        await self._pause()
        return found

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """Entries behind an offset."""
        self.reads += 1
        found = await self._log.read(topic, after, limit)
        await self._pause()
        return found

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The whole state."""
        found = await self._log.snapshot(topic)
        await self._pause()
        return found

    async def _pause(self) -> None:
        if self._rng.random() < 0.5:
            await asyncio.sleep(self._rng.uniform(0, SLOW_S))


class Host:
    """Takes connections, runs the commands that come over them, and pings, until the process dies."""

    ids: Ids
    commands: Commands

    def __init__(self) -> None:
        self._doors: dict[Door, None] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def call(self, door: "Door", request: dict[str, Any]) -> object:
        """What is no command of Clarion's."""
        raise AssertionError(request["do"])

    def ping(self) -> None:
        """Say to everybody that the host is there."""
        for door in tuple(self._doors):
            door.wire.send({"event": "ping"})

    def accept(self, wire: Wire) -> None:
        """Take a connection."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(spawn(self._serve(wire), name="serve"))

    async def _serve(self, wire: Wire) -> None:
        door: Door | None = None
        try:
            door = Door(self, wire, self.ids.token(), await wire.receive())
            self._doors[door] = None
            self.commands.connected(door)
            while True:
                door.take(await wire.receive(silence_s=3600))
        except OSError:
            wire.close()
        finally:
            if door is not None:
                del self._doors[door]
                self.commands.disconnected(door)


class Node(Host):
    """Everything that dies with the process. Make it, and run `main`, on its host."""

    def __init__(
        self,
        network: Network,
        disk: Disk,
        limits: Limits,
        *,
        workers: "Callable[[Node], list[Worker]]",
    ) -> None:
        super().__init__()
        loop, self._network = network.loop, network
        self.clock, self.ids = LoopClock(), loop.ids()
        self.store = MemoryStore(disk, self.clock, loop.ids())
        self.bus = LossyBus(loop)
        kind = inbox_kind(self.store)
        self.log = WatchedLog(kind, loop)
        kinds = Kinds()
        kinds.add(msgspec.structs.replace(kind, log=self.log))
        self.engine = TopicEngine(
            prepare, kinds, self.bus, limits, clock=self.clock, ids=loop.ids()
        )
        topic_store = TopicStore(clock=self.clock, ids=loop.ids())
        self.topics = Topics(self.engine, kinds, topic_store, limits, clock=self.clock)
        self.commands = Commands(
            self.engine, self.topics, lambda door: door.principal, limits, clock=self.clock
        )
        self.inbox = Inbox(self.store, self.engine, clock=self.clock, ids=loop.ids())
        book = Book(self.store, self.inbox, limits, clock=self.clock)
        self.notifications = Notifications(
            self.store, self.inbox, book, limits, clock=self.clock, ids=loop.ids()
        )
        self.queue = Queue(self.store, self.clock, loop.ids(), node="node")
        self._workers = workers(self)

    async def main(self) -> None:
        """Serve until the crash."""
        self.engine.start()
        self.inbox.alarm.start()
        for worker in self._workers:
            await worker.start()
        self._network.listen(PORT, lambda: Wire(self.accept))
        while True:
            await asyncio.sleep(PING_S)
            await total(self.inbox.trim())
            self.ping()

    def crash(self) -> None:
        """Lose what the disk does not have."""
        self.store.crash()

    async def call(self, door: "Door", request: dict[str, Any]) -> object:
        """Notifications, inboxes and jobs."""
        args = request["args"]
        match request["do"]:
            case "send":
                body = msgspec.convert(args, CreateNotification)
                return await self.notifications.send(door.principal, body, request["key"])
            case "mark":
                return await self.inbox.mark(door.principal, args["id"], args["action"])
            case "press":
                return await self.inbox.press(door.principal, args["id"], "yes")
            case "snooze":
                until_ms = self.clock.now_ms() + int(args["for_s"] * 1000)
                return await self.inbox.snooze(door.principal, args["id"], until_ms)
            case "mark_all" if args["action"] == "some":
                return await self.inbox.mark_all(door.principal, "read", "news")
            case "mark_all" if args["action"] == "put some away":
                return await self.inbox.mark_all(door.principal, "archive", "news")
            case "mark_all" if args["action"] == "upto":
                return await self.inbox.mark_all(door.principal, "read", upto=args["upto"])
            case "mark_all" if args["action"] == "some with a tag":
                return await self.inbox.mark_all(door.principal, "read", tag="urgent")
            case "mark_all" if args["action"] == "some seen":
                return await self.inbox.mark_all(door.principal, "seen", "news", tag="urgent")
            case "mark_all":
                return await self.inbox.mark_all(door.principal, args["action"])
            case "enqueue":
                await self.queue.enqueue(self.queue.job("work", args, id=request["key"]))
                return {"id": request["key"]}
            case unknown:
                raise AssertionError(unknown)


class Door:
    """A connection as the commands and the engine see a socket."""

    is_slow = False

    def __init__(self, node: Host, wire: Wire, id: str, hello: dict[str, Any]) -> None:
        self.node, self.wire, self.id = node, wire, id
        self.principal = Principal(id=hello["user"], kind=hello["kind"])
        self._tasks: list[asyncio.Task[None]] = []

    # ── as a socket ──
    @property
    def connected(self) -> bool:
        """Whether it is still there."""
        return self.wire.is_open

    def deliver(self, prepared: Any, /) -> None:
        """Send an event that was encoded once for all."""
        self.wire.send_line(prepared)

    def join(self, room: str, /) -> None:
        """There are no rooms here."""

    def leave(self, room: str, /) -> None:
        """There are no rooms here."""

    # ── requests ──
    def take(self, request: dict[str, Any]) -> None:
        """Begin to do what is asked; what is asked next does not wait for it."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(spawn(self._answer(request), name=f"answer {request['do']}"))

    async def _answer(self, request: dict[str, Any]) -> None:
        def ack(value: object) -> None:
            self.wire.send({"id": request["id"], "answer": value})

        if request["do"] in COMMANDS:
            answer = await self.node.commands.run(self, request["do"], request["args"])
            ack(answer.value)
            if answer.then is not None:
                answer.then()
            return
        try:
            ack(await self.node.call(self, request))
        except ClarionError as exc:
            ack({"error": exc.as_answer()})


def no_workers(node: Node) -> list[Worker]:
    """For scenarios without jobs."""
    return []


def prepare(event: str, data: Any) -> bytes:
    """An event, encoded once for all."""
    return msgspec.json.encode({"event": event, "data": data}) + b"\n"
