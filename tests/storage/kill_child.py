"""A process that writes under load and says what was acknowledged, until it is killed. Run by test_kill.py.

Usage: kill_child.py <database url or ""> <data folder> <number of this life>
"""

import asyncio
import os
import sys
from pathlib import Path

from clarion.clock import SystemClock
from clarion.storage import Store, open_store
from tests.support.ledger import APPEND, MIGRATIONS, Entry

CALLERS = 100


async def call(store: Store, caller: int, life: str) -> None:
    count = 0
    while True:
        count += 1
        id = f"{life}-{caller}-{count}"
        [position] = await store.apply(APPEND, [Entry("t", f"b{caller % 7}", id)])
        os.write(1, f"{id} b{caller % 7} {position.off}\n".encode())


async def main(url: str, data_dir: str, life: str) -> None:
    store = await open_store(
        url=url, data_dir=Path(data_dir), clock=SystemClock(), migrations=MIGRATIONS
    )
    async with asyncio.TaskGroup() as group:
        for caller in range(CALLERS):
            group.create_task(call(store, caller, life))


asyncio.run(main(*sys.argv[1:]))
