"""Expiring: what was said until a time leaves every inbox then, as what is too old does.

One index over what expires says what is next; there is no timer for each message. Two processes that look at once take a message
away once: whoever holds the head of an inbox finds it there, or not.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from clarion.clock import Clock
from clarion.jobs.loop import POLL_S
from clarion.storage import inbox as sql
from clarion.storage.store import Store, Tx

AT_ONCE: Final = 20  # of what expires, with one look
PEOPLE: Final = 50  # whose inboxes are held at once


class Removes(Protocol):
    """What this needs of inboxes."""

    async def remove(  # noqa: D102
        self, tx: Tx, tenant: str, user: str, id: str
    ) -> list[Callable[[], Awaitable[None]]]: ...


async def expire(inbox: Removes, store: Store, clock: Clock) -> float:
    """Take away what has expired; returns how long to wait for the next (s)."""
    rows = await store.fetch(sql.EXPIRING, n=AT_ONCE)
    for row in rows:
        if row.expires_ms > clock.now_ms():
            return min(POLL_S, (row.expires_ms - clock.now_ms()) / 1000)
        await _take_away(inbox, store, row)
    return POLL_S if len(rows) < AT_ONCE else 0.0


async def _take_away(inbox: Removes, store: Store, row: sql.ExpiringRow) -> None:
    what = {"tenant": row.tenant, "id": row.id}
    while people := await store.fetch(sql.WHO_HAS, **what, created_ms=row.created_ms, n=PEOPLE):
        told: list[Callable[[], Awaitable[None]]] = []
        async with store.transaction() as tx:
            for person in people:
                told += await inbox.remove(tx, row.tenant, person.usr, person.id)
        for tell in told:
            await tell()
    async with store.transaction() as tx:
        await tx.execute(sql.FORGET_EXPIRED, **what)
