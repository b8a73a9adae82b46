"""How many events a second a server takes in: from the decoded call to the answer, on disk and counted, without HTTP.

    python -m benchmarks.events [--seconds 10] [--people 100000] [--waiting 10000]

Callers tell batches of different sizes, each waiting for its answer; what they tell is of many people and of twenty names, and some runs
wait for events of another one. At the end counts are compared with rows. The databases are those of `databases.py`.
"""

import argparse
import asyncio
import random
import time
from functools import partial
from pathlib import Path

from msgspec import Struct

from benchmarks.databases import on_each
from clarion.auth.principal import Principal
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.notifications.events.events import Event, Events
from clarion.notifications.events.numbers import Numbers
from clarion.settings import Events as Settings
from clarion.storage import Store, runs
from clarion.storage.store import Sql

APP = Principal(id="app", kind="key", scopes=frozenset({"events:write"}))
SIZES = ((1, 100), (100, 20), (1_000, 4))  # events of a call, callers


class Counts(Struct, frozen=True):
    """Rows, and what was counted of them."""

    rows: int
    counted: int


COUNTS = Sql(
    "SELECT (SELECT count(*) FROM event), (SELECT CAST(sum(count) AS BIGINT) FROM event_minute)",
    Counts,
)


async def measure(name: str, store: Store, *, seconds: float, people: int, waiting: int) -> None:
    """Tell as fast as it goes, in each size of batch."""
    clock, ids = SystemClock(), Ids()
    events = Events(store, Settings(), clock=clock, ids=ids)
    await store.apply(runs.ADD_RUNS, [_waiting(n) for n in range(waiting)])
    chance = random.Random(1)
    for size, callers in SIZES:
        until = time.monotonic() + seconds
        found = [_tell(events, chance, people, size, until) for _ in range(callers)]
        waits = [wait for some in await asyncio.gather(*found) for wait in some]
        told = len(waits) * size
        waits.sort()
        p50, p99 = (waits[len(waits) * part // 100] for part in (50, 99))
        print(
            f"{name}: {told / seconds:,.0f} events/s, {size:,} a call, {callers} callers;"
            f" answered in p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )
    [counts] = await store.fetch(COUNTS)
    assert counts.rows == counts.counted, counts
    began = time.monotonic()
    found = await Numbers(store, clock).find("default", "name.1", "30d")
    took_ms = (time.monotonic() - began) * 1000
    print(
        f"{name}: {counts.rows:,} rows, all counted; {found.people:,} people of a name found in {took_ms:.0f} ms"
    )


async def _tell(
    events: Events, chance: random.Random, people: int, size: int, until: float
) -> list[float]:
    """One caller: how long each call took (ms)."""
    waits: list[float] = []
    while (began := time.monotonic()) < until:
        await events.track(APP, [_event(chance, people) for _ in range(size)])
        waits.append((time.monotonic() - began) * 1000)
    return waits


def _event(chance: random.Random, people: int) -> Event:
    return Event(
        f"name.{chance.randrange(20)}",
        f"user{chance.randrange(people)}",
        {"total": chance.randrange(100), "path": "/a/page"},
    )


def _waiting(n: int) -> runs.NewRun:
    late = SystemClock().now_ms() + 3_600_000
    return runs.NewRun(
        "default", f"run{n}", f"t{n}", f"user{n}", "w", 1, "{}", "running", f"event:paid:user{n}", late, 1
    )  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    asyncio.run(
        on_each(
            partial(measure, seconds=given.seconds, people=given.people, waiting=given.waiting),
            given.folder,
        )
    )


if __name__ == "__main__":
    main()
