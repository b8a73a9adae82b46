"""Saved searches: each document that begins to match one is handed on, at least once, under a key that names this beginning.

Whoever has the key's effect once (a notification with it as its Idempotency-Key) has told it once. How far the log of a collection was handed on is a row:
after a crash it goes on from there. A refusal is logged and passed over; where nothing can be handed on now, it waits.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.bus import Bus
from clarion.clock import Clock, as_datetime
from clarion.errors import Invalid, NotFound, PeerError, ServerError, TooMany
from clarion.features.search.collections import Collections, Kept, kept
from clarion.features.search.document import Prepared, prepare
from clarion.features.search.documents import Tag
from clarion.features.search.finding import seen_by
from clarion.features.search.following import LOOK_S, channel
from clarion.features.search.percolator import Percolator
from clarion.features.search.query import Query, parse
from clarion.ids import digest
from clarion.settings import Limits
from clarion.storage import Param, Store, Tx
from clarion.storage import saved_searches as sql
from clarion.storage import search as search_sql
from clarion.telemetry import get_logger, limit_exceeded, search_handed, spawn
from clarion.topics.triggers import Trigger, Triggers

_log = get_logger(__name__)

AT_ONCE: Final = 500
AGAIN_S: Final = 1.0  # until it is tried again to hand on
_decode = msgspec.json.Decoder(float_hook=float).decode
_encode = msgspec.json.Encoder().encode


class SaveSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for, and what is done about it.

    Args:
        query: `text` and `where` of a query; order and limit mean nothing here.
        trigger: What is handed on: a notification, as `POST /v1/notifications` takes it; its `data` gets `search`.
        access: Sees only documents without tags, and those that share one with these; absent: all.
    """

    query: dict[str, Any]
    trigger: dict[str, Any]
    access: Annotated[list[Tag], Meta(max_length=100)] | UnsetType = UNSET


class SavedSearch(Struct, frozen=True):
    """A saved search."""

    name: str
    query: dict[str, Any]
    trigger: dict[str, Any]
    created_at: datetime
    access: list[str] | UnsetType = UNSET


class Saved:
    """The saved searches of every tenant.

    Args:
        store: Where they are.
        collections: Whose.
        bus: Brings notices of changes.
        limits: `search_saved`, `search_unselective`.
        clock: Time of saving.
        triggers: What begins to match is handed to.
    """

    def __init__(
        self,
        store: Store,
        collections: Collections,
        bus: Bus,
        limits: Limits,
        clock: Clock,
        triggers: Triggers,
    ) -> None:
        self._store = store
        self._collections = collections
        self._bus = bus
        self._limits = limits
        self._clock = clock
        self._triggers = triggers
        self._watchers: dict[tuple[str, int], Watcher] = {}

    async def start(self) -> None:
        """Go on with what was saved before."""
        after = 0
        while some := await self._store.fetch(sql.WATCHED, after=after, n=AT_ONCE):
            for each in some:
                found = await self._collections.find(each.tenant, each.name)
                await self._watch(found)
            after = some[-1].collection

    async def close(self) -> None:
        """End every task."""
        for watcher in list(self._watchers.values()):
            await watcher.close()

    async def put(self, tenant: str, collection: str, name: str, given: SaveSearch) -> SavedSearch:
        """Save a search, from now on: for documents that begin to match.

        Raises:
            NotFound: There is no such collection.
            Invalid: It is no query for it, or nothing that can be handed on.
            TooMany: The collection has `limits.search_saved`, or too many that ask for nothing in particular.
        """
        found = await self._collections.find(tenant, collection)
        query = _query(given, found)
        with _beneath("/trigger"):
            self._triggers.check(given.trigger)
        watcher = await self._watch(found)
        watcher.try_out(name, query)
        before = watcher.peek(name)
        where: dict[str, Param] = {"tenant": tenant, "collection": found.number}
        try:
            async with self._store.transaction() as tx:
                row = await self._put(tx, found, where, name, given)
                # Inside: nothing of the collection can change before the watcher knows of it.
                watcher.put(row, query)
        except BaseException:
            watcher.restore(name, before)
            raise
        return _saved(row)

    async def _put(
        self, tx: Tx, found: Kept, where: Mapping[str, Any], name: str, given: SaveSearch
    ) -> sql.SavedRow:
        tenant, collection = found.tenant, found.collection.name
        rows = await tx.fetch(search_sql.LOCK, tenant=tenant, name=collection)
        if kept(tenant, collection, rows).number != found.number:
            raise NotFound(f"there is no collection {collection!r}")
        is_new = not await tx.fetch(sql.FIND, **where, name=name)
        count = (await tx.fetch(sql.COUNT, **where))[0].number
        if is_new and count >= self._limits.search_saved:
            limit_exceeded.labels("search_saved").inc()
            raise TooMany(
                f"the collection has {count} saved searches (limits.search_saved)",
                limit=self._limits.search_saved,
            )
        await tx.execute(
            sql.PUT,
            **where,
            name=name,
            query=_encode(given.query).decode(),
            access=None if given.access is UNSET else _encode(given.access).decode(),
            hands=_encode(given.trigger).decode(),
            since=rows[0].top,
            now_ms=self._clock.now_ms(),
        )
        await tx.execute(sql.BEGIN, **where, off=rows[0].top)
        (row,) = await tx.fetch(sql.FIND, **where, name=name)
        return row

    async def get(self, tenant: str, collection: str, name: str) -> SavedSearch:
        """A saved search.

        Raises:
            NotFound: There is none.
        """
        found = await self._collections.find(tenant, collection)
        rows = await self._store.fetch(sql.FIND, tenant=tenant, collection=found.number, name=name)
        if not rows:
            raise NotFound("there is no such saved search")
        return _saved(rows[0])

    async def list(
        self, tenant: str, collection: str, after: str, limit: int
    ) -> tuple[Sequence[SavedSearch], bool]:
        """Saved searches in the order of their names, and whether there are more."""
        found = await self._collections.find(tenant, collection)
        rows = await self._store.fetch(
            sql.PAGE, tenant=tenant, collection=found.number, after=after, n=limit + 1
        )
        return [_saved(row) for row in rows[:limit]], len(rows) > limit

    async def remove(self, tenant: str, collection: str, name: str) -> None:
        """Hand on no more.

        Raises:
            NotFound: There is none.
        """
        found = await self._collections.find(tenant, collection)
        where: dict[str, Param] = {"tenant": tenant, "collection": found.number}
        async with self._store.transaction() as tx:
            await tx.fetch(search_sql.LOCK, tenant=tenant, name=collection)
            gone = await tx.execute(sql.REMOVE, **where, name=name)
            if not (await tx.fetch(sql.COUNT, **where))[0].number:
                await tx.execute(sql.END, **where)
        if not gone:
            raise NotFound("there is no such saved search")
        if (watcher := self._watchers.get((tenant, found.number))) is not None:
            watcher.remove(name)

    async def _watch(self, found: Kept) -> "Watcher":
        key = found.tenant, found.number
        if (there := self._watchers.get(key)) is not None:
            return there
        made = self._watchers[key] = Watcher(
            found, self._store, self._bus, self._limits, self._triggers, lambda: self._forget(key)
        )
        await made.load()
        return made

    def _forget(self, key: tuple[str, int]) -> None:
        self._watchers.pop(key, None)


class Watcher:
    """The saved searches of one collection: follows its log and hands on."""

    def __init__(
        self,
        found: Kept,
        store: Store,
        bus: Bus,
        limits: Limits,
        triggers: Triggers,
        gone: Callable[[], None],
    ) -> None:
        self._kept = found
        self._store = store
        self._bus = bus
        self._triggers = triggers
        self._gone = gone
        self._percolator = Percolator(limits.search_unselective)
        self._rows: dict[str, tuple[sql.SavedRow, Query]] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read what was saved, and begin."""
        self._bus.subscribe(self._channel, self._receive)
        after = ""
        while rows := await self._store.fetch(sql.PAGE, **self._where, after=after, n=AT_ONCE):
            for row in rows:
                access = UNSET if row.access is None else _decode(row.access)
                given = SaveSearch(_decode(row.query), _decode(row.hands), access)
                self.put(row, _query(given, self._kept))
            after = rows[-1].name
        self._task = spawn(self._follow(), name="search: saved searches")

    def try_out(self, name: str, query: Query) -> None:
        """Refuse a query for which there is no room.

        Raises:
            TooMany: See `Percolator.add`.
        """
        if name not in self._rows:
            self._percolator.add("", query)
            self._percolator.remove("")

    def put(self, row: sql.SavedRow, query: Query) -> None:
        """Look for it from now on."""
        self.remove(row.name)
        self._percolator.add(f"={row.name}", query)
        self._rows[row.name] = row, query

    def peek(self, name: str) -> tuple[sql.SavedRow, Query] | None:
        """What is looked for under a name."""
        return self._rows.get(name)

    def restore(self, name: str, before: tuple[sql.SavedRow, Query] | None) -> None:
        """Look again for what `peek` gave."""
        if before is None:
            self.remove(name)
        else:
            self.put(*before)

    def remove(self, name: str) -> None:
        """Look for it no more."""
        if self._rows.pop(name, None) is not None:
            self._percolator.remove(f"={name}")

    async def close(self) -> None:
        """End."""
        self._bus.unsubscribe(self._channel, self._receive)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

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
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()

    async def _catch_up(self) -> None:
        while heads := await self._store.fetch(sql.HEAD, **self._where):
            rows = await self._store.fetch(
                search_sql.CHANGES, **self._where, after=heads[0].number, n=AT_ONCE
            )
            if not rows:
                raise NotFound("the collection is gone")
            if rows[0].off is None:
                return
            if rows[0].off != heads[0].number + 1:
                _log.warning("saved searches missed changes", collection=self._kept.number)
            for row in rows:
                await self._take(row)
            async with self._store.transaction() as tx:
                await tx.execute(sql.RAISE, **self._where, off=rows[-1].off)

    async def _take(self, row: search_sql.ChangeRow) -> None:
        after = self._prepared(row.id, row.data, row.access)
        if after is None or row.data is None or row.off is None:
            return
        found = self._percolator.matching(after)
        if not found:
            return
        before = self._prepared(row.id, row.before, row.access_before)
        for name in found:
            there = self.peek(name[1:])
            if there is None or row.off <= there[0].since:
                continue
            saved = there[0]
            if before is None or not self._percolator.matches(name, before):
                await self._hand_on(saved, row.id, row.off)

    async def _hand_on(self, saved: sql.SavedRow, id: str, offset: int) -> None:
        trigger = Trigger(
            self._kept.tenant,
            "search",
            f"search-{self._kept.number}-{offset}-{digest(saved.name)[:32]}",
            _decode(saved.hands),
            {"collection": self._kept.collection.name, "name": saved.name, "id": id},
        )
        try:
            await self._triggers.hand(trigger)
        except PeerError as exc:
            search_handed.labels("refused").inc()
            _log.warning("a saved search cannot hand on", error=exc.code, name=saved.name)
        else:
            search_handed.labels("handed").inc()

    def _prepared(self, id: str, data: str | None, access: str | None) -> Prepared | None:
        if data is None or access is None:
            return None
        return prepare(id, _decode(data), self._kept.fields, _decode(access))


def _query(given: SaveSearch, found: Kept) -> Query:
    with _beneath("/query"):
        asked = parse(given.query, found.fields)
    viewer = None if given.access is UNSET else tuple(sorted({*given.access}))
    return seen_by(Query(asked.terms, asked.where), viewer)


@contextlib.contextmanager
def _beneath(member: str) -> Iterator[None]:
    """What is wrong is wrong in this member."""
    try:
        yield
    except Invalid as exc:
        faults = [
            msgspec.structs.replace(each, pointer=f"{member}{each.pointer}") for each in exc.faults
        ]
        raise Invalid(exc.message, faults=faults) from exc


def _saved(row: sql.SavedRow) -> SavedSearch:
    return SavedSearch(
        row.name,
        _decode(row.query),
        _decode(row.hands),
        as_datetime(row.created_ms),
        UNSET if row.access is None else _decode(row.access),
    )
