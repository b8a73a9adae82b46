"""What several workers do together, and what a worker pays for the owner: `python -m benchmarks.workers [--workers 1 2] [--rounds N]`.

First `clarion serve` with each number of workers in turn: events with an ack from 100 sockets as fast as they go. Nothing is pinned: workers, owner and
generator share the processors, so on two of them the generator's part is missing; the processor time of an ack says whether more workers cost more. Then the same where a handler computes for
100 µs, as an application's does: the generator's part is small there. Then with the generator's part left out: it has the second processor for itself, and a worker has half of the first,
since two workers share it, and one shares it with a program that does nothing.
Then the store and the topics in memory, in this process and over the owner's socket.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from benchmarks.databases import DATA, KEEP
from benchmarks.peers import OURS, PEERS
from benchmarks.running import Load, Others, Server, free_port, loading, on, set_up
from clarion.app import own, owner_socket
from clarion.bus.owner_link import OwnerLink
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime.transports import run
from clarion.settings import Settings
from clarion.storage import Store, open_store
from clarion.storage.remote import RemoteStore
from clarion.storage.server import READ
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import MemoryStore, SqlStore, TopicStore
from clarion.topics.stores.remote import RemoteTopics

SECONDS = 2
WORK_US = 100


class Workers(Server):
    """`clarion serve` with so many workers."""

    def __init__(
        self, port: int, workers: int, folder: str, work_us: int, place: list[str]
    ) -> None:
        settings = {
            "CLARION_DATA_DIR": folder,
            "CLARION_AUTH_OPEN_NAMESPACES": "/",
            "CLARION_LIMITS_NOTICE_S": "0",
            "WORK_US": str(work_us),
        }
        super().__init__(PEERS[OURS], port, settings, ())
        app = "benchmarks.servers.clarion_server:setup"
        self._command = [*place, sys.executable, "-m", "clarion", "serve", "--app", app]
        self._command += ["--port", str(port), "--workers", str(workers), "--log-level", "error"]
        self._is_alone = workers == 1

    def cpu_s(self) -> float:
        """Processor time of all that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        serving = [self.pid] if self._is_alone else children
        threads = [
            each for pid in serving for each in Path(f"/proc/{pid}/task").glob("*/schedstat")
        ]
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    async def end(self) -> None:
        """Stop it in order: what it has forked ends before it."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await self._process.wait()


@contextlib.asynccontextmanager
async def serving(workers: int, work_us: int, *, halves: bool) -> AsyncIterator[Workers]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = Workers(free_port(), workers, folder, work_us, on(0) if halves else [])
        try:
            await server.start()
            await asyncio.sleep(1)  # until all of them listen
            if halves and workers == 1:
                idle = [*on(0), sys.executable, "-c", "while True: pass"]
                stack.callback(subprocess.Popen(idle).kill)  # noqa: ASYNC220  a measurement
            yield server
        finally:
            await server.end()


async def acks(server: Workers, load: Load) -> dict[str, float]:
    await load.ask("connect", 100)
    used = server.cpu_s()
    answer = await load.ask("ack", SECONDS, 1)
    cpu = (server.cpu_s() - used) / answer["acks"] * 1e6
    busy = answer["load"] * 100
    return {"acks/s": answer["acks_per_s"], "µs of CPU an ack": cpu, "generator, %": busy}


async def together(
    numbers: list[int], rounds: int, work_us: int = 0, *, halves: bool = False
) -> None:
    each = ", half a processor for each worker" if halves else ""
    print(f"a handler that takes {work_us} µs of its own{each}")
    found: dict[int, dict[str, list[float]]] = {number: {} for number in numbers}
    others = Others()
    for turn in range(rounds):
        for number in numbers if turn % 2 == 0 else reversed(numbers):
            async with serving(number, work_us, halves=halves) as server, loading(server) as load:
                for name, value in (await acks(server, load)).items():
                    found[number].setdefault(name, []).append(value)
    for number, figures in found.items():
        for name, values in figures.items():
            told = ", ".join(f"{value:,.1f}" for value in values)
            print(f"{number} workers  {name:18} {statistics.median(values):10,.1f}   ({told})")
    print(f"others took {others.share():.0%} of the machine")


# ── what the owner costs ──
async def rate(do: Callable[[int], Awaitable[object]], callers: int) -> int:
    until, done = time.monotonic() + SECONDS, 0

    async def call(number: int) -> None:
        nonlocal done
        while time.monotonic() < until:
            await do(number)
            done += 1

    await asyncio.gather(*(call(number) for number in range(callers)))
    return round(done / SECONDS)


async def costs(name: str, store: Store, memory: TopicStore) -> None:
    durable = SqlStore(store, clock=SystemClock(), ids=Ids())

    def appending(to: TopicStore) -> Callable[[int], Awaitable[object]]:
        change = Change(event="said", data=DATA)
        return lambda number: to.append(Topic("default", "bench", f"{number % 20}"), [change], KEEP)

    for what, do in (
        ("reads", lambda _: store.fetch(READ)),
        ("durable appends", appending(durable)),
        ("appends in memory", appending(memory)),
    ):
        one, hundred = await rate(do, 1), await rate(do, 100)
        print(f"{name:12} {what:18} 1 caller {one:9,}/s   100 callers {hundred:9,}/s")


async def alone(folder: str) -> None:
    store = await open_store(data_dir=Path(folder), clock=SystemClock())
    await costs("one process", store, MemoryStore(clock=SystemClock(), ids=Ids()))
    await store.close()


async def as_worker(settings: Settings) -> None:
    link = OwnerLink(owner_socket(settings), "one0", ids=Ids())
    await link.start()
    await costs("a worker", RemoteStore(link, SystemClock()), RemoteTopics(link))
    await link.close()


def over_the_socket() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(alone(f"{folder}/alone"))
        settings = Settings(data_dir=f"{folder}/owned")
        stop_with, held = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(held)
            run(own(settings, stop_with))
            os._exit(0)
        run(as_worker(settings))
        os.close(held)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    set_up()
    for work_us in (0, WORK_US):
        asyncio.run(together(given.workers, given.rounds, work_us))
    asyncio.run(together([1, 2], given.rounds, halves=True))
    over_the_socket()
