"""Trimming logs that have a head for each owner: entries that are kept no longer go from the oldest on, a few of a few logs in a transaction.

A read finds the logs that have something to give up; from then on each is cut along its key, so that nothing that is gone already is looked at
again. A cut never leaves a hole, whatever the clocks of those who wrote.
"""

from collections.abc import AsyncIterator

from msgspec import Struct

from clarion.storage.store import Procedure, Sql, Store

HEADS = 500  # of one read
LOGS, ENTRIES = 10, 25  # in one transaction: logs, and entries of each


class Whose(Struct, frozen=True):
    """Names a log."""

    tenant: str
    owner: str


class Long(Struct, frozen=True):
    """A log whose oldest entry is kept no longer: what is gone, and its newest entry."""

    tenant: str
    owner: str
    gone: int
    top: int


class Window(Struct, frozen=True):
    """A stretch of a log, up to `upto`: of it go entries up to `beyond`, and older than `oldest_ms`."""

    tenant: str
    owner: str
    gone: int
    upto: int
    beyond: int
    oldest_ms: int


class Cut(Struct, frozen=True):
    """Where the n-th window can be cut; None: nowhere."""

    n: int
    offset: int | None


class Stretch(Struct, frozen=True):
    """What goes of a log: entries above `gone` up to `upto`."""

    tenant: str
    owner: str
    gone: int
    upto: int


class Logs:
    """The logs of one table.

    Args:
        log: The table, with columns `tenant`, the owner, `off` and `at_ms`; the key is the first three.
        head: The table of heads, with `tenant`, the owner and `top`.
        owner: Its column in both.
    """

    def __init__(self, log: str, head: str, owner: str) -> None:
        self._next = Sql(
            f"""SELECT tenant, {owner} FROM {head} WHERE (tenant, {owner}) > (:tenant, :owner)
                ORDER BY tenant, {owner} LIMIT :n""",
            Whose,
        )
        self._long = Sql(
            f"""SELECT f.tenant, f.{owner}, f.first - 1, f.top FROM
                  (SELECT h.tenant, h.{owner}, h.top,
                     (SELECT MIN(o.off) FROM {log} o WHERE o.tenant = h.tenant AND o.{owner} = h.{owner}) AS first
                   FROM {head} h
                   WHERE (h.tenant, h.{owner}) > (:tenant, :owner) AND (h.tenant, h.{owner}) <= (:last_tenant, :last_owner)) AS f
                JOIN {log} c ON c.tenant = f.tenant AND c.{owner} = f.{owner} AND c.off = f.first
                WHERE c.at_ms < :before OR c.off + :keep <= f.top""",
            Long,
        )
        self._cuts = Procedure(
            f"find_{log}_cuts",
            Window,
            (
                Sql(
                    f"""SELECT r.n, (SELECT max(c.off) FROM {log} c WHERE c.tenant = r.tenant AND c.{owner} = r.owner
                          AND c.off > r.gone AND c.off <= r.upto AND (c.off <= r.beyond OR c.at_ms < r.oldest_ms))
                        FROM {{rows r}} ORDER BY r.n""",
                    Cut,
                ),
            ),
        )
        self._trim = Procedure(
            f"trim_{log}",
            Stretch,
            (
                Sql(f"""DELETE FROM {log} WHERE (tenant, {owner}, off) IN
                        (SELECT c.tenant, c.{owner}, c.off FROM {{rows r}} JOIN {log} c
                         ON c.tenant = r.tenant AND c.{owner} = r.owner AND c.off > r.gone AND c.off <= r.upto)"""),
            ),
        )

    async def trim(self, store: Store, *, keep: int, before_ms: int) -> AsyncIterator[int]:
        """Remove entries, slice by slice; gives how many went with each. See `jobs.purging.Slices`.

        Args:
            store: The database.
            keep: So many of the newest entries of each log stay,
            before_ms: unless they were written before this time.
        """
        after = Whose("", "")
        while some := await store.fetch(
            self._next, tenant=after.tenant, owner=after.owner, n=HEADS
        ):
            last = some[-1]
            span = {"tenant": after.tenant, "owner": after.owner}
            span |= {"last_tenant": last.tenant, "last_owner": last.owner}
            found = await store.fetch(self._long, **span, before=before_ms, keep=keep)
            for at in range(0, len(found), LOGS):
                logs = found[at : at + LOGS]
                while logs:
                    logs, count = await self._slice(store, logs, keep, before_ms)
                    yield count
            after = last

    async def _slice(
        self, store: Store, logs: list[Long], keep: int, before_ms: int
    ) -> tuple[list[Long], int]:
        """Cut some logs; returns those that may have more to give up, as they are now, and how many entries went."""
        windows = [
            Window(log.tenant, log.owner, log.gone, log.gone + ENTRIES, log.top - keep, before_ms)
            for log in logs
        ]
        async with store.transaction() as tx:
            cuts = await tx.apply(self._cuts, windows)
            stretches = [
                Stretch(log.tenant, log.owner, log.gone, cut.offset)
                for log, cut in zip(logs, cuts, strict=True)
                if cut.offset is not None
            ]
            await tx.apply(self._trim, stretches)
        tops = {(log.tenant, log.owner): log.top for log in logs}
        left = [
            Long(each.tenant, each.owner, each.upto, tops[each.tenant, each.owner])
            for each in stretches
            if each.upto == each.gone + ENTRIES
        ]
        return left, sum(each.upto - each.gone for each in stretches)
