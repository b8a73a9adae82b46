"""What removing old rows does to who publishes meanwhile: p50 and p99 of appends to a durable topic, alone and beside a purge.

    python -m benchmarks.purge [--rows 1000000] [--folder …]

The rows are entries of logs that are all too old: of 1,000 inboxes, of 1,000 activity streams. The databases are those of `databases.py`.
"""

import argparse
import asyncio
import time
from functools import partial
from pathlib import Path

from benchmarks.databases import latencies, on_each
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.jobs.purging import Purger, Slices
from clarion.storage import Sql, Store, activity, inbox
from clarion.telemetry import spawn
from clarion.topics.stores import SqlStore

PAUSE_S = 0.001  # between two appends
AT_ONCE = 50_000  # rows that are made in one transaction
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
TEXT = "x" * 150
# Number i is entry i / 1000 of owner i % 1000.
MADE = {
    "inbox logs": f"""INSERT INTO inbox_change (tenant, usr, off, mark, prior, event, carries, data, unread, at_ms)
        {NUMBERS} SELECT 'default', 'user' || (i % 1000), i / 1000 + 1, 1, 0, 'new', '', '{TEXT}', 0, 1 FROM n""",
    "activity logs": f"""INSERT INTO activity_change (tenant, stream, off, mark, prior, event, id, carried, published_ms,
          foreign_id, body, updated_ms, items, at_ms)
        {NUMBERS} SELECT 'default', 'stream' || (i % 1000), i / 1000 + 1, 1, 0, 'added', 'x', 'x', 1, '', '{TEXT}', 1, 1, 1
        FROM n""",
}
OWNERS = {
    "inbox logs": f"""INSERT INTO inbox_head (tenant, usr, epoch, top, mark, unread)
        {NUMBERS} SELECT 'default', 'user' || i, '0', 1000000, 1, 0 FROM n""",
    "activity logs": f"""INSERT INTO activity_stream (tenant, stream, epoch, top, mark, items)
        {NUMBERS} SELECT 'default', 'stream' || i, '0', 1000000, 1, 1 FROM n""",
}


async def fill(store: Store, name: str, rows: int) -> None:
    """Make that many old rows."""
    if name in OWNERS:
        async with store.transaction() as tx:
            await tx.execute(Sql(OWNERS[name]), first=0, last=999)
    for first in range(0, rows, AT_ONCE):
        async with store.transaction() as tx:
            await tx.execute(Sql(MADE[name]), first=first, last=min(first + AT_ONCE, rows) - 1)


def parts(store: Store) -> dict[str, Slices]:
    """How each kind of rows is removed: all of them are older than two milliseconds after 1970."""
    logs = {"inbox logs": inbox.LOGS, "activity logs": activity.LOGS}
    return {name: partial(log.trim, store, keep=1_000, before_ms=2) for name, log in logs.items()}


async def measure(rows: int, engine: str, store: Store) -> None:
    """One engine."""
    clock = SystemClock()
    node = SqlStore(store, clock=clock, ids=Ids())
    for name, slices in parts(store).items():
        await fill(store, name, rows)
        end = time.monotonic() + 5
        alone = await latencies(node, lambda end=end: time.monotonic() > end, PAUSE_S)  # type: ignore[misc]
        purger = Purger(clock)
        purger.add(name, slices)
        began = time.monotonic()
        purging = spawn(purger.run(), name="purge")
        beside = await latencies(node, purging.done, PAUSE_S)
        spent = time.monotonic() - began
        print(f"{engine:10} {name:14} alone:  {alone}")
        print(f"{engine:10} {name:14} beside: {beside}; {rows:,} rows in {spent:.0f} s", flush=True)
        await purging
    await node.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    asyncio.run(on_each(partial(measure, args.rows), args.folder))


if __name__ == "__main__":
    main()
