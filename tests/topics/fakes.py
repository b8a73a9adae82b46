"""Neighbours of the engine that a test can steer: a log that loses what it is told to lose, sockets that note what they get."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from clarion.auth.principal import Principal
from clarion.auth.rights import Self
from clarion.bus import LocalBus
from clarion.clock import ManualClock
from clarion.errors import Unavailable
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Granted, Kind, Kinds, Read, Snapshot, Topic
from clarion.topics.stores import MemoryStore
from clarion.topics.stream import MARK_MODULUS, Entry, Position
from clarion.topics.topics import Topics
from tests.support.publications import Publication


class Socket:
    """A connected client's view: events in the order of their arrival."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.got: list[tuple[str, Any]] = []
        self.rooms: dict[str, None] = {}
        self.arrived = asyncio.Event()
        self.connected = True
        self.is_slow = False

    def deliver(self, prepared: Any, /) -> None:
        self.arrived.set()
        event, data = prepared
        self.got.append((event, Publication(**data) if event == "publication" else data))

    def join(self, room: str, /) -> None:
        self.rooms[room] = None

    def leave(self, room: str, /) -> None:
        self.rooms.pop(room, None)

    @property
    def offsets(self) -> list[int]:
        return [data.offset for event, data in self.got if event == "publication"]

    @property
    def ended(self) -> list[dict[str, Any]]:
        return [data for event, data in self.got if event == "unsubscribed"]


class MemoryLog:
    """Logs of sums: an entry adds a number, the state is the sum of all. `gate` holds reads back until it is opened."""

    def __init__(self) -> None:
        self._ids = Ids.seeded(7)
        self.epoch = "a"
        self.entries: dict[Topic, list[Entry]] = {}
        self.trimmed: dict[Topic, int] = {}
        self.gate: asyncio.Event | None = None
        self.reading = asyncio.Event()
        self.is_down = False
        self.reads = 0
        self.asked: list[list[Topic]] = []

    def append(self, topic: Topic, *numbers: int) -> list[Entry]:
        log = self.entries.setdefault(topic, [])
        before = len(log)
        for number in numbers:
            prior = log[-1].mark if log else 0
            mark = (prior + self._ids.mark()) % MARK_MODULUS
            log.append(Entry(len(log) + 1, mark, prior, "add", number))
        return log[before:]

    def lose_tail(self, topic: Topic, count: int) -> None:
        del self.entries[topic][-count:]

    def position(self, topic: Topic) -> Position:
        log = self.entries.get(topic, [])
        return Position(self.epoch, len(log), log[-1].mark if log else 0)

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        self.asked.append(list(topics))
        tops = [self.position(topic) for topic in topics]
        await self._pass()
        return tops

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        self.reads += 1
        first = max(after, self.trimmed.get(topic, 0))
        found = Read(self.position(topic), self.entries.get(topic, [])[first : first + limit])
        await self._pass()
        return found

    async def snapshot(self, topic: Topic) -> Snapshot:
        found = Snapshot(
            self.position(topic), sum(entry.data for entry in self.entries.get(topic, []))
        )
        await self._pass()
        return found

    async def _pass(self) -> None:
        self.reading.set()
        if self.is_down:
            raise Unavailable("the log is down")
        if self.gate is not None:
            await self.gate.wait()


ADA = Principal(id="ada", topics={"sum:open-*": ("subscribe",)})
INBOX = Topic("default", "own", "ada")
OPEN = Topic("default", "sum", "open-1")


class Bench:
    """An engine between a real bus and a memory log, with kinds `own` (of the user) and `sum` (granted by token)."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.log, self.bus, self.clock = MemoryLog(), LocalBus(), ManualClock()
        self.limits = limits or Limits(topics=3, recovery_publications=10)
        self.kinds = kinds = Kinds()
        for name, right in (("own", Self()), ("sum", Granted())):
            kinds.add(
                Kind(
                    name=name,
                    rights={"subscribe": right},
                    log=self.log,
                    durability="durable",
                    log_size=100,
                    log_age_s=60,
                )
            )
        self.prepared = 0
        self.engine = TopicEngine(
            self._prepare, kinds, self.bus, self.limits, clock=self.clock, ids=Ids.seeded(3)
        )

        self.store = MemoryStore(clock=self.clock, ids=Ids.seeded(4))
        self.topics = Topics(self.engine, kinds, self.store, self.limits, clock=self.clock)

    def _prepare(self, event: str, data: Any) -> Any:
        self.prepared += 1
        return event, data

    async def publish(self, topic: Topic, *numbers: int, announce: bool = True) -> list[Entry]:
        entries = self.log.append(topic, *numbers)
        if announce:
            await self.engine.announce(topic, self.log.epoch, entries)
        return entries

    async def subscribe(
        self, socket: Socket, topic: Topic = OPEN, since: Position | None = None
    ) -> Any:
        """As the commands do it: live once the answer is on its way."""
        answer, subscription = await self.engine.subscribe(
            socket, ADA, SubscribeArgs(topic.wire, since)
        )
        self.engine.go(subscription)
        return answer


async def settle(done: Callable[[], bool] = lambda: True) -> None:
    """Let the loop run until `done`, and whatever is ready then."""
    for _ in range(1000):
        await asyncio.sleep(0)
        if done():
            break
    for _ in range(5):
        await asyncio.sleep(0)
