"""What scenarios share: one node on one disk, the hosts around it, and the trouble that a seed makes for them."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from clarion.clock import LoopClock
from clarion.jobs import Worker
from clarion.settings import Limits
from clarion.storage import Store
from tests.simulation.node import PORT, Node, no_workers
from tests.simulation.wire import Wire
from tests.support.memory_store import Disk, MemoryStore
from tests.support.simulation import SimLoop
from tests.support.simulation_network import Network, pairs

NODE = "node"
BETWEEN_S = 2.0  # two troubles, at most
BLOCKED_S = 8.0  # one direction, at most
DOWN_S = 3.0  # a node, at most
DEAF_S = 4.0  # the bus loses some, at most
# Longer than the position check (25 s ± 20 %), the end of every block, and the clients' patience together.
QUIET_S = 60.0


class World:
    """The node, and what happens to it.

    Args:
        loop: Of this run.
        workers: Makes the job workers of each life of the node.
        limits: Of the node.
        is_lossy: Whether a crash may put the disk back to an earlier state, as a restored copy does.
    """

    def __init__(
        self,
        loop: SimLoop,
        *,
        workers: Callable[[Node], list[Worker]] = no_workers,
        limits: Limits | None = None,
        is_lossy: bool = False,
    ) -> None:
        # Fixed at creation
        self.loop, self.rng, self.network = loop, loop.rng, Network(loop)
        self._workers, self._limits = workers, limits or Limits()
        self._is_lossy = is_lossy
        self._serials = itertools.count(1)
        self.clock = LoopClock()
        # Changes while the world turns
        self.blamed: list[str] = []
        self.node: Node | None = None
        self._running: asyncio.Task[None] | None = None
        self.disk = Disk()
        self._earlier: Disk | None = None

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.node is not None:
            self.node.crash()
        for disk in (self.disk, self._earlier):
            if disk is not None:
                disk.close()

    def blame(self, text: str) -> None:
        """Note that a promise was broken."""
        self.blamed.append(f"{self.loop.time():.3f} s: {text}")

    def assert_blameless(self) -> None:
        """Fail with the first broken promise."""
        assert not self.blamed, self.blamed[0]

    # ── the node ──
    def start(self) -> None:
        """Boot the node."""
        self._running = self.network.start(NODE, self._main)

    def stop(self, *, is_silent: bool = False) -> None:
        """Crash it; the disk keeps what was committed."""
        self.network.crash(NODE, is_silent=is_silent)
        if self.node is not None:
            self.node.crash()
            self.node = None

    def opened(self) -> Store:
        """The disk, for looking at it after the end."""
        return MemoryStore(self.disk, self.clock, self.loop.ids())

    async def call(
        self, user: str, do: str, args: Any, *, kind: str = "user", key: str = ""
    ) -> Any:
        """Ask the node for something until it answers; the same call each time."""
        while True:
            try:
                answer = await self._ask({"user": user, "kind": kind}, do, args, key)
                error = answer.get("error")
                if error is None or error["code"] not in {
                    "closed",
                    "unavailable",
                    "outcome_unknown",
                }:
                    return answer
            except OSError:
                pass
            await asyncio.sleep(self.rng.random())

    async def _main(self) -> None:
        self.node = node = Node(self.network, self.disk, self._limits, workers=self._workers)
        await node.main()

    async def _ask(self, hello: dict[str, str], do: str, args: Any, key: str) -> Any:
        wire = await Wire.dial(self.network, NODE, PORT)
        try:
            wire.send(hello)
            id = next(self._serials)
            wire.send({"id": id, "do": do, "args": args, "key": key or None})
            while True:
                message = await wire.receive()
                if message.get("id") == id:
                    return message["answer"]
        finally:
            wire.close()

    # ── trouble ──
    async def trouble(
        self, hosts: Sequence[str], count: int, *, more: Callable[[], None] | None = None
    ) -> None:
        """Disturb the way to and from the hosts, and the node itself, so many times; then all is well again.

        Args:
            hosts: Those that talk to the node.
            count: How many troubles.
            more: One of the scenario's own.
        """
        ways = pairs(hosts, NODE)
        for _ in range(count):
            await asyncio.sleep(self.rng.uniform(0, BETWEEN_S))
            self._keep_copy()
            match self.rng.randrange(5 if more is None else 7):
                case 0:
                    self.network.cut(*self.rng.choice(ways))
                case 1:
                    self.network.block(*self.rng.choice(ways), self.rng.uniform(0, BLOCKED_S))
                case 2:
                    await self._deafen()
                case 3 | 4:
                    await self._crash()
                case _:
                    assert more is not None
                    more()

    async def _deafen(self) -> None:
        if self.node is not None:
            node, seconds = self.node, self.rng.uniform(0, DEAF_S)
            self.loop.note("bus loses messages for", round(seconds, 3))
            node.bus.loss = 0.5
            await asyncio.sleep(seconds)
            node.bus.loss = 0.0

    async def _crash(self) -> None:
        self.stop(is_silent=self.rng.random() < 0.3)
        if self._earlier is not None and self.rng.random() < 0.7:
            self.loop.note("disk put back")
            self.disk, self._earlier = self._earlier, self.disk
        await asyncio.sleep(self.rng.uniform(0, DOWN_S))
        self.start()

    def _keep_copy(self) -> None:
        """Copy the disk as it is, so that a crash can lose what came after."""
        if self._is_lossy and self.rng.random() < 0.5:
            if self._earlier is not None:
                self._earlier.close()
            self._earlier = copy_of(self.disk)


def copy_of(disk: Disk) -> Disk:
    """Another disk with the same data."""
    other = Disk()
    source, target = disk.connect(), other.connect()
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step()
    source.close()
    target.close()
    return other
