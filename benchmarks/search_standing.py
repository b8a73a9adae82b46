"""Search: what one change of a document costs with 1,000, 10,000 and 100,000 standing queries, when it concerns as many of them.

    python -m benchmarks.search_standing [--changes 400] [--standing 1000,10000,100000] [--json]

CPU time of the loop, from the write's commit, which is not counted, to the publication that its subscribers would get: the document is prepared, looked up, compared, and the windows
of the ten queries that it concerns are changed. All queries are different; nine in ten have a word and a range, one in ten a range alone.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.triggers import NotedTriggers

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import SystemClock
from clarion.features.search import Content, Definition, Search
from clarion.features.search.query import parse
from clarion.ids import Ids
from clarion.realtime.transports import settle_memory
from clarion.settings import Limits
from clarion.storage import open_store
from clarion.topics import Kinds, Topic, TopicEngine

HITS = 10
ANN = Principal(id="ann", topics={"search:*": ("subscribe",)})


def query(number: int) -> dict[str, Any]:
    if number < HITS:
        return {"text": "needle", "where": {"price": {"gte": -number}}}
    low = number % 1_000
    rest = {"price": {"gte": low, "lt": low + 5}}
    return (
        {"where": {"size": {"gte": number, "lt": number + 1}}}
        if number % 10 == 0
        else {"text": f"w{number}", "where": rest}
    )


async def answer(given: Any) -> Any:
    return given


async def measure(count: int, changes: int) -> tuple[float, float]:
    clock, ids, bus, kinds = SystemClock(), Ids(), LocalBus(), Kinds()
    limits = Limits(search_standing=count + HITS, search_standing_caller=count, search_linger_s=1e6)
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(data_dir=Path(folder), clock=clock)
        engine = TopicEngine(lambda *given: given, kinds, bus, limits, clock=clock, ids=ids)
        search = Search(store, bus, engine, limits, clock=clock, ids=ids, triggers=NotedTriggers())
        kinds.add(search.live.kind)
        fields: Any = {"title": "text", "price": "number", "size": "number"}
        await search.collections.put("default", "c", Definition(fields))
        # The collection is empty: the database need not be asked that so often.
        found = await search.collections.find("default", "c")
        nothing = await search._finder.page(found, parse({}, found.fields))
        search.collections.find = lambda *_: answer(found)  # type: ignore[method-assign]
        search._finder.page = lambda *_, **__: answer(nothing)  # type: ignore[method-assign]
        for at in range(0, count, 500):
            topic = Topic("default", "search", "c")
            wanted = range(at, min(count, at + 500))
            await asyncio.gather(
                *(search.live.open(topic, ANN, {"query": query(n)}) for n in wanted)
            )
        del search.collections.find, search._finder.page
        settle_memory()
        (follower,) = search.live._register.followers.values()
        took, done = list[float](), asyncio.Event()
        apply = follower._apply

        async def timed(change: Any) -> None:
            began = time.thread_time()
            await apply(change)
            took.append((time.thread_time() - began) * 1e6)
            done.set()

        follower._apply = timed  # type: ignore[method-assign]
        for number in range(changes):
            data = {"title": "a needle in some hay", "price": number % 7, "size": -1}
            await search.put("default", "c", str(number % 50), Content(data, version=number + 1))
            await done.wait()
            done.clear()
        await search.close()
        await engine.close()
        await store.close()
    took = took[changes // 4 :]
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=400)
    parser.add_argument("--standing", default="1000,10000,100000")
    parser.add_argument("--json", action="store_true", help="for a program")
    given = parser.parse_args()
    first, rows = 0.0, []
    for count in map(int, given.standing.split(",")):
        median, p99 = await measure(count, given.changes)
        first = first or median
        rows.append({"standing": count, "p50_us": median, "p99_us": p99})
        if not given.json:
            print(
                f"{count:7,} standing: a change p50 {median:7.1f} us, p99 {p99:7.1f} us, {median / first:.2f} x"
            )
    if given.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    asyncio.run(main())
