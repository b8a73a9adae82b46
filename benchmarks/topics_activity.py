"""Activity: adds a second, what a stream's followers cost who adds to it, and how long a timeline takes to read.

    python -m benchmarks.topics_activity [--seconds 3] [--followers 100000]

PostgreSQL is a private one with fsync on; SQLite commits with synchronous=FULL in a folder of its own.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.support.services import Postgres

from clarion.bus import LocalBus
from clarion.clock import SystemClock, as_datetime
from clarion.features.activity import NewActivity, Streams, Timelines
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import Procedure, Sql, Store, open_store
from clarion.storage.activity import Whose
from clarion.topics import Kinds, TopicEngine

LIKE = NewActivity(actor="ann", verb="like", object="photo:17", data={"text": "x" * 200})
FOLLOW = Procedure(
    "bench_follow",
    Whose,
    (
        Sql("""INSERT INTO activity_follow (tenant, usr, stream, since_ms)
               SELECT r.tenant, 'user-' || CAST(r.n AS TEXT), r.stream, 0 FROM {rows r}"""),
    ),
)


async def rate(streams: Streams, callers: int, names: int, seconds: float) -> float:
    """Adds a second."""
    end, count = time.monotonic() + seconds, 0

    async def call(number: int) -> None:
        nonlocal count
        while time.monotonic() < end:
            await streams.add("default", f"rate-{number % names}", LIKE)
            count += 1

    began = time.monotonic()
    await asyncio.gather(*(call(number) for number in range(callers)))
    return count / (time.monotonic() - began)


async def adding(streams: Streams, stream: str) -> str:
    """How long one caller waits for an add."""
    found = []
    for _ in range(500):
        began = time.monotonic()
        await streams.add("default", stream, LIKE)
        found.append((time.monotonic() - began) * 1000)
    return _percentiles(found)


async def reading(timelines: Timelines, user: str) -> str:
    """How long the first ten pages of a timeline take, each."""
    found, items = [], 0
    for _ in range(10):
        cursor = None
        for _ in range(10):
            began = time.monotonic()
            page = await timelines.page("default", user, cursor)
            found.append((time.monotonic() - began) * 1000)
            cursor, items = page.next, items + len(page.items)
    assert items == 5_000
    return _percentiles(found)


def _percentiles(found: list[float]) -> str:
    found.sort()
    return f"p50 {found[len(found) // 2]:.2f} ms, p99 {found[len(found) * 99 // 100]:.2f} ms"


async def measure(name: str, store: Store, seconds: float, followers: int) -> None:
    """One engine's lines."""
    clock, ids, limits = SystemClock(), Ids(), Limits()
    engine = TopicEngine(
        lambda event, data: (event, data), Kinds(), LocalBus(), limits, clock=clock, ids=ids
    )
    streams = Streams(store, engine, limits, clock=clock, ids=ids)
    timelines = Timelines(store, limits, clock)
    for callers, names in ((1, 1), (100, 1), (100, 100), (1_000, 1_000)):
        found = await rate(streams, callers, names, seconds)
        print(f"{name:10} {callers:5} callers, {names:5} streams: {found:8,.0f} adds/s", flush=True)
    print(f"{name:10} add, nobody follows: {await adding(streams, 'calm')}", flush=True)
    rows = [Whose("default", "star")] * followers
    await store.apply(FOLLOW, rows)
    print(f"{name:10} add, {followers:,} follow: {await adding(streams, 'star')}", flush=True)
    now_ms = clock.now_ms()
    for count in (10, 100, 2_000):
        user = f"reader-{count}"
        for n in range(count):
            await timelines.follow("default", user, f"read-{n}")
    for at in range(0, 20_000, 500):
        await asyncio.gather(
            *(
                streams.add("default", f"read-{n % 2_000}", _at(now_ms - n * 1_000))
                for n in range(at, at + 500)
            )
        )
    for n in range(600):  # those who follow few find as much
        await streams.add("default", f"read-{n % 10}", _at(now_ms - n * 1_000))
    for count in (10, 100, 2_000):
        found_s = await reading(timelines, f"reader-{count}")
        print(f"{name:10} a page of a timeline of {count:5,} streams: {found_s}", flush=True)


def _at(ms: int) -> NewActivity:
    return NewActivity(actor="ann", verb="like", object="photo:17", published=as_datetime(ms))


async def main(seconds: float, followers: int) -> None:
    """Both engines."""
    postgres = Postgres(fsync=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in ("sqlite", "postgresql"):
                url = "" if name == "sqlite" else await postgres.new_database()
                store = await open_store(url=url, data_dir=Path(folder), clock=SystemClock())
                await measure(name, store, seconds, followers)
                await store.close()
        finally:
            postgres.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--followers", type=int, default=100_000)
    given = parser.parse_args()
    asyncio.run(main(given.seconds, given.followers))
