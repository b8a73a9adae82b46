"""Topics in SQL: appends a second by engine, shape and number of callers, and what trimming does to who appends meanwhile.

    python -m benchmarks.topics_sql [--seconds 3]

PostgreSQL is a private one with fsync on; SQLite commits with synchronous=FULL in a folder of its own (`--folder`).
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.services import Postgres

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.storage import open_store
from clarion.telemetry import spawn
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, SqlStore

KEEP = Keep(size=1_000, age_s=3_600, keys=10_000)
DATA = {"text": "x" * 200}


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


async def latencies(node: SqlStore, until: Callable[[], bool]) -> str:
    """How long one caller waits for each append."""
    found: list[float] = []
    topic = Topic("default", "bench", "calm")
    while not until() or len(found) < 200:
        began = time.monotonic()
        await node.append(topic, [Change(event="said", data=DATA)], KEEP)
        found.append((time.monotonic() - began) * 1000)
    found.sort()
    return f"p50 {found[len(found) // 2]:.2f} ms, p99 {found[len(found) * 99 // 100]:.2f} ms"


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


async def measure(name: str, url: str, folder: Path, seconds: float) -> None:
    """One engine's table."""
    clock = SystemClock()
    database = await open_store(url=url, data_dir=folder, clock=clock)
    node = SqlStore(database, clock=clock, ids=Ids())
    for shape in ("stream", "map"):
        for callers, topics in ((1, 1), (100, 1), (100, 100)):
            found = await rate(node, shape, callers, topics, seconds)
            print(f"{name:10} {shape:6} {callers:3} callers {topics:3} topics {found:8,.0f}/s")
    await disturb(name, node)
    await node.close()
    await database.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        asyncio.run(measure("sqlite", "", Path(folder), args.seconds))
    postgres = Postgres(fsync=True)
    try:
        url = asyncio.run(postgres.new_database())
        asyncio.run(measure("postgresql", url, Path("unused"), args.seconds))
    finally:
        postgres.remove()


if __name__ == "__main__":
    main()
