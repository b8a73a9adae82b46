"""Ageing: messages of inboxes are kept for so long, then they are gone from every page and every device, and from the numbers.

A slice is one transaction: the heads of the inboxes that it is about, the messages, what nobody has any more of what they said, and
one entry in the log of each of those inboxes. What somebody keeps on top, or has put off, is not taken from them.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Final

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.changes import data_of, removed_facts
from clarion.notifications.inbox import Inbox
from clarion.settings import Limits
from clarion.storage import inbox_retention as sql
from clarion.storage.store import Store
from clarion.topics.stream import MARK_MODULUS, Entry

AT_ONCE: Final = 40  # messages of a slice
_DAY_MS: Final = 86_400_000


class Ageing:
    """Removes what is too old; see `jobs.purging.Slices`.

    Args:
        store: Where inboxes are.
        inbox: Tells who looks at theirs.
        limits: `inbox_days`.
        clock: The time.
        ids: For the marks of the logs.
    """

    def __init__(
        self, store: Store, inbox: Inbox, limits: Limits, *, clock: Clock, ids: Ids
    ) -> None:
        self._store, self._inbox, self._limits = store, inbox, limits
        self._clock, self._ids = clock, ids

    async def purge(self) -> AsyncIterator[int]:
        """Remove what is older than `limits.inbox_days`, the oldest first, one tenant after the other."""
        if not self._limits.inbox_days:
            return
        before = self._clock.now_ms() - self._limits.inbox_days * _DAY_MS
        tenant = ""
        while True:
            [found] = await self._store.fetch(sql.NEXT_TENANT, after=tenant)
            if found.tenant is None:
                return
            tenant, after = found.tenant, 0
            while aged := await self._store.fetch(
                sql.AGED, tenant=tenant, after=after, before=before, n=AT_ONCE
            ):
                after = aged[-1].created_ms
                yield await self._slice(tenant, aged)

    async def _slice(self, tenant: str, aged: Sequence[sql.Aged]) -> int:
        rows = [sql.Old(tenant, each.usr, each.id, each.notification) for each in aged]
        owners = [sql.Owner(tenant, usr) for usr in sorted({each.usr for each in aged})]
        told: list[tuple[str, str, Entry]] = []
        async with self._store.transaction() as tx:
            heads: list[sql.HeadOf] = await tx.apply(sql.HOLD_HEADS, owners)
            states: list[sql.StateOf] = await tx.apply(sql.STATES, rows)
            gone: dict[str, list[sql.StateOf]] = defaultdict(list)
            for state in states:
                gone[rows[state.n - 1].usr].append(state)
            if not states:
                return 0
            await tx.apply(sql.FORGET, [rows[each.n - 1] for each in states])
            now_ms = self._clock.now_ms()
            removals: list[sql.Removal] = []
            for head in heads:
                usr = owners[head.n - 1].usr
                if not (theirs := gone[usr]):
                    continue  # they were erased since
                facts = removed_facts([rows[each.n - 1].id for each in theirs])
                unread = head.unread - sum(each.is_unread for each in theirs)
                unseen = head.unseen - sum(each.is_unseen for each in theirs)
                off, mark = head.top + 1, (head.mark + self._ids.mark()) % MARK_MODULUS
                removals.append(
                    sql.Removal(tenant, usr, off, mark, head.mark, facts, unread, unseen, now_ms)
                )
                data = data_of(facts, None, unread, unseen)
                told.append((usr, head.epoch, Entry(off, mark, head.mark, "removed", data)))
            if removals:
                await tx.apply(sql.TELL, removals)
        for usr, epoch, entry in told:
            await self._inbox.announce(tenant, usr, epoch, entry)
        return len(states)
