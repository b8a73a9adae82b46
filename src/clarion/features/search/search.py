"""Search as the doors and an application use it: collections, documents, and asking for them.

await app.search.collections.put("default", "shoes", Definition({"title": "text", "price": "number"}))
await app.search.put("default", "shoes", "s1", Content({"title": "Red shoe", "price": 30}))
page = await app.search.query("default", "shoes", {"text": "red", "where": {"price": {"lt": 50}}})
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.bus import Bus
from clarion.clock import Clock, as_datetime
from clarion.errors import ClarionError, Fault, Invalid, NotFound
from clarion.features.search.collections import Collections, Kept
from clarion.features.search.documents import Content, Writer, Written
from clarion.features.search.finding import Finder, Hit, Viewer, Whose, cursor_behind, seen_by
from clarion.features.search.highlights import highlights
from clarion.features.search.live import Live
from clarion.features.search.query import Query, parse
from clarion.features.search.saved import Saved
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import Param, Store
from clarion.storage import saved_searches as saved_sql
from clarion.storage import search as sql
from clarion.topics import TopicEngine
from clarion.topics.triggers import Triggers

SLICE: Final = 500  # rows of a table that are removed in one transaction
_decode = msgspec.json.Decoder(float_hook=float).decode
_MORE: Final = ("cursor", "facets", "highlight")


class Document(Struct, frozen=True):
    """A document.

    Args:
        id: Its name in the collection.
        data: What was put.
        version: As its writer gave it; 0: none.
        offset: Of its newest change in the collection's log.
        changed_at: When that was.
        access: Tags of which a reader needs one; only for those who may see everything.
        highlights: Of each text with a hit its pieces, every second of which is a hit; only where it was asked for.
    """

    id: str
    data: dict[str, Any]
    version: int
    offset: int
    changed_at: datetime
    access: list[str] | UnsetType = UNSET
    highlights: dict[str, list[str]] | UnsetType = UNSET


class Count(Struct, frozen=True):
    """A value of a field, and how many documents have it."""

    value: str | float | bool
    count: int


class Results(Struct, frozen=True):
    """A page of what a query finds.

    Args:
        items: Documents in the query's order.
        total: How many there are in all.
        offset: The position of the collection at that moment.
        next: `cursor` of the page behind; absent: this is the last.
        facets: Of each field that was asked for the values that most documents have, at most 50; read right after the page.
    """

    items: Sequence[Document]
    total: int
    offset: int
    next: str | UnsetType = UNSET
    facets: dict[str, list[Count]] | UnsetType = UNSET


class _More(Struct, frozen=True):
    cursor: Annotated[str, Meta(max_length=8_192)] | None = None
    facets: Annotated[list[str], Meta(max_length=16)] = []
    highlight: bool = False


class Search:
    """All collections.

    Args:
        store: Where they are.
        bus: Carries notices of changes.
        engine: Has the subscribers.
        limits: `search_*`.
        clock: Time of changes.
        ids: For the logs of standing queries.
        triggers: What saved searches find is handed to.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        engine: TopicEngine,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
        triggers: Triggers,
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self.collections = Collections(store, limits, clock, self._ended)
        self._finder = Finder(store, limits)
        self.live = Live(
            store, self.collections, self._finder, bus, engine, limits, clock=clock, ids=ids
        )
        self.saved = Saved(store, self.collections, bus, limits, clock, triggers)
        self._writer = Writer(store, self.collections, limits, clock, self.live.changed)

    async def _ended(self, tenant: str, number: int) -> None:
        await self.live.ended(tenant, number)

    def start(self) -> None:
        """Begin to look for what was saved, and to forget queries that nobody is subscribed to."""
        self.saved.start()
        self.live.start()

    async def close(self) -> None:
        """Write what waits."""
        await self._writer.close()
        await self.saved.close()
        await self.live.close()

    # ── documents ──
    async def put(self, tenant: str, collection: str, id: str, content: Content) -> Written:
        """Put a document in place of what is there.

        Raises:
            NotFound: There is no such collection.
            Invalid, TooLarge: It is no document of it.
            TooMany: There are `limits.search_documents`.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        return _only(await self._writer.write(tenant, collection, [(id, content)]))

    async def remove(self, tenant: str, collection: str, id: str) -> Written:
        """Remove a document; one that is not there is `dropped: "same"`.

        Raises:
            NotFound: There is no such collection.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        return _only(await self._writer.write(tenant, collection, [(id, None)]))

    async def write(
        self, tenant: str, collection: str, given: Sequence[tuple[str, Content | None]]
    ) -> list[Written | ClarionError]:
        """Put documents (None: remove) in this order; what is wrong with one does not keep the others.

        Raises:
            NotFound: There is no such collection.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        return await self._writer.write(tenant, collection, given)

    async def get(self, tenant: str, collection: str, id: str) -> Document:
        """A document, whoever may see it.

        Raises:
            NotFound: There is none.
        """
        kept = await self.collections.find(tenant, collection)
        rows = await self._store.fetch(sql.GET, tenant=tenant, collection=kept.number, id=id)
        if not rows:
            raise NotFound("there is no such document in this collection")
        row = rows[0]
        return Document(
            id,
            _decode(row.data),
            row.version,
            row.off,
            as_datetime(row.changed_ms),
            _decode(row.access),
        )

    # ── asking ──
    async def query(
        self,
        tenant: str,
        collection: str,
        given: Any = None,
        viewer: Viewer = None,
        *,
        whose: Whose = None,
    ) -> Results:
        """A page of what a query finds.

        Args:
            tenant: Whose collection.
            collection: Its name.
            given: A query (see `query`), and beside it `cursor` (`next` of a page), `facets` (fields), `highlight` (true or false).
            viewer: Access tags of whoever asks; None: every document may be seen.
            whose: Who asks (`Principal.key`): their questions are answered one by one. None: it does not matter.

        Raises:
            NotFound: There is no such collection.
            Invalid: It is no query for this collection.
            TooCostly: It took longer than `limits.search_s`.
            Overloaded: Others took all the time there is.
        """
        kept = await self.collections.find(tenant, collection)
        asked, more = _read(given or {}, kept)
        query = seen_by(asked, viewer)
        found = await self._finder.page(kept, query, more.cursor, whose=whose)
        facets: dict[str, list[Count]] = {}
        for field in dict.fromkeys(more.facets):
            counts = await self._finder.counts(kept, query, field, whose=whose)
            facets[field] = [Count(value, count) for value, count in counts]
        items = []
        for hit in found.hits:
            items.append(_document(hit, kept, asked, viewer, wants=more.highlight))
            if more.highlight:  # a long text takes tens of milliseconds
                await asyncio.sleep(0)
        return Results(
            items,
            found.total,
            found.offset,
            next=cursor_behind(found.hits[-1], kept, query) if found.more else UNSET,
            facets=facets if more.facets else UNSET,
        )

    # ── housekeeping ──
    async def purge(self) -> AsyncIterator[int]:
        """Remove the documents of collections that were removed. See `jobs.purging.Slices`."""
        for gone in await self._store.fetch(sql.DELETED, n=SLICE):
            where: dict[str, Param] = {"tenant": gone.tenant, "collection": gone.collection}
            while keys := await self._store.fetch(sql.SOME_OF_DELETED, **where, n=SLICE):
                async with self._store.transaction() as tx:
                    found = await tx.apply(sql.NUMBERS_OF, keys)
                    docs = [sql.Doc(gone.tenant, row.doc) for row in found]
                    await tx.apply(sql.FORGET[self._store.engine], docs)
                    await tx.apply(sql.REMOVE, keys)
                yield len(keys)
            async with self._store.transaction() as tx:
                await tx.execute(saved_sql.FORGET, **where)
                await tx.execute(saved_sql.END, **where)
                await tx.execute(sql.FORGET_CHANGES, **where)
                await tx.execute(sql.REMOVE_COLLECTION, **where)

    async def trim(self) -> AsyncIterator[int]:
        """Remove what the logs need not keep: `limits.search_changes`, `limits.search_changes_s`. See `jobs.purging.Slices`."""
        after = 0
        before = self._clock.now_ms() - int(self._limits.search_changes_s * 1000)
        while some := await self._store.fetch(sql.NEXT_SLICE, after=after, n=SLICE):
            for each in some:
                gone = 1
                while gone:
                    async with self._store.transaction() as tx:
                        gone = await tx.execute(
                            sql.TRIM,
                            tenant=each.tenant,
                            collection=each.collection,
                            slice=SLICE,
                            upto=each.top - self._limits.search_changes,
                            before=before,
                        )
                    yield gone
            after = some[-1].collection


def _read(given: Any, kept: Kept) -> tuple[Query, _More]:
    if not isinstance(given, dict):
        raise Invalid(faults=[Fault("", "expected an object")])
    try:
        more = msgspec.convert({name: given[name] for name in _MORE if name in given}, _More)
    except msgspec.ValidationError as exc:
        raise Invalid(faults=[Fault.of(exc, _More)]) from exc
    for i, field in enumerate(more.facets):
        if field not in kept.collection.facets:
            raise Invalid(faults=[Fault(f"/facets/{i}", "not one of the collection's facets")])
    asked = {name: value for name, value in given.items() if name not in _MORE}
    return parse(asked, kept.fields), more


def _document(hit: Hit, kept: Kept, query: Query, viewer: Viewer, *, wants: bool) -> Document:
    return Document(
        hit.id,
        hit.data,
        hit.version,
        hit.offset,
        as_datetime(hit.changed_ms),
        access=hit.access if viewer is None else UNSET,
        highlights=highlights(hit.data, kept.fields, query) if wants else UNSET,
    )


def _only(outcomes: Sequence[Written | ClarionError]) -> Written:
    (outcome,) = outcomes
    if isinstance(outcome, ClarionError):
        raise outcome
    return outcome
