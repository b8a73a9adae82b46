"""A node with dashboards: its topics in memory, its definitions on SQLite, and sockets that watch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.client.following import patched
from clarion.clock import Clock, ManualClock
from clarion.features.dashboard import ALERT_JOB, Dashboards
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.outbound import Outbound
from clarion.settings import Dashboards as DashboardSettings
from clarion.settings import Limits
from clarion.storage import Store, open_store
from clarion.topics import Kinds, TopicEngine, Topics
from clarion.topics.commands import Commands
from clarion.topics.stores import MemoryStore, TopicStore
from clarion.topics.stream import Entry
from tests.support.subscribers import state_after
from tests.support.triggers import NotedTriggers
from tests.topics.fakes import Socket, settle
from tests.topics.house import Clients

LIMITS = Limits(
    topics=20, publication_bytes=2_000, commands_per_s=10_000, dashboards=3, dashboard_rows=5
)
SETTINGS = DashboardSettings(conflate_s=0.05)
ADA = Principal(id="ada", topics={"dashboard:*": ("subscribe", "publish")})


class Node(Clients):
    """One process: what it shares with others is given."""

    def __init__(
        self,
        store: Store,
        kept: TopicStore,
        bus: LocalBus,
        clock: Clock,
        settings: DashboardSettings = SETTINGS,
        *,
        node: str = "one",
        outbound: Outbound | None = None,
    ) -> None:
        self.clock = clock
        self.kept = kept
        kinds = Kinds()
        self.engine = TopicEngine(
            lambda event, data: (event, data), kinds, bus, LIMITS, clock=clock, ids=Ids.seeded(3)
        )
        self.topics = Topics(self.engine, kinds, kept, LIMITS, clock=clock)
        self.triggers = NotedTriggers()
        queue = Queue(store, clock, Ids.seeded(6), node=node)
        self.worker = Worker(queue, clock, Ids.seeded(7), poll_s=0.05)
        self.dashboards = Dashboards(
            store,
            self.topics,
            self.engine,
            settings,
            LIMITS,
            triggers=self.triggers,
            queue=queue,
            outbound=outbound or Outbound(clock),
            node=node,
            clock=clock,
            ids=Ids.seeded(5),
        )
        self.worker.handle(ALERT_JOB, self.dashboards.alert)
        self.dashboards.start()
        self.commands = Commands(self.engine, self.topics, lambda _: ADA, LIMITS, clock=clock)

    async def watch(self, topic: str, id: str = "s") -> "Viewer":
        socket = self.socket(id)
        return Viewer(socket, await self.ask(socket, "subscribe", topic))

    async def close(self) -> None:
        await self.worker.close()
        await self.dashboards.close()
        await self.topics.close()
        await self.engine.close()


class Viewer:
    """What a page makes of what it is sent, by the rules of the wire."""

    def __init__(self, socket: Socket, answer: Any) -> None:
        assert "error" not in answer, answer
        self.socket = socket
        self.offset: int = answer["offset"]
        self.items: dict[str, Any] = {
            item["key"]: item["data"] for item in answer["snapshot"]["items"]
        }
        self.events: list[tuple[str, str]] = []

    async def look(self) -> dict[str, Any]:
        """What it shows once everything has come."""
        await settle()
        got, self.socket.got = self.socket.got, []
        for event, data in got:
            if event != "publication":
                self.events.append((event, data))
                continue
            assert (data.offset - 1 if data.after is None else data.after) == self.offset
            self.offset = data.offset
            if not data.event:
                continue
            self.events.append((data.event, data.key))
            value = data.data
            if data.patch is not None:
                value = patched(self.items[data.key], data.patch)
            entry = Entry(data.offset, data.mark, 0, data.event, value, key=data.key)
            self.items = state_after(self.items, [entry])
        return self.items


@asynccontextmanager
async def nodes(
    folder: Path,
    count: int = 1,
    settings: DashboardSettings = SETTINGS,
    clock: Clock | None = None,
    kept: TopicStore | None = None,
    **more: Any,
) -> AsyncIterator[list[Node]]:
    """Nodes of one server: they share the database, the topics' store and the bus."""
    clock = clock or ManualClock()
    store = await open_store(data_dir=folder / "data", clock=clock)
    kept, bus = kept or MemoryStore(clock=clock, ids=Ids.seeded(4)), LocalBus()
    made = [Node(store, kept, bus, clock, settings, node=f"n{n}", **more) for n in range(count)]
    try:
        yield made
    finally:
        for node in made:
            await node.close()
        await store.close()
