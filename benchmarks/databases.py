"""Both databases, one after the other, for the benchmarks that measure what is in them.

PostgreSQL is a private one with fsync on; SQLite commits with synchronous=FULL in a folder of its own.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.support.services import Postgres

from clarion.clock import SystemClock
from clarion.storage import Store, open_store
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, SqlStore

KEEP: Final = Keep(size=1_000, age_s=3_600, keys=10_000)
DATA: Final = {"text": "x" * 200}


async def on_each(
    measure: Callable[[str, Store], Awaitable[None]], folder: Path | None = None
) -> None:
    """Measure with each engine.

    Args:
        measure: Takes the engine's name, and an open store.
        folder: Where SQLite's files are made, to choose the disk; None: where temporary files are.
    """
    postgres = Postgres(fsync=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            for name in ("sqlite", "postgresql"):
                url = "" if name == "sqlite" else await postgres.new_database()
                store = await open_store(url=url, data_dir=Path(made), clock=SystemClock())
                await measure(name, store)
                await store.close()
    finally:
        postgres.remove()


async def latencies(node: SqlStore, until: Callable[[], bool], pause_s: float = 0.0) -> str:
    """How long one caller waits for each append to a topic, with a pause between two."""
    found: list[float] = []
    topic = Topic("default", "bench", "calm")
    while not until() or len(found) < 500:
        began = time.monotonic()
        await node.append(topic, [Change(event="said", data=DATA)], KEEP)
        found.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(pause_s)
    found.sort()
    at = [found[len(found) * part // 1000] for part in (500, 990, 999)]
    return f"p50 {at[0]:.2f} ms, p99 {at[1]:.2f} ms, p99.9 {at[2]:.2f} ms of {len(found):,}"
