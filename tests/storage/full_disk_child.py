"""A process whose files may not grow: writes until it is refused, reads, may grow again, writes. Run by test_kill.py.

Usage: full_disk_child.py <data folder>; prints "as promised" as its last line, or dies.
"""

import asyncio
import resource
import sys
from pathlib import Path

from clarion.clock import SystemClock
from clarion.errors import StorageFull
from clarion.storage import Store, open_store
from tests.support.ledger import APPEND, MIGRATIONS, Entry, assert_gapless, lines

LIMIT = 400_000  # bytes of any one file


async def write_until_full(store: Store) -> int:
    acknowledged = 0
    try:
        while True:
            await store.apply(APPEND, [Entry("t", "a", str(acknowledged), "x" * 5_000)])
            acknowledged += 1
    except StorageFull:
        return acknowledged


async def main(data_dir: str) -> None:
    store = await open_store(data_dir=Path(data_dir), clock=SystemClock(), migrations=MIGRATIONS)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    acknowledged = await write_until_full(store)
    found = await lines(store)
    assert_gapless(found)
    assert len(found) == acknowledged >= 10, (len(found), acknowledged)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.ping()
    await store.apply(APPEND, [Entry("t", "a", "again")])
    await store.close()
    sys.stdout.write("as promised\n")


asyncio.run(main(sys.argv[1]))
