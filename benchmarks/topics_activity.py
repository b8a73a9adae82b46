"""Activity: what a stream's followers cost who adds to it, how soon all timelines have it, and how long a timeline takes to read.

    python -m benchmarks.topics_activity [--seconds 3] [--followers 100000]

The databases are those of `databases.py`. "Others" add, 20 a second, to a stream that nobody follows.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

from benchmarks.databases import on_each
from clarion.bus import LocalBus
from clarion.clock import SystemClock, as_datetime
from clarion.features.activity import Feeds, NewActivity
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.settings import Limits
from clarion.storage import Procedure, Sql, Store
from clarion.storage.activity import Head, Whose
from clarion.topics import Kinds, TopicEngine

LIKE = NewActivity(actor="ann", verb="like", object="photo:17", data={"text": "x" * 200})
# Everybody has looked a moment ago, so that their timelines are written.
FOLLOW = Procedure(
    "bench_follow",
    Whose,
    (
        Sql("""INSERT INTO activity_follower (tenant, usr, follows, floor_ms, wants_ms, read_ms)
               SELECT r.tenant, 'user-' || CAST(r.n AS TEXT), 1, -1, -1, 2000000000000 FROM {rows r}"""),
        Sql("""INSERT INTO activity_follow (tenant, usr, stream, since_ms)
               SELECT r.tenant, 'user-' || CAST(r.n AS TEXT), r.stream, 0 FROM {rows r}"""),
        Sql("""INSERT INTO activity_stream (tenant, stream, epoch, top, mark, items, followers)
               SELECT r.tenant, r.stream, '0', 0, 0, 0, COUNT(*) FROM {rows r} GROUP BY r.tenant, r.stream"""),
    ),
)
ROWS = Sql("SELECT '', COUNT(*), 0, 0 FROM activity_timeline", Head)
BEHIND = Sql(
    "SELECT '', COUNT(*), 0, 0 FROM activity_stream WHERE followers > 0 AND written < top", Head
)


class House:
    """Activity over a store, as the server puts it together."""

    def __init__(self, store: Store, limits: Limits) -> None:
        clock, ids, bus = SystemClock(), Ids(), LocalBus()
        engine = TopicEngine(
            lambda event, data: (event, data), Kinds(), bus, limits, clock=clock, ids=ids
        )
        queue = Queue(store, clock, ids, node="bench")
        self.store = store
        self.worker = Worker(queue, clock, ids)
        self.feeds = Feeds(store, bus, engine, queue, limits, clock=clock, ids=ids)
        self.feeds.start(self.worker)

    async def add(self, stream: str, activity: NewActivity = LIKE) -> float:
        began = time.monotonic()
        await self.feeds.streams.add("default", stream, activity)
        return (time.monotonic() - began) * 1000

    async def count(self, sql: Sql[Head]) -> int:
        return (await self.store.fetch(sql))[0].top


async def rate(house: House, callers: int, names: int, seconds: float) -> float:
    """Adds a second."""
    end, count = time.monotonic() + seconds, 0

    async def call(number: int) -> None:
        nonlocal count
        while time.monotonic() < end:
            await house.add(f"rate-{number % names}")
            count += 1

    began = time.monotonic()
    await asyncio.gather(*(call(number) for number in range(callers)))
    return count / (time.monotonic() - began)


async def adding(house: House, stream: str) -> str:
    """How long one caller waits for an add."""
    return _percentiles([await house.add(stream) for _ in range(200)])


@contextlib.asynccontextmanager
async def others(house: House) -> AsyncIterator[list[float]]:
    """What adding to another stream takes meanwhile."""
    found: list[float] = []

    async def go_on() -> None:
        while True:
            found.append(await house.add("others"))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    yield found
    task.cancel()
    await asyncio.wait([task])


async def writing_out(house: House, name: str, followers: int) -> None:
    """One activity for very many timelines."""
    await house.store.apply(FOLLOW, [Whose("default", "star")] * followers)
    async with others(house) as calm:
        await asyncio.sleep(3)
    before, began = await house.count(ROWS), time.monotonic()
    async with others(house) as busy:
        took = await house.add("star")
        within = await house.count(ROWS) - before
        while await house.count(BEHIND):  # noqa: ASYNC110  rows wake nobody
            await asyncio.sleep(0.1)
        all_s = time.monotonic() - began
        rows = await house.count(ROWS) - before
        while len(busy) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    print(
        f"{name:10} add, {followers:,} follow: {took:.1f} ms, {within} rows by then; all {rows:,} after {all_s:.1f} s",
        flush=True,
    )
    print(
        f"{name:10} others before: {_percentiles(calm)}; meanwhile: {_percentiles(busy)}",
        flush=True,
    )
    print(
        f"{name:10} add again and again, {followers:,} follow: {await adding(house, 'star')}",
        flush=True,
    )


async def reading(house: House, user: str) -> str:
    """How long the first page of a timeline takes."""
    found = []
    for _ in range(50):
        began = time.monotonic()
        page = await house.feeds.timelines.page("default", user)
        found.append((time.monotonic() - began) * 1000)
        assert len(page.items) == 50
    return _percentiles(found)


def _percentiles(found: list[float]) -> str:
    found.sort()
    return f"p50 {found[len(found) // 2]:.2f} ms, p99 {found[len(found) * 99 // 100]:.2f} ms"


async def measure(name: str, store: Store, seconds: float, followers: int) -> None:
    """One engine's lines."""
    house = House(store, Limits(activity_written_followers=1_000_000))
    await house.worker.start()
    for callers, names in ((1, 1), (100, 100), (1_000, 1_000)):
        found = await rate(house, callers, names, seconds)
        print(f"{name:10} {callers:5} callers, {names:5} streams: {found:8,.0f} adds/s", flush=True)
    print(f"{name:10} add, nobody follows: {await adding(house, 'calm')}", flush=True)
    await writing_out(house, name, followers)
    await house.worker.close()
    merging = House(store, Limits())
    print(
        f"{name:10} add, {followers:,} follow, merged on reading: {await adding(merging, 'star')}",
        flush=True,
    )
    await _fill(house)
    for count in (10, 100, 2_000):
        merged = await reading(house, f"reader-{count}")
        await house.feeds.writer.fill("default", f"reader-{count}")
        written = await reading(house, f"reader-{count}")
        print(
            f"{name:10} a page of {count:5,} streams, merged: {merged}; written out: {written}",
            flush=True,
        )
    await house.feeds.close()
    await merging.feeds.close()


async def _fill(house: House) -> None:
    now_ms = SystemClock().now_ms()
    for count in (10, 100, 2_000):
        for n in range(count):
            await house.feeds.timelines.follow("default", f"reader-{count}", f"read-{n}")
    for at in range(0, 4_000, 500):
        some = (
            house.add(f"read-{n % 2_000}", _at(now_ms - n * 1_000)) for n in range(at, at + 500)
        )
        await asyncio.gather(*some)
    for n in range(600):  # those who follow few find as much
        await house.add(f"read-{n % 10}", _at(now_ms - n * 1_000))
    for n in range(2_000):
        await house.feeds.writer.write("default", f"read-{n}")


def _at(ms: int) -> NewActivity:
    return NewActivity(actor="ann", verb="like", object="photo:17", published=as_datetime(ms))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--followers", type=int, default=100_000)
    given = parser.parse_args()
    asyncio.run(on_each(partial(measure, seconds=given.seconds, followers=given.followers)))
