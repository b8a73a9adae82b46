"""Saved searches: each document that begins to match one is handed on, at least once, under a key that names this beginning.

Whoever has the key's effect once (a notification with it as its Idempotency-Key) has told it once. How far the log of a collection was handed on is a row:
after a crash it goes on from there. A refusal is logged and passed over; where nothing can be handed on now, it waits.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.bus import Bus
from clarion.clock import Clock, as_datetime
from clarion.errors import Invalid, NotFound, ServerError, TooMany
from clarion.features.search.collections import Collections, Kept, kept
from clarion.features.search.documents import Tag
from clarion.features.search.following import LOOK_S
from clarion.features.search.register import KIND
from clarion.features.search.watching import AT_ONCE, Watcher, query_for
from clarion.settings import Limits
from clarion.storage import Param, Store, Tx
from clarion.storage import saved_searches as sql
from clarion.storage import search as search_sql
from clarion.telemetry import Tasks, get_logger, limit_exceeded
from clarion.topics.triggers import Trigger, Triggers, without

_log = get_logger(__name__)

_decode = msgspec.json.Decoder(float_hook=float).decode
_encode = msgspec.json.Encoder().encode


class SaveSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for, and what is done about it.

    Args:
        query: `text` and `where` of a query; order and limit mean nothing here.
        trigger: What is handed on: a notification, as `POST /v1/notifications` takes it, or a workflow to run, as `POST /v1/triggers` does; `data`, or `payload`, gets `search`.
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
        self._tasks = Tasks()

    def start(self) -> None:
        """Go on with what was saved before, and with what other processes are asked to look for."""
        self._tasks.spawn_forever(self._look_forever, name="search: saved searches anywhere")

    async def close(self) -> None:
        """End every task."""
        await self._tasks.close()
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
        access = None if given.access is UNSET else given.access
        with _beneath("/query"):
            query = query_for(given.query, access, found)
        with _beneath("/trigger"):
            about = {"collection": collection, "name": name, "id": "an id"}
            await self._triggers.check(Trigger(tenant, KIND, "", given.trigger, about))
        watcher = self._watch(found)
        await watcher.check(name, query)
        async with self._store.transaction() as tx:
            row, revision = await self._put(tx, found, name, given)
        watcher.saved(row, query, revision)
        return _saved(row)

    async def _put(
        self, tx: Tx, found: Kept, name: str, given: SaveSearch
    ) -> tuple[sql.SavedRow, int]:
        tenant, collection = found.tenant, found.collection.name
        where: dict[str, Param] = {"tenant": tenant, "collection": found.number}
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
        if not count:  # what happened while nothing was looked for is passed over
            await tx.execute(sql.RAISE, **where, off=rows[0].top)
        (row,) = await tx.fetch(sql.FIND, **where, name=name)
        (head,) = await tx.fetch(sql.HEAD, **where)
        return row, head.revision

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
            if not gone:
                raise NotFound("there is no such saved search")
            await tx.execute(sql.REVISE, **where)
            (head,) = await tx.fetch(sql.HEAD, **where)
        self._watch(found).removed(name, head.revision)

    async def erase(self, tenant: str, user: str, _at_ms: int) -> None:
        """Tell somebody no more, who is to be forgotten; a search that tells nobody else is removed.

        Raises:
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        collection, name = 0, ""
        while rows := await self._store.fetch(
            sql.NAMING, tenant=tenant, pattern=f'%"{user}"%', collection=collection, name=name, n=AT_ONCE
        ):  # fmt: skip
            for row in rows:
                await self._erase(tenant, row, user)
            collection, name = rows[-1].collection, rows[-1].name

    async def _erase(self, tenant: str, naming: sql.NamingRow, user: str) -> None:
        where: dict[str, Param] = {"tenant": tenant, "collection": naming.collection}
        async with self._store.transaction() as tx:
            await tx.fetch(search_sql.LOCK, tenant=tenant, name=naming.collection_name)
            for row in await tx.fetch(sql.FIND, **where, name=naming.name):
                asks = _decode(row.hands)
                left = without(asks, user)
                if left is asks:
                    continue
                if left is None:
                    await tx.execute(sql.REMOVE, **where, name=row.name)
                else:
                    await tx.execute(sql.ASK, **where, name=row.name, hands=_encode(left).decode())
                # Whoever watches reads them anew before the next change is compared.
                await tx.execute(sql.REVISE, **where)

    async def _look_forever(self) -> None:
        while True:
            try:
                await self._look()
            except ServerError as exc:
                _log.warning("saved searches are not looked for", error=exc.code)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        after = 0
        while some := await self._store.fetch(sql.WATCHED, after=after, n=AT_ONCE):
            for each in some:
                if (each.tenant, each.collection) not in self._watchers:
                    with contextlib.suppress(NotFound):  # it has just been removed
                        self._watch(await self._collections.find(each.tenant, each.name))
            after = some[-1].collection

    def _watch(self, found: Kept) -> Watcher:
        key = found.tenant, found.number
        watcher = self._watchers.get(key)
        if watcher is None:
            watcher = self._watchers[key] = Watcher(
                found,
                self._store,
                self._bus,
                self._limits,
                self._triggers,
                lambda: self._forget(key),
            )
            watcher.start()
        return watcher

    def _forget(self, key: tuple[str, int]) -> None:
        self._watchers.pop(key, None)


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
