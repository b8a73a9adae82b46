"""Topics in Redis: what an append costs, one at a time and many at once, beside memory.

    python -m benchmarks.topics_redis [n]

Starts a redis-server of its own. Prints wall time and CPU of this process for each call (µs).
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop
from tests.support.redis_server import RedisServer

from clarion.bus.redis import RedisClient
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, MemoryStore, TopicStore
from clarion.topics.stores.redis import RedisStore

KEEP = Keep(size=1_000, age_s=3_600, keys=10_000)
DATA = {"title": "Orders per minute", "value": 1234.5, "labels": ["a", "b"], "on": True}


async def measure(name: str, call: Callable[[int], Awaitable[object]], n: int, many: int) -> None:
    async def worker(first: int) -> None:
        for number in range(first, n, many):
            await call(number)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(first) for first in range(many)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:44} {many:5} {wall / n * 1e6:9.1f} {cpu / n * 1e6:9.1f} {n / wall:11,.0f}")


async def run(name: str, store: TopicStore, n: int) -> None:
    topics = [Topic("default", "bench", str(number)) for number in range(1_000)]

    def said(number: int) -> Awaitable[object]:
        return store.append(topics[number % 1_000], [Change(event="said", data=DATA)], KEEP)

    def put(number: int) -> Awaitable[object]:
        change = Change(event="set", key=f"k{number % 100}", data=DATA)
        return store.append(topics[number % 1_000], [change], KEEP)

    def owned(number: int) -> Awaitable[object]:
        at = 1_900_000_000_000 + number
        change = Change(
            event="set", key=f"o{number % 100}", data=DATA, id=str(number), expires_ms=at
        )
        return store.append(topics[number % 1_000], [change], KEEP)

    for many in (1, 100):
        await measure(f"{name}: append to a stream", said, n, many)
        await measure(f"{name}: set an item", put, n, many)
        await measure(f"{name}: set with id and expiry", owned, n, many)
        await measure(
            f"{name}: read 20 entries", lambda i: store.read(topics[i % 1_000], 5, 20), n, many
        )
    begin = time.perf_counter()
    await store.top(topics)
    print(f"{name}: tops of 1,000 topics {(time.perf_counter() - begin) * 1e3:.1f} ms")


async def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{'':44} {'at once':>5} {'µs wall':>9} {'µs CPU':>9} {'a second':>10}")
    await run("memory", MemoryStore(clock=SystemClock(), ids=Ids()), n)
    server = RedisServer()
    client = RedisClient(server.url, ids=Ids())
    try:
        await run("redis", RedisStore(client, clock=SystemClock(), ids=Ids()), n)
        begin = time.perf_counter()
        await RedisStore(client, clock=SystemClock(), ids=Ids()).expire(1000)
        print(f"redis: look for what expires {(time.perf_counter() - begin) * 1e3:.1f} ms")
    finally:
        await client.close()
        server.remove()


if __name__ == "__main__":
    uvloop.run(main())
