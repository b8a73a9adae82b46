"""Removing from the database what topics keep no longer: old entries, empty topics that nobody uses, ids past their time.

Only topics are looked at whose time has come (`trim_ms` of the head), a few in a transaction and a few entries of each, so that
nobody waits long behind it; those that somebody is changing right now come next time.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from clarion.clock import Clock
from clarion.storage import Store, Tx
from clarion.storage import topics as sql
from clarion.topics.stores.base import REMEMBERED_MS

# Of one transaction: beside ten times as many rows an append took 74 ms on SQLite (p99), beside these 12-20, alone 7-10 (benchmarks/topics_sql.py).
TOPICS: Final = 20
ENTRIES: Final = 25  # of each of them
IDS: Final = 500


async def trim(store: Store, clock: Clock) -> int:
    """Remove what is kept no longer; returns how many entries went."""
    count, now_ms = 0, clock.now_ms()
    while True:
        began = clock.monotonic()
        async with store.transaction() as tx:
            heads = await tx.fetch(sql.UNTIDY, now_ms=now_ms, n=TOPICS)
            count += await _tidy(tx, heads, now_ms)
        if not heads:
            break
        # The others have as much of the time.
        await asyncio.sleep(clock.monotonic() - began)
    while True:
        began = clock.monotonic()
        async with store.transaction() as tx:
            gone = await tx.execute(sql.FORGET_IDS, before=now_ms - REMEMBERED_MS, n=IDS)
        if gone < IDS:
            return count
        await asyncio.sleep(clock.monotonic() - began)


async def _tidy(tx: Tx, heads: Sequence[sql.Untidy], now_ms: int) -> int:
    windows = [
        sql.Window(
            head.tenant,
            head.topic,
            head.trimmed,
            min(head.trimmed + ENTRIES, head.top),
            head.top - head.keep_size,
            now_ms - head.keep_ms,
        )
        for head in heads
    ]
    cuts = [window.trimmed for window in windows]
    for cut in await tx.apply(sql.CUTS, windows):
        cuts[cut.n - 1] = cut.offset or cuts[cut.n - 1]
    asked = [
        sql.Trimmed(head.tenant, head.topic, 0, at, 0) for head, at in zip(heads, cuts, strict=True)
    ]
    ages = {age.n: age.at_ms for age in await tx.apply(sql.AGES, asked)}
    trimmed: list[sql.Trimmed] = []
    unused: list[sql.Name] = []
    for n, (head, window, at) in enumerate(zip(heads, windows, cuts, strict=True), 1):
        next_ms = _next_ms(head, window, at, ages.get(n))
        trimmed.append(sql.Trimmed(head.tenant, head.topic, head.trimmed, at, next_ms))
        if at == head.top and next_ms is not None and next_ms <= now_ms:
            unused.append(sql.Name(head.tenant, head.topic))
    await tx.apply(sql.TRIM, trimmed)
    await tx.apply(sql.FORGET, unused)
    return sum(cuts) - sum(head.trimmed for head in heads)


def _next_ms(head: sql.Untidy, window: sql.Window, at: int, age_ms: int | None) -> int | None:
    """When to look again at a log that was trimmed up to `at`; None: not before the next change. In the past for an empty one: it can go."""
    if age_ms is not None:
        # More of it may go at once; otherwise its oldest entry has to grow old.
        return age_ms if at == window.upto else age_ms + head.keep_ms + 1
    return None if head.items else head.used_ms + max(head.keep_ms, REMEMBERED_MS) + 1
