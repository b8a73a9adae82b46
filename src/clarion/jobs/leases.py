"""Leases by name: of all nodes one does something, until it lets go or has not been heard of for a while.

For work that goes on as long as somebody wants it; what has an end is a job. Whoever holds one renews it well before it ends, and stops by
itself where that cannot be done: for a moment nobody may do the work, never two by their own clocks.
"""

from collections.abc import Sequence
from typing import Final

from clarion.clock import Clock
from clarion.storage import Store
from clarion.storage import leases as sql

AT_ONCE: Final = 200  # leases in one transaction
FORGOTTEN_MS: Final = 86_400_000  # after its end

Lease = tuple[str, str]
"""Tenant and name."""


class Leases:
    """The leases of a node.

    Args:
        store: Where they are.
        clock: Says what has run out. Clocks of nodes may differ by a small part of a lease.
        node: Whose they are.
    """

    def __init__(self, store: Store, clock: Clock, *, node: str) -> None:
        self._store, self._clock, self._node = store, clock, node

    async def take(self, wanted: Sequence[Lease], for_s: float) -> dict[Lease, None]:
        """Take leases, or renew them: those of `wanted` that are this node's now, for so long.

        Raises:
            Unavailable, StorageFull, OutcomeUnknown: Of the store.
        """
        mine: dict[Lease, None] = {}
        for at in range(0, len(wanted), AT_ONCE):
            async with self._store.transaction() as tx:
                for tenant, name in wanted[at : at + AT_ONCE]:
                    now_ms = self._clock.now_ms()
                    taken = await tx.fetch(
                        sql.TAKE,
                        tenant=tenant,
                        name=name,
                        holder=self._node,
                        now_ms=now_ms,
                        until_ms=now_ms + int(for_s * 1000),
                    )
                    if taken:
                        mine[tenant, name] = None
        return mine

    async def release(self, held: Sequence[Lease]) -> None:
        """Let go: others may take them at once. What is not this node's stays.

        Raises:
            Unavailable, StorageFull, OutcomeUnknown: Of the store.
        """
        for at in range(0, len(held), AT_ONCE):
            async with self._store.transaction() as tx:
                for tenant, name in held[at : at + AT_ONCE]:
                    await tx.execute(sql.RELEASE, tenant=tenant, name=name, holder=self._node)

    async def of_others(self, tenant: str, start: str) -> int:
        """How many leases other nodes have whose names begin so.

        Raises:
            Unavailable: Of the store.
        """
        [found] = await self._store.fetch(
            sql.OF_OTHERS,
            tenant=tenant,
            first=start,
            end=start[:-1] + chr(ord(start[-1]) + 1),
            holder=self._node,
            now_ms=self._clock.now_ms(),
        )
        return found.n

    async def forget(self) -> int:
        """Remove the rows of nodes that are long gone; returns how many."""
        async with self._store.transaction() as tx:
            return await tx.execute(sql.FORGET, before_ms=self._clock.now_ms() - FORGOTTEN_MS)
