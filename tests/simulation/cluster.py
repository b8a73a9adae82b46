"""Several nodes over one topic store and one bus, as over Redis: what one appends, all announce to their own sockets.

The store lives elsewhere: a node asks it over a line that takes time and may be down, and it may come back with an earlier state,
as a primary that lost its last second, or a replica that lagged. Of the bus each node hears late, and perhaps not at all.
"""

import asyncio
import copy
from contextvars import copy_context
from typing import Any

from clarion.bus import LocalBus
from clarion.clock import LoopClock
from clarion.errors import OutcomeUnknown, Unavailable
from clarion.settings import Limits
from clarion.topics.commands import Commands
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kinds, SignedIn
from clarion.topics.stores import MemoryStore
from clarion.topics.topics import Topics
from tests.simulation.node import PING_S, PORT, Host, prepare
from tests.simulation.wire import Wire
from tests.support.simulation import SimLoop
from tests.support.simulation_network import Network

STORE_S = 0.003  # the most that one way to the store takes
BUS_S = 0.015  # likewise to another node: less than what a node waits for what was overtaken
OPEN = {"subscribe": SignedIn(), "publish": SignedIn()}


class Logs:
    """The one topic store."""

    def __init__(self, loop: SimLoop) -> None:
        self.store = MemoryStore(clock=LoopClock(), ids=loop.ids())
        self.is_down = False
        self.reads = 0
        """How often somebody had to ask for what they missed."""
        self._earlier: Any = None

    def keep_copy(self) -> None:
        """Remember everything as it is now."""
        self._earlier = copy.deepcopy((self.store._held, self.store._due))

    def put_back(self) -> bool:
        """Lose what came after the copy; returns whether there was one."""
        if self._earlier is None:
            return False
        self.store._held, self.store._due = self._earlier
        self._earlier = None
        return True


def _over_the_line(name: str) -> Any:
    async def call(self: "RemoteStore", *args: Any) -> Any:
        return await self.ask(name, *args)

    return call


class RemoteStore:
    """The store as one node reaches it: `TopicStore`, whose answers take time."""

    def __init__(self, logs: Logs, loop: SimLoop) -> None:
        self._logs, self._rng = logs, loop.rng

    async def ask(self, name: str, *args: Any) -> Any:
        """One operation, at one moment somewhere in the middle."""
        await asyncio.sleep(self._rng.uniform(0, STORE_S))
        # Down is the line, or one of its two ways.
        if self._logs.is_down and self._rng.random() < 0.5:
            raise Unavailable("the store is down")
        if name == "read":
            self._logs.reads += 1
        answer = await getattr(self._logs.store, name)(*args)
        await asyncio.sleep(self._rng.uniform(0, STORE_S))
        if self._logs.is_down:
            raise OutcomeUnknown("the store went down")
        return answer

    top, read, snapshot = map(_over_the_line, ("top", "read", "snapshot"))
    items, page, get = map(_over_the_line, ("items", "page", "get"))
    count, since = map(_over_the_line, ("count", "since"))
    append, renew, expire = map(_over_the_line, ("append", "renew", "expire"))
    trim, clear, close = map(_over_the_line, ("trim", "clear", "close"))


class Buses:
    """What connects the nodes' buses."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.all: dict[NodeBus, None] = {}


class NodeBus(LocalBus):
    """The bus as one node has it."""

    def __init__(self, buses: Buses) -> None:
        super().__init__()
        self._buses = buses
        # What is on its way here arrives on this host, whoever has sent it.
        self._context = copy_context()
        self._free: dict[NodeBus, float] = {}
        self.loss = 0.0
        """Of what comes, while there is trouble."""
        buses.all[self] = None

    async def publish(self, channel: str, data: bytes) -> None:
        """Send to every node; those of one publisher stay in order."""
        loop = self._buses.loop
        for bus in self._buses.all:
            when = max(self._free.get(bus, 0.0), loop.time() + loop.rng.uniform(0, BUS_S))
            self._free[bus] = when
            loop.call_at(when, bus.arrive, channel, data, context=bus._context)

    def arrive(self, channel: str, data: bytes) -> None:
        """Hand on, or lose, and say so or not."""
        rng = self._buses.loop.rng
        if rng.random() >= self.loss:
            self._receivers.deliver(channel, data)
        elif rng.random() < 0.5:
            self.gap([channel])


class TopicNode(Host):
    """One life of a node that serves topics: the kinds `board`, a map, and `news`, a stream."""

    def __init__(
        self, network: Network, logs: Logs, buses: Buses, limits: Limits, log_size: int
    ) -> None:
        super().__init__()
        loop, self._network = network.loop, network
        clock, self.ids = LoopClock(), loop.ids()
        kinds, self.bus = Kinds(), NodeBus(buses)
        self.engine = TopicEngine(prepare, kinds, self.bus, limits, clock=clock, ids=loop.ids())
        self.topics = Topics(self.engine, kinds, RemoteStore(logs, loop), limits, clock=clock)
        self.topics.add("board", "map", rights=OPEN, log_size=log_size)
        self.topics.add("news", "stream", rights=OPEN, log_size=log_size)
        self.commands = Commands(
            self.engine, self.topics, lambda door: door.principal, limits, clock=clock
        )

    async def main(self) -> None:
        """Serve until the crash."""
        self.engine.start()
        self.topics.start()
        self._network.listen(PORT, lambda: Wire(self.accept))
        while True:
            await asyncio.sleep(PING_S)
            self.ping()

    def be_slow(self, *, is_slow: bool) -> None:
        """Let every socket have too much waiting, or none any more."""
        for door in self._doors:
            door.is_slow = is_slow


class Cluster:
    """The nodes by name, and what happens to them."""

    def __init__(self, loop: SimLoop, limits: Limits, log_size: int) -> None:
        # Fixed at creation
        self.loop, self.network = loop, Network(loop)
        self.logs, self._buses = Logs(loop), Buses(loop)
        self._limits, self._log_size = limits, log_size
        # Changes while the world turns
        self.nodes: dict[str, TopicNode] = {}
        self.blamed: list[str] = []
        self._running: dict[str, asyncio.Task[None]] = {}

    def blame(self, text: str) -> None:
        """Note that a promise was broken."""
        self.blamed.append(f"{self.loop.time():.3f} s: {text}")

    def start(self, name: str) -> None:
        """Boot a node."""

        async def main() -> None:
            node = TopicNode(self.network, self.logs, self._buses, self._limits, self._log_size)
            self.nodes[name] = node
            await node.main()

        self._running[name] = self.network.start(name, main)

    def stop(self, name: str, *, is_silent: bool = False) -> None:
        """Crash a node: what it was about to announce, nobody hears."""
        self.network.crash(name, is_silent=is_silent)
        node = self.nodes.pop(name, None)
        if node is not None:
            self._buses.all.pop(node.bus, None)
