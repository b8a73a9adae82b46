"""The clients, the two places at which servers stand, and the account at the end."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.telemetry import Tasks
from tests.support.fault_proxy import FaultProxy
from tests.support.quick_client import Client, NotLetIn
from tests.support.redis_server import RedisServer
from tests.support.server import free_port

Kind = Literal["node", "clarion"]

ROOM = 10
BACKOFF_S = 0.05, 0.3  # until a client comes back
NODE_S = (
    0.25  # an ack may be this much later than the client that comes back while it is on its way
)
SETTLE_S = 3.0  # a server in its place before the next is replaced
HERE = Path(__file__).parent
MODULES = HERE.parents[1] / "clients" / "node_modules"


class Place:
    """Where a server stands, and another after it: clients know the address only."""

    def __init__(self, redis: RedisServer, folder: Path) -> None:
        self._redis, self._folder = redis, folder
        self._process: asyncio.subprocess.Process | None = None
        self.proxy = FaultProxy(("127.0.0.1", 1))
        self.kind: Kind = "node"
        if not (folder / "node_modules").exists():
            (folder / "node_modules").symlink_to(MODULES)
            (folder / "node.mjs").write_text((HERE / "node.mjs").read_text())

    async def put(self, kind: Kind) -> None:
        """Start a server, send whoever connects to it, then end the one before it in order."""
        port, former = free_port(), self._process
        command = ["node", str(self._folder / "node.mjs"), str(self._redis.folder / "s")]
        if kind == "clarion":
            command = [sys.executable, "-m", "tests.swap.clarion_server", self._redis.url]
        self._process = await asyncio.create_subprocess_exec(
            *command, str(port), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        assert line == b"ready\n", f"{kind} does not start: {line!r}"
        self.proxy.to, self.kind = ("127.0.0.1", port), kind
        if former is not None:
            former.send_signal(signal.SIGTERM)
            await asyncio.wait_for(former.wait(), 60)

    async def close(self) -> None:
        """End what stands there."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@dataclass
class Member:
    """A client, and what it has heard."""

    number: int
    place: Place
    client: Client
    heard: Counter[int] = field(default_factory=Counter)
    is_in: bool = False
    longest_s: float = 0.0
    """It was without a server."""
    lost: Counter[Kind] = field(default_factory=Counter)
    """How often it came back as somebody new, to which kind of server."""
    coming: list[tuple[float, float, Kind]] = field(default_factory=list)
    """From when to when servers were restoring it, and of which kind."""
    doubled: Counter[Kind] = field(default_factory=Counter)
    """What it heard once more, by the kind of server that had restored it last."""

    @property
    def room(self) -> str:
        return f"room-{self.number // ROOM}"


@dataclass
class Outcome:
    """What became of the events that were acknowledged, and of the clients."""

    acknowledged: int = 0
    refused: int = 0
    """Not acknowledged: the connection broke before."""
    missing: int = 0
    """Deliveries of acknowledged events that a member of the room never had, but for the next."""
    missed_by_node: int = 0
    """Those of events that were acknowledged while a server of Node restored the member: between reading what it missed and letting it into its rooms nothing reaches it there."""
    doubled: Counter[Kind] = field(default_factory=Counter)
    """By the kind of server that had restored the member last. Node's adapter also hands on what it reads later than the client that it has restored."""
    longest_s: float = 0.0
    not_recovered: Counter[Kind] = field(default_factory=Counter)
    """By the kind of server that did not know the client."""
    by: Counter[str] = field(default_factory=Counter)
    """Acknowledged, by the kind of server."""


class Crowd:
    """Clients in rooms, of whom one or the other says something.

    Args:
        places: Where they connect, by turns.
        count: How many.
        rate: Events a second.
        ids: Chance: who speaks, and when who comes back.
    """

    def __init__(self, places: list[Place], count: int, rate: float, ids: Ids) -> None:
        self._rate, self._ids, self._now = rate, ids, SystemClock().monotonic
        self._tasks = Tasks()
        self._said: dict[int, str] = {}
        # Number → room, and when.
        self._acknowledged: dict[int, tuple[str, float]] = {}
        self._by: Counter[str] = Counter()
        self.members: list[Member] = []
        for number in range(count):
            place = places[number % len(places)]
            client = Client(place.proxy.port)
            member = Member(number, place, client)
            client.on_event = self._hearing(member)
            self.members.append(member)

    @staticmethod
    def _hearing(member: Member) -> Callable[[Client, object], None]:
        def hear(_: Client, event: object) -> None:
            assert isinstance(event, list)
            if event[0] != "said":
                return
            member.heard[event[1]] += 1
            if member.heard[event[1]] > 1:
                member.doubled[member.coming[-1][2] if member.coming else "node"] += 1

        return hear

    async def come(self) -> None:
        """All of them connect, then they begin to speak."""
        for member in self.members:
            self._tasks.spawn(self._live(member), name="swap: client")
        await until(lambda: all(each.is_in for each in self.members))
        self._tasks.spawn(self._speak(), name="swap: events")

    async def _live(self, member: Member) -> None:
        client, away_since = member.client, 0.0
        await asyncio.sleep(member.number / 1_500)
        while True:
            began, kind = self._now(), member.place.kind
            try:
                await client.connect(room=member.room)
            except (OSError, NotLetIn, TimeoutError):
                client.reset()
            else:
                if away_since:
                    member.longest_s = max(member.longest_s, self._now() - away_since)
                    member.lost[kind] += not client.recovered
                    member.coming.append((began, self._now(), kind))
                member.is_in, away_since = True, 0.0
                await asyncio.shield(client.ended)
            member.is_in, away_since = False, away_since or self._now()
            await asyncio.sleep(self._ids.uniform(*BACKOFF_S))

    async def _speak(self) -> None:
        number, began = 0, self._now()
        while True:
            number += 1
            await asyncio.sleep(max(0.0, began + number / self._rate - self._now()))
            member = self.members[int(self._ids.uniform(0, len(self.members)))]
            if member.is_in:
                self._said[number] = member.room
                self._tasks.spawn(self._say(member, number), name="swap: event")

    async def _say(self, member: Member, number: int) -> None:
        with contextlib.suppress(OSError):
            [by] = await member.client.ask("say", number)
            self._acknowledged[number] = member.room, self._now()
            self._by[by] += 1

    async def settled(self) -> Outcome:
        """Stop to speak; what became of everything once nothing is on its way."""
        outcome = Outcome()
        speaking = [t for t in asyncio.all_tasks() if t.get_name() == "swap: events"]
        for task in speaking:
            task.cancel()
        await until(lambda: all(each.is_in for each in self.members))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while sum(self._missing()):  # noqa: ASYNC110  nothing tells of what does not come
                    await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # for what should not come
        outcome.acknowledged, outcome.by = len(self._acknowledged), self._by
        outcome.refused = len(self._said) - len(self._acknowledged)
        outcome.missing, outcome.missed_by_node = self._missing()
        outcome.doubled = sum((each.doubled for each in self.members), Counter())
        outcome.longest_s = max(each.longest_s for each in self.members)
        outcome.not_recovered = sum((each.lost for each in self.members), Counter())
        return outcome

    def _missing(self) -> tuple[int, int]:
        rooms: dict[str, list[Member]] = {}
        for member in self.members:
            rooms.setdefault(member.room, []).append(member)
        missing = by_node = 0
        for id, (room, at) in self._acknowledged.items():
            for member in rooms[room]:
                if id not in member.heard:
                    is_nodes = any(
                        began <= at <= ended + NODE_S
                        for began, ended, kind in member.coming
                        if kind == "node"
                    )
                    by_node += is_nodes
                    missing += not is_nodes
        return missing, by_node

    async def close(self) -> None:
        """Everybody leaves."""
        await self._tasks.close()
        for member in self.members:
            member.client.reset()


async def until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    """Return once it holds."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.02)


@asynccontextmanager
async def places(folder: Path) -> AsyncIterator[list[Place]]:
    """Two, on one Redis; nothing stands there yet."""
    redis = RedisServer()
    made = [Place(redis, folder) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        stack.callback(redis.remove)
        for each in made:
            stack.enter_context(each.proxy)
        try:
            yield made
        finally:
            for each in made:
                await each.close()


ORDER: tuple[tuple[int, Kind], ...] = ((0, "clarion"), (1, "clarion"), (0, "node"), (1, "node"))
"""Which place gets which server, one after the other."""


async def move(
    folder: Path,
    clients: int,
    rate: float,
    seed: int,
    tell: Callable[[str], None],
    settle_s: float = SETTLE_S,
    order: Sequence[tuple[int, Kind]] = ORDER,
) -> Outcome:
    """Move all over, and back."""
    async with places(folder) as made:
        for place in made:
            await place.put("node")
        crowd = Crowd(made, clients, rate, Ids.seeded(seed))
        try:
            await crowd.come()
            tell(
                f"{clients:,} clients on two servers of Node, {rate:g} events/s into rooms of {ROOM}"
            )
            for number, kind in order:
                await asyncio.sleep(settle_s)
                await made[number].put(kind)
                tell(f"the {'first' if number == 0 else 'second'} is one of {kind} now")
            await asyncio.sleep(settle_s)
            return await crowd.settled()
        finally:
            await crowd.close()
