"""Turns: who is next, where more is due than can be taken at once.

Tenants take turns: whoever has had the least is next, however much the others have waiting. Of one tenant's rows the urgent ones
go first, but each level below still gets a quarter of what the level above it gets. Both are start-time fair queueing
(Goyal, Vin and Cheng, 1996): who comes anew begins where the others are, and has saved up nothing.
"""

import heapq
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from clarion.storage.jobs import PRIORITIES, Waiting
from clarion.storage.store import R, Sql, Store

WEIGHTS: Final = tuple(4.0 ** (len(PRIORITIES) - 1 - n) for n in range(len(PRIORITIES)))
"""Of the levels, most urgent first."""


class _Fair:
    """Who of several has had how much; whoever has had less than `now` begins there."""

    def __init__(self, now: float = 0.0, ends: dict[Hashable, float] | None = None) -> None:
        self.now, self.ends = now, {} if ends is None else ends

    def start(self, key: Hashable) -> float:
        return max(self.now, self.ends.get(key, 0.0))

    def serve(self, key: Hashable, cost: float) -> None:
        self.ends[key] = self.start(key) + cost

    def copy(self) -> "_Fair":
        return _Fair(self.now, dict(self.ends))

    def advance(self, keys: Iterable[Hashable]) -> None:
        """Go on to where the last of those is that want something, and forget who is behind: they begin like somebody new."""
        self.now = min((self.start(key) for key in keys), default=self.now)
        self.ends = {key: end for key, end in self.ends.items() if end > self.now}


class Turns:
    """Whose turn it is, as one process sees it."""

    def __init__(self) -> None:
        self._tenants = _Fair()
        self._levels: dict[str, _Fair] = {}

    def share(self, due: Sequence[Waiting], limit: int) -> list[tuple[Waiting, int]]:
        """How many rows of each may be taken, `limit` in all; `took` says what was there."""
        lines = _by_tenant(due)
        tenants = self._tenants.copy()
        levels = {tenant: self._level(tenant).copy() for tenant in lines}
        # Among those who have had as much, who has something urgent, then who has waited longest.
        heap = [
            (tenants.start(tenant), min(line), min(each.run_ms for each in line.values()), tenant)
            for tenant, line in lines.items()
        ]
        heapq.heapify(heap)
        counts: dict[tuple[str, int], int] = {}
        for _ in range(limit if heap else 0):
            _, urgent, since_ms, tenant = heap[0]
            fair = levels[tenant]
            priority = min(lines[tenant], key=lambda level: (fair.start(level), level))
            fair.serve(priority, 1 / WEIGHTS[priority])
            fair.advance(lines[tenant])
            tenants.serve(tenant, 1.0)
            counts[tenant, priority] = counts.get((tenant, priority), 0) + 1
            heapq.heapreplace(heap, (tenants.start(tenant), urgent, since_ms, tenant))
        return [(lines[tenant][priority], n) for (tenant, priority), n in counts.items()]

    def took(self, line: Waiting, count: int) -> None:
        """So many were taken."""
        if count:
            self._tenants.serve(line.tenant, float(count))
            fair = self._levels[line.tenant] = self._level(line.tenant)
            fair.serve(line.priority, count / WEIGHTS[line.priority])

    def go_on(self, due: Sequence[Waiting]) -> None:
        """All has been taken of those who had something; nothing is kept of those who make no difference."""
        lines = _by_tenant(due)
        self._tenants.advance(lines)
        for tenant, line in lines.items():
            self._level(tenant).advance(line)
        self._levels = {t: fair for t, fair in self._levels.items() if t in lines}

    def _level(self, tenant: str) -> _Fair:
        return self._levels.get(tenant) or _Fair()


def _by_tenant(due: Sequence[Waiting]) -> dict[str, dict[int, Waiting]]:
    lines: dict[str, dict[int, Waiting]] = {}
    for each in due:
        lines.setdefault(each.tenant, {})[each.priority] = each
    return lines


async def take(
    store: Store,
    turns: Turns,
    waiting: Sequence[Waiting],
    claim: Sql[R],
    *,
    now_ms: int,
    lease_s: float,
    node: str,
    limit: int,
    **lane: str,
) -> list[R]:
    """Claim due rows in fair turns, in one transaction.

    Args:
        store: Where they are.
        turns: Of this process, for this table and lane.
        waiting: What `storage.jobs.waiting` found.
        claim: `storage.jobs.claim` of the same table.
        now_ms: What is due by then.
        lease_s: For how long they are this process'.
        node: Names it.
        limit: At most so many.
        lane: `lane="email"`, where the table has lanes.
    """
    due = [each for each in waiting if each.run_ms <= now_ms]
    open = list(due)
    found: list[R] = []
    if not open or limit <= 0:
        return found
    until_ms = now_ms + int(lease_s * 1000)
    async with store.transaction() as tx:
        while open and len(found) < limit:
            for line, n in turns.share(open, limit - len(found)):
                rows = await tx.fetch(
                    claim,
                    tenant=line.tenant,
                    priority=line.priority,
                    now=now_ms,
                    until=until_ms,
                    node=node,
                    limit=n,
                    **lane,
                )
                turns.took(line, len(rows))
                found += rows
                if len(rows) < n:
                    open.remove(line)  # there were no more: what is left is the others'
    turns.go_on(due)
    return found


def first_ms(waiting: Sequence[Waiting]) -> int | None:
    """When the next of them is due; None: there is nothing."""
    return min((each.run_ms for each in waiting), default=None)
