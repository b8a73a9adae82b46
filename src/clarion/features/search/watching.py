"""Watching a collection for its saved searches: follows its log, and hands on what begins to match.

Every process watches: whichever comes first hands a match on, the others do it once more under the same key. What is looked for may be changed by any of
them; so its revision is read behind the changes that are about to be compared: whoever saved a search before one of these is among what is read.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from clarion.bus import Bus
from clarion.errors import NotFound, PeerError, ServerError
from clarion.features.search.collections import Kept
from clarion.features.search.document import Prepared, prepare
from clarion.features.search.finding import seen_by
from clarion.features.search.following import LOOK_S, channel
from clarion.features.search.percolator import Percolator
from clarion.features.search.query import Query, parse
from clarion.features.search.register import KIND
from clarion.ids import digest
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage import saved_searches as sql
from clarion.storage import search as search_sql
from clarion.telemetry import get_logger, search_handed, spawn
from clarion.topics.triggers import Trigger, Triggers

_log = get_logger(__name__)

AT_ONCE: Final = 500
AGAIN_S: Final = 1.0  # until it is tried again to hand on
_decode = msgspec.json.Decoder(float_hook=float).decode


def query_for(given: Any, access: Sequence[str] | None, kept: Kept) -> Query:
    """What a saved search looks for; `access` None: it sees everything.

    Raises:
        Invalid: It is no query for this collection.
    """
    asked = parse(given, kept.fields)
    viewer = None if access is None else tuple(sorted({*access}))
    return seen_by(Query(asked.terms, asked.where), viewer)


class Watcher:
    """The saved searches of one collection.

    Args:
        kept: The collection.
        store: Has them, and the collection's log.
        bus: Brings notices of changes.
        limits: `search_unselective`.
        triggers: What begins to match is handed to.
        gone: Called when the collection is no more.
    """

    def __init__(
        self,
        kept: Kept,
        store: Store,
        bus: Bus,
        limits: Limits,
        triggers: Triggers,
        gone: Callable[[], None],
    ) -> None:
        # Fixed at creation
        self._kept = kept
        self._store = store
        self._bus = bus
        self._unselective = limits.search_unselective
        self._triggers = triggers
        self._gone = gone
        # What is looked for, as of a revision
        self._percolator = Percolator(self._unselective)
        self._rows: dict[str, sql.SavedRow] = {}
        self._revision = 0
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._bus.subscribe(self._channel, self._receive)
        self._task = spawn(self._follow(), name="search: saved searches")

    async def close(self) -> None:
        """End."""
        self._bus.unsubscribe(self._channel, self._receive)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self, name: str, query: Query) -> None:
        """Return if there is room for a search of that name.

        Raises:
            TooMany: See `Percolator.check`.
        """
        await self._refresh()
        if name not in self._percolator.unselective:  # else it takes its own place
            self._percolator.check(query)

    def saved(self, row: sql.SavedRow, query: Query, revision: int) -> None:
        """A search was saved, which made it this revision: spares reading all of them."""
        if revision == self._revision + 1:
            self._put(row, query)
            self._revision = revision
        self._woken.set()

    def removed(self, name: str, revision: int) -> None:
        """A search was removed, as `saved`."""
        if revision == self._revision + 1:
            self._remove(name)
            self._revision = revision

    @property
    def _channel(self) -> str:
        return channel(self._kept.tenant, self._kept.number)

    @property
    def _where(self) -> dict[str, Any]:
        return {"tenant": self._kept.tenant, "collection": self._kept.number}

    def _receive(self, _: bytes) -> None:
        self._woken.set()

    async def _follow(self) -> None:
        while True:
            try:
                await self._catch_up()
            except NotFound:
                self._bus.unsubscribe(self._channel, self._receive)
                self._gone()
                return
            except ServerError as exc:
                _log.warning("saved searches wait", error=exc.code)
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception:  # noqa: BLE001  a bug must not end what nobody would begin again
                _log.exception("saved searches wait", collection=self._kept.number)
                await asyncio.sleep(LOOK_S)
                continue
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()

    async def _catch_up(self) -> None:
        while heads := await self._store.fetch(sql.HEAD, **self._where):
            rows = await self._store.fetch(
                search_sql.CHANGES, **self._where, after=heads[0].off, n=AT_ONCE
            )
            if not rows:
                raise NotFound("the collection is gone")
            if rows[0].off is None:
                return
            await self._refresh()
            if rows[0].off != heads[0].off + 1 and self._rows:
                _log.warning("saved searches missed changes", collection=self._kept.number)
            for row in rows:
                await self._take(row)
                await asyncio.sleep(0)  # a long text takes tens of milliseconds
            async with self._store.transaction() as tx:
                await tx.execute(sql.RAISE, **self._where, off=rows[-1].off)

    async def _refresh(self) -> None:
        """Look for what is saved now."""
        heads = await self._store.fetch(sql.HEAD, **self._where)
        if not heads or heads[0].revision == self._revision:
            return
        revision = heads[0].revision
        percolator, found, after = Percolator(self._unselective), dict[str, sql.SavedRow](), ""
        while rows := await self._store.fetch(sql.PAGE, **self._where, after=after, n=AT_ONCE):
            for row in rows:
                access = None if row.access is None else _decode(row.access)
                query = query_for(_decode(row.query), access, self._kept)
                percolator.add(row.name, query, anyway=True)
                found[row.name] = row
            after = rows[-1].name
            await asyncio.sleep(0)
        self._percolator, self._rows, self._revision = percolator, found, revision

    def _put(self, row: sql.SavedRow, query: Query) -> None:
        self._remove(row.name)
        self._percolator.add(row.name, query, anyway=True)
        self._rows[row.name] = row

    def _remove(self, name: str) -> None:
        if self._rows.pop(name, None) is not None:
            self._percolator.remove(name)

    async def _take(self, row: search_sql.ChangeRow) -> None:
        if not self._rows:
            return
        after = self._prepared(row.id, row.data, row.access)
        if after is None or row.off is None:
            return
        found = await self._percolator.matching(after)
        if not found:
            return
        before = self._prepared(row.id, row.before, row.access_before)
        for name in found:
            saved = self._rows.get(name)
            if saved is None or row.off <= saved.since:  # gone meanwhile, or saved after it
                continue
            if before is None or not self._percolator.matches(name, before):
                await self._hand_on(saved, row.id, row.off)

    async def _hand_on(self, saved: sql.SavedRow, id: str, offset: int) -> None:
        trigger = Trigger(
            self._kept.tenant,
            KIND,
            f"search-{self._kept.number}-{offset}-{digest(saved.name)[:32]}",
            _decode(saved.hands),
            {"collection": self._kept.collection.name, "name": saved.name, "id": id},
        )
        try:
            await self._triggers.hand(trigger)
        except PeerError as exc:
            search_handed.labels("refused").inc()
            _log.warning(
                "a saved search cannot hand on",
                collection=self._kept.collection.name,
                name=saved.name,
                error=exc.code,
                reason=exc.message,
            )
        else:
            search_handed.labels("handed").inc()

    def _prepared(self, id: str, data: str | None, access: str | None) -> Prepared | None:
        if data is None or access is None:
            return None
        return prepare(id, _decode(data), self._kept.fields, _decode(access))
