"""Several processes as one server: `python -m benchmarks.nodes [--rounds N] [--only beside | crowd]`.

`beside`: two workers of Clarion and two of Node (official Redis adapter), each over the same Redis. `crowd`: 50,000
connections to the workers of this host, without Redis, from three generators; then one event to all of them.
Nothing is pinned: servers, Redis and generators share the processors, so the figures of two servers compare, and the processor time of
all their processes says what a figure costs. Memory is their proportional share (PSS), which counts a page that forks share once.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from benchmarks.measures import MANY, PACE, SECRET, token, whole_product
from benchmarks.peers import NODE, OURS, PEERS, Peer, prepare
from benchmarks.running import Failed, Load, Others, Server, free_port, loading, set_up

WORKERS = 2
CROWD, PARTS, CROWD_WORKERS = 50_000, 2 * 5, 3
APP = "benchmarks.servers.clarion_server:setup"

Figures = dict[str, float]


class Fleet(Server):
    """A server of several processes, not pinned."""

    def __init__(self, peer: Peer, port: int, environment: dict[str, str]) -> None:
        super().__init__(peer, port, environment, ())
        self._command = peer.command(port)

    def pids(self) -> list[int]:
        """Of all its processes."""
        found, left = [], [self.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                tasks = Path(f"/proc/{pid}/task").iterdir()
                left += [int(each) for t in tasks for each in (t / "children").read_text().split()]
        return found

    def cpu_s(self) -> float:
        """Processor time of all of them."""
        threads = [t for pid in self.pids() for t in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    def rss_bytes(self) -> int:
        """Memory of all of them, a shared page once."""
        lines = [
            line
            for pid in self.pids()
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        ]
        return sum(int(line.split()[1]) for line in lines) * 1024

    def files(self) -> list[int]:
        """How many each of them has open."""
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids()]

    async def end(self) -> None:
        """Stop all of them at once."""
        for pid in (
            reversed(self.pids()) if self._process and self._process.returncode is None else ()
        ):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        await super().end()


def ours(workers: int) -> Peer:
    """`clarion serve` with so many workers."""
    command = PEERS[OURS].command(0)[:1]
    serve = ["-m", "clarion", "serve", "--app", APP, "--workers", str(workers), "--port"]
    return Peer(OURS, "", lambda: None, lambda port: [*command, *serve, str(port)])


def node(workers: int) -> Peer:
    """Node with so many."""
    script = str(NODE / "cluster.mjs")
    return Peer("node", "", lambda: None, lambda port: ["node", script, str(port), str(workers)])


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """One of its own, which keeps nothing."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def serving(peer: Peer, **environment: str) -> AsyncIterator[Fleet]:
    """A fleet that is ready."""
    with tempfile.TemporaryDirectory() as folder:
        given = {**whole_product(folder), "CLARION_LOG_LEVEL": "error", **environment}
        server = Fleet(peer, free_port(), given)
        try:
            await server.start()
            await asyncio.sleep(1.5)  # until all of them listen
            yield server
        finally:
            await server.end()


# ── beside Node ──
async def ack(peer: Peer, url: str) -> Figures:
    """Events with an ack, as fast as they go."""
    async with serving(peer, **_open(url)) as server, loading(server, pinned=False) as load:
        await load.ask("connect", 100)
        used = server.cpu_s()
        answer = await load.ask("ack", 2, 1)
        cpu = (server.cpu_s() - used) / answer["acks"] * 1e6
        return {"acks/s": answer["acks_per_s"], "ack: µs of CPU": cpu}


async def storm(peer: Peer, url: str) -> Figures:
    """Two thousand connect with a JWT."""
    environment = {"REDIS_URL": url, "CLARION_REDIS_URL": url, "JWT_SECRET": SECRET}
    async with (
        serving(peer, **environment) as server,
        loading(server, pinned=False, TOKEN=token()) as load,
    ):
        used = server.cpu_s()
        rate = (await load.ask("connect", 2_000))["connects_per_s"]
        return {"connects/s": rate, "connect: µs of CPU": (server.cpu_s() - used) / 2_000 * 1e6}


async def many(peer: Peer, url: str) -> Figures:
    """Ten thousand sockets on both: memory, an event to all, rooms of ten whose members are on both."""
    found: Figures = {}
    async with serving(peer, **_open(url)) as server:
        async with loading(server, pinned=False) as warm:
            await warm.ask("connect", 10)
        await asyncio.sleep(0.5)
        before = server.rss_bytes()
        async with loading(server, pinned=False) as load:
            await load.ask("connect", MANY, *PACE)
            await load.ask("idle", 1)
            found["memory of a socket, KB"] = (server.rss_bytes() - before) / MANY / 1000
            used = server.cpu_s()
            answer = await load.ask("broadcast", 7, 64)
            cpu = (server.cpu_s() - used) / MANY / (answer["rounds"] + 1) * 1e6
            found[f"64 B to {MANY:,}, ms"] = answer["last"]["p50_ms"]
            found["delivery: µs of CPU"] = cpu
            await load.ask("join")
            used = server.cpu_s()
            answer = await load.ask("rooms", 4, 1_000)
            for q in ("p50", "p99"):
                found[f"1,000 events/s into rooms of 10: {q}, ms"] = answer[f"{q}_ms"]
            found["such an event: µs of CPU"] = (server.cpu_s() - used) / 4_000 * 1e6
    return found


def _open(url: str) -> dict[str, str]:
    return {"REDIS_URL": url, "CLARION_REDIS_URL": url, "CLARION_AUTH_OPEN_NAMESPACES": "/"}


async def beside(rounds: int) -> None:
    """Print the medians of both, and ours over theirs."""
    found: dict[str, dict[str, list[float]]] = {}
    others = Others()
    peers = [ours(WORKERS), node(WORKERS)]
    for turn in range(rounds):
        for scenario in (ack, storm, many):
            for peer in peers if turn % 2 == 0 else reversed(peers):
                print(f"  {scenario.__name__}, {peer.name}", file=sys.stderr, flush=True)
                with redis() as url:
                    for name, value in (await scenario(peer, url)).items():
                        found.setdefault(name, {}).setdefault(peer.name, []).append(value)
    print(f"two workers each, over Redis; others took {others.share():.0%} of the machine")
    for name, by_peer in found.items():
        mine, theirs = (statistics.median(by_peer[peer.name]) for peer in peers)
        print(f"{name:45} clarion {mine:10,.1f}   node {theirs:10,.1f}   {mine / theirs:5.2f} x")


# ── fifty thousand ──
async def crowd() -> None:
    """Hold as many as one host's limits on files allow with three workers, and tell all of them something."""
    began = time.monotonic()
    async with serving(ours(CROWD_WORKERS), CLARION_AUTH_OPEN_NAMESPACES="/") as server:
        empty = server.rss_bytes()
        async with contextlib.AsyncExitStack() as stack:
            loads = [
                await stack.enter_async_context(loading(server, pinned=False, FROM=str(n * 4)))
                for n in range(CROWD_WORKERS)
            ]
            sizes = [CROWD // len(loads) + (n < CROWD % len(loads)) for n in range(len(loads))]
            for load, size in zip(loads, sizes, strict=True):
                await load.ask("connect", size, *PACE)
            took = time.monotonic() - began
            held = server.files()
            memory = (server.rss_bytes() - empty) / CROWD
            print(
                f"{CROWD:,} connections in {took:.0f} s on {CROWD_WORKERS} workers; files of each process: {held}"
            )
            print(
                f"memory of a socket {memory / 1000:.2f} KB, of all processes {server.rss_bytes() / 1e6:,.0f} MB"
            )
            for size in (64, 1_024):
                await _tell_all(server, loads, size)


async def _tell_all(server: Fleet, loads: list[Load], size: int) -> None:
    used = server.cpu_s()
    first, *rest = loads
    # The first of two warms up; each generator times its own.
    hearing = [asyncio.ensure_future(each.ask("hear", 2)) for each in rest]
    answers = [await first.ask("broadcast", 1, size), *[await each for each in hearing]]
    last = max(each["max_ms"] for each in answers)
    cpu = (server.cpu_s() - used) / CROWD / 2 * 1e6
    print(
        f"{size} B to {CROWD:,}: the last has it after {last:,.0f} ms; {cpu:.1f} µs of CPU a delivery"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("beside", "crowd"))
    given = parser.parse_args()
    set_up()
    if missing := prepare(["node"]):
        raise Failed(str(missing))
    if given.only != "crowd":
        asyncio.run(beside(given.rounds))
    if given.only != "beside":
        asyncio.run(crowd())


if __name__ == "__main__":
    main()
