"""Everybody comes back at once: `python -m benchmarks.storm [--clients 10000] [--fault cut kill] [--handshakes N] [--rounds N]`.

Two workers hold the clients, which four processes are. `cut`: all connections break in one moment; `kill`: a worker is killed, with those that it had.
They come back as our client does: within a second, after a refusal within two, four, at most twenty. Beside them 200 clients that stay ask
for an answer twice a second. Nothing is pinned: workers and clients share the processors, of which those that come back take what the server leaves.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from benchmarks.measures import token
from benchmarks.nodes import Fleet, ours, serving
from benchmarks.running import HERE, Others, set_up

PARTS, WATCHING = 4, 200
CALM_S = 10.0  # in which those who stay are measured before
SAMPLE_S = 0.25
NOTICE_S = 0.5  # until clients have noticed that a worker is gone


class Part:
    """A process of clients, in conversation."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, *words: object) -> dict[str, Any]:
        """Have something done; what came of it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        told: dict[str, Any] = json.loads(await process.stdout.readline())
        return told


@contextlib.asynccontextmanager
async def part(kind: str, port: int, count: int) -> AsyncIterator[Part]:
    """One of them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.storm_crowd", kind, str(port), str(count), token()),
        cwd=HERE.parent,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    try:
        yield Part(process)
    finally:
        process.kill()
        await process.wait()


class Peak:
    """The most memory that a server had meanwhile, as a part of what it had at first."""

    def __init__(self, server: Fleet) -> None:
        self._server, self._first = server, server.rss_bytes()
        self._most = self._first

    async def during(self, work: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Look now and then until it is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait([task], timeout=SAMPLE_S)
            with contextlib.suppress(OSError):  # a worker has just ended
                self._most = max(self._most, self._server.rss_bytes())
        return task.result()

    @property
    def ratio(self) -> float:
        """At least 1."""
        return self._most / self._first


async def measure(fault: str, clients: int, handshakes: int) -> dict[str, Any]:
    """One storm."""
    environment = {"CLARION_LIMITS_HANDSHAKES_PER_S": str(handshakes)} if handshakes else {}
    async with serving(ours(2), **environment) as server, contextlib.AsyncExitStack() as stack:
        sizes = [clients // PARTS + (n < clients % PARTS) for n in range(PARTS)]
        crowd = [await stack.enter_async_context(part("crowd", server.port, n)) for n in sizes]
        watch = await stack.enter_async_context(part("watch", server.port, WATCHING))
        await watch.ask("come")
        for each in crowd:
            await each.ask("come")
        await watch.ask("told")
        await watch.ask("turn")
        others = Others()
        await asyncio.sleep(CALM_S)
        share = others.share()
        calm = await watch.ask("turn")
        before, peak, began = await watch.ask("told"), Peak(server), time.monotonic()
        if fault == "cut":
            told = await peak.during(asyncio.gather(*[each.ask("cut") for each in crowd]))
        else:
            told = await peak.during(_killed(server, crowd))
        took_s, during = time.monotonic() - began, await watch.ask("told")
        busy = await watch.ask("turn")
    back = [s for each in told for s in each["took_s"]]
    refused = sum((Counter(each["refused"]) for each in told), Counter[str]())
    return {
        "cut off": len(back),
        "half of them back (s)": statistics.median(back),
        "all back (s)": max(back),
        "tries": sum(each["tries"] for each in told),
        "refused": dict(refused),
        "memory, at most": peak.ratio,
        "others' p50 before, during (ms)": [before["p50"], during["p50"]],
        "others' p99 before, during (ms)": [before["p99"], during["p99"]],
        "others' longest before, during (ms)": [before["max"], during["max"]],
        "others that stay": during["stay"],
        "longest turn of a worker before, during (ms of processor time)": [calm["ms"], busy["ms"]],
        "took (s)": took_s,
        "machine in use before": share,
    }


async def _killed(server: Fleet, crowd: list[Part]) -> list[dict[str, Any]]:
    for each in crowd:
        await each.ask("begin")
    # The owner of the file has been forked, too: it is the one with the fewest files.
    _, files = zip(*sorted(zip(server.files(), server.pids(), strict=True)), strict=True)
    os.kill(files[-1], 9)
    await asyncio.sleep(NOTICE_S)
    return await asyncio.gather(*[each.ask("settle", 1) for each in crowd])


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 2)
        case list():
            return [_rounded(each) for each in value]
        case _:
            return value


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--fault", nargs="+", choices=("cut", "kill"), default=["cut", "kill"])
    parser.add_argument(
        "--handshakes",
        type=int,
        default=0,
        help="limits.handshakes_per_s of each worker; 0: as it comes",
    )
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    set_up()
    for _ in range(given.rounds):
        for fault in given.fault:
            found = asyncio.run(measure(fault, given.clients, given.handshakes))
            print(f"{fault}, {given.clients:,} clients")
            for name, value in found.items():
                shown = _rounded(value)
                print(f"    {name:62} {shown}", flush=True)


if __name__ == "__main__":
    main()
