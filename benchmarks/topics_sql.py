"""Topics in SQL: appends a second by engine, shape and number of callers, and what trimming does to who appends meanwhile.

    python -m benchmarks.topics_sql [--seconds 3]

The databases are those of `databases.py`; `--folder` is where SQLite's files are made.
"""

import argparse
import asyncio
import time
from functools import partial
from pathlib import Path

from benchmarks.databases import DATA, KEEP, latencies, on_each
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.storage import Store
from clarion.telemetry import spawn
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, SqlStore


async def rate(node: SqlStore, shape: str, callers: int, topics: int, seconds: float) -> float:
    """Appends a second."""
    end, count = time.monotonic() + seconds, 0

    async def call(number: int) -> None:
        nonlocal count
        topic = Topic("default", "bench", f"{shape}-{number % topics}")
        while time.monotonic() < end:
            key = f"k{count % 500}" if shape == "map" else None
            change = Change(event="set" if key else "said", data=DATA, key=key)
            await node.append(topic, [change], KEEP)
            count += 1

    began = time.monotonic()
    await asyncio.gather(*(call(number) for number in range(callers)))
    return count / (time.monotonic() - began)


async def disturb(name: str, node: SqlStore) -> None:
    """Append while 200 logs of 1,000 entries are removed."""
    few = Keep(size=1, age_s=3_600, keys=0)
    changes = [Change(event="said", data=DATA) for _ in range(1_000)]
    for number in range(200):
        await node.append(Topic("default", "bench", f"long-{number}"), changes, few)
    end = time.monotonic() + 2
    alone = await latencies(node, lambda: time.monotonic() > end)
    began = time.monotonic()
    trimming = spawn(node.trim(), name="trim")
    beside = await latencies(node, trimming.done)
    spent = time.monotonic() - began
    print(f"{name:10} append alone: {alone}")
    print(f"{name:10} beside a trim of {await trimming:,} entries ({spent:.1f} s): {beside}")


async def measure(seconds: float, name: str, store: Store) -> None:
    """One engine's table."""
    node = SqlStore(store, clock=SystemClock(), ids=Ids())
    for shape in ("stream", "map"):
        for callers, topics in ((1, 1), (100, 1), (100, 100)):
            found = await rate(node, shape, callers, topics, seconds)
            print(f"{name:10} {shape:6} {callers:3} callers {topics:3} topics {found:8,.0f}/s")
    await disturb(name, node)
    await node.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    asyncio.run(on_each(partial(measure, args.seconds), args.folder))


if __name__ == "__main__":
    main()
