"""A server's presence without a server: sockets that send commands, a clock that a test moves, ticks when a test wants them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from clarion.auth.principal import Principal
from clarion.bus import Bus, LocalBus
from clarion.client.following import patched
from clarion.clock import ManualClock
from clarion.features.presence import Presence
from clarion.features.presence.sizes import ROOM
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.settings import Presence as Settings
from clarion.telemetry import spawn
from clarion.topics.commands import Answer, Commands
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kinds, Topic
from clarion.topics.stores import MemoryStore, TopicStore
from clarion.topics.stream import Entry
from clarion.topics.topics import Topics
from tests.support.memory_store import Disk
from tests.support.memory_store import MemoryStore as Database
from tests.support.subscribers import state_after
from tests.topics.fakes import Socket, settle

GRANTS = dict.fromkeys(("presence:*", "signals:*"), ("subscribe", "publish"))
LIMITS = Limits(commands_per_s=1_000_000, topics=200)


def user(name: str, tenant: str = "default", **more: Any) -> Principal:
    return Principal(id=name, tenant=tenant, **{"topics": GRANTS, **more})


class Shared:
    """What nodes share."""

    def __init__(self) -> None:
        self.clock, self.bus = ManualClock(), LocalBus()
        self.store = MemoryStore(clock=self.clock, ids=Ids.seeded(4))
        self.disk = Disk()
        self.database = Database(self.disk, self.clock, Ids.seeded(5), latency_s=(0, 0))

    def store_of(self, node: str) -> TopicStore:
        """A node's store."""
        return self.store

    def bus_of(self, node: str) -> Bus:
        """A node's bus."""
        return self.bus

    def count_calls(self) -> list[tuple[str, int]]:
        """Procedures that run from now on, and over how many rows."""
        calls: list[tuple[str, int]] = []
        real = self.database.apply

        async def apply(procedure: Any, rows: Any) -> Any:
            calls.append((procedure.name, len(rows)))
            return await real(procedure, rows)

        self.database.apply = apply  # type: ignore[method-assign]
        return calls

    async def close(self) -> None:
        await self.database.close()
        self.disk.close()


class Node:
    """A node, and the sockets on it."""

    def __init__(
        self, shared: Shared, name: str, settings: Settings, folder: Path | None = None
    ) -> None:
        self.shared, self.clock, self.settings = shared, shared.clock, settings
        self.kinds = Kinds()
        ids = Ids.seeded(ord(name[0]))
        store, self.bus = shared.store_of(name), shared.bus_of(name)
        self.engine = TopicEngine(
            lambda event, data: (event, data),
            self.kinds, self.bus, LIMITS, clock=self.clock, ids=ids,
        )  # fmt: skip
        self.topics = Topics(self.engine, self.kinds, store, LIMITS, clock=self.clock)
        self.presence = Presence(
            shared.database, self.bus, self.topics, self.engine, settings,
            node=name, clock=self.clock, ids=ids, folder=folder,
        )  # fmt: skip
        self.commands = Commands(
            self.engine, self.topics, lambda socket: self.who[socket.id], LIMITS, clock=self.clock
        )
        self.who: dict[str, Principal] = {}

    def connect(self, who: Principal | str) -> "Client":
        return Client(self, user(who) if isinstance(who, str) else who)

    async def tick(self, seconds: float = 0.0) -> None:
        """Let time pass, and the node do then what it has to."""
        self.clock.advance(seconds)
        await self.presence.tick()
        await settle()

    async def beat(self, seconds: float = 0.0) -> None:
        """Let time pass, and the node say that it lives and look after the others."""
        self.clock.advance(seconds)
        await self.topics.expire()
        await self.presence.beat()
        await self.tick()

    async def members(self, room: str = "lobby") -> dict[str, Any]:
        return {each.user: each.entry for each in (await self.presence.members(room)).members}

    @property
    def in_rooms(self) -> int:
        """How many places in rooms this node's sockets have, and how many rooms it keeps."""
        places = sum(len(self.presence.places.of(socket)) for socket in self.who)
        rooms = sum(topic.kind == ROOM for topic in self.presence._agenda.rooms)
        return places + rooms

    async def close(self) -> None:
        await self.presence.close()
        await self.topics.close()
        await self.engine.close()


class Client:
    """Somebody's socket."""

    made = 0

    def __init__(self, node: Node, who: Principal) -> None:
        Client.made += 1
        self.node = node
        self.socket = Socket(f"s{Client.made}")
        node.who[self.socket.id] = who
        node.commands.connected(self.socket)
        node.presence.connected(self.socket, who)
        self.state: dict[str, Any] = {}

    async def ask(self, command: str, topic: str = "presence:lobby", **more: Any) -> Any:
        """The answer; a tick comes while it is awaited, as in a server."""
        asking = self.begin(command, topic, **more)
        await settle()
        while not asking.done():
            await self.node.tick()
            await asyncio.wait([asking], timeout=0.005)
        answer = await asking
        if answer.then is not None:
            answer.then()
        value = msgspec.json.decode(msgspec.json.encode(answer.value))
        assert value.get("error", {}).get("code") != "internal"
        return value

    def begin(
        self, command: str, topic: str = "presence:lobby", **more: Any
    ) -> asyncio.Task[Answer]:
        """Send a command, without waiting for anything."""
        run = self.node.commands.run(self.socket, command, {"topic": topic, **more})
        return spawn(run, name="tests: command")

    async def error(self, command: str, topic: str = "presence:lobby", **more: Any) -> Any:
        answer = await self.ask(command, topic, **more)
        assert list(answer) == ["error"], answer
        return answer["error"]

    async def enter(self, room: str = "lobby", **said: Any) -> Any:
        """Subscribe and be there."""
        answer = await self.ask("subscribe", f"presence:{room}", params={"enter": said})
        await self.node.tick()
        return self._took(answer)

    async def watch(self, room: str = "lobby", **more: Any) -> Any:
        return self._took(await self.ask("subscribe", f"presence:{room}", **more))

    @property
    def topic(self) -> Topic:
        """Of this user's contacts."""
        return Topic("default", "contacts", self.node.who[self.socket.id].id)

    async def follow(self) -> Any:
        """Subscribe to the contacts."""
        return self._took(await self.ask("subscribe", self.topic.wire))

    def _took(self, answer: Any) -> Any:
        assert "error" not in answer, answer
        if answer.get("snapshot"):
            self.state = {item["key"]: item["data"] for item in answer["snapshot"]["items"]}
        return answer

    async def say(self, event: str, room: str = "lobby", **said: Any) -> Any:
        return await self.ask("publish", f"presence:{room}", event=event, data=said)

    def heard(self) -> list[tuple[str, str | None]]:
        """Events and keys that came since the last call, and their effect on the state."""
        found = []
        for name, told in self.socket.got:
            if name != "publication":
                found.append((name, told["reason"]))
                continue
            found.append((told.event, told.key))
            data = told.data
            if told.patch is not None:
                data = patched(self.state[told.key], told.patch)
            entry = Entry(told.offset, told.mark, 0, told.event, data, key=told.key)
            state_after(self.state, [entry])
        self.socket.got.clear()
        return found

    def disconnect(self) -> None:
        self.socket.connected = False
        self.node.commands.disconnected(self.socket)
        self.node.presence.disconnected(self.socket)


@asynccontextmanager
async def nodes(*names: str, **settings: Any) -> AsyncIterator[list[Node]]:
    """Nodes over one store and one bus."""
    shared = Shared()
    made = [Node(shared, name, Settings(**settings)) for name in names or ("aaaa",)]
    for node in made:
        await node.presence.begin()
    try:
        yield made
    finally:
        for node in made:
            await node.close()
        await shared.close()
