"""Collections: which fields their documents have, of which types, and which of them are counted."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Conflict, Fault, Invalid, NotFound, TooMany
from clarion.features.search.query import FieldType
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.storage import Store, Tx
from clarion.storage import search as sql
from clarion.telemetry import limit_exceeded

FIELDS: Final = 64
FACETS: Final = 16
COLLECTION_NAME: Final = worded(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)",
    "a name: letters, digits, `.`, `_` and `-`, at most 100, the first a letter or digit",
)
TRIES: Final = 3  # of taking the next number: somebody of another tenant may be quicker
_RESERVED: Final = ("any", "not")
_encode = msgspec.json.Encoder().encode

FieldName = Annotated[
    str,
    Meta(pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]{1,64}$(?!\n)", "1 to 64 printable characters")),
]


class Definition(Struct, frozen=True, forbid_unknown_fields=True):
    """What a collection's documents are.

    Args:
        fields: Field → type: `text` (words), `keyword` (a text as a whole, or a list of some), `number`, `time` (RFC 3339), `bool`.
        facets: Fields of type keyword or bool whose values can be counted.
    """

    fields: Annotated[dict[FieldName, FieldType], Meta(min_length=1, max_length=FIELDS)]
    facets: Annotated[list[FieldName], Meta(max_length=FACETS)] = []


class Collection(Struct, frozen=True):
    """A collection.

    Args:
        name: Its name in its tenant.
        fields: Field → type.
        facets: Fields whose values can be counted.
        documents: How many there are.
        offset: Of the newest change.
        created_at: When it was made.
    """

    name: str
    fields: dict[str, FieldType]
    facets: list[str]
    documents: int
    offset: int
    created_at: datetime


class Kept(Struct, frozen=True):
    """A collection as it is stored: whose, and its number among all."""

    tenant: str
    number: int
    collection: Collection

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Field → type."""
        return self.collection.fields


def check(given: Definition) -> None:
    """Refuse what can be no collection.

    Raises:
        Invalid: A field's name means something else in queries, or a facet is no field that has few values.
    """
    for name in given.fields:
        if name in _RESERVED:
            fault = Fault(f"/fields/{name}", "means something else in queries")
            raise Invalid(faults=[fault])
    for i, name in enumerate(given.facets):
        if given.fields.get(name) not in {"keyword", "bool"}:
            fault = Fault(f"/facets/{i}", "expected a field of type keyword or bool")
            raise Invalid(faults=[fault])


Ended = Callable[[str, int], Awaitable[None]]
"""Told, after the commit, which collection of which tenant is no more, by its number."""


class Collections:
    """The collections of every tenant.

    Args:
        store: Where they are.
        limits: `search_collections`.
        clock: Time of their making.
        ended: Told which are no more.
    """

    def __init__(self, store: Store, limits: Limits, clock: Clock, ended: Ended) -> None:
        self._ended = ended
        self._store = store
        self._limits = limits
        self._clock = clock

    async def put(self, tenant: str, name: str, given: Definition) -> Collection:
        """Make a collection, or change one: fields only while it has no documents, facets at any time.

        Raises:
            Invalid: See `check`.
            Conflict: Other fields than those of the documents that are there.
            TooMany: The tenant has `limits.search_collections`.
        """
        check(given)
        facets = list(dict.fromkeys(given.facets))
        for left in reversed(range(TRIES)):
            try:
                async with self._store.transaction() as tx:
                    made, replaced = await self._put(tx, tenant, name, given, facets)
                if replaced is not None:
                    await self._ended(tenant, replaced)
                return made
            except Conflict as exc:
                # Two made a collection at once; a refusal of ours has no cause.
                if not left or exc.__cause__ is None:
                    raise
        raise AssertionError("the last try raises")

    async def find(self, tenant: str, name: str) -> Kept:
        """A collection by its name.

        Raises:
            NotFound: There is none.
        """
        return kept(
            tenant, name, await self._store.fetch(sql.FIND_COLLECTION, tenant=tenant, name=name)
        )

    async def list(self, tenant: str, after: str, limit: int) -> tuple[Sequence[Collection], bool]:
        """Collections in the order of their names, and whether there are more."""
        rows = await self._store.fetch(sql.COLLECTIONS, tenant=tenant, after=after, n=limit + 1)
        return [_collection(row) for row in rows[:limit]], len(rows) > limit

    async def remove(self, tenant: str, name: str) -> None:
        """Remove a collection with all its documents; at once out of sight, its rows go in slices.

        Raises:
            NotFound: There is none.
        """
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            gone = kept(tenant, name, await tx.fetch(sql.LOCK, tenant=tenant, name=name))
            await tx.execute(sql.HIDE_COLLECTION, tenant=tenant, name=name, now_ms=now_ms)
        await self._ended(tenant, gone.number)

    async def _put(
        self, tx: Tx, tenant: str, name: str, given: Definition, facets: Sequence[str]
    ) -> tuple[Collection, int | None]:
        found = await tx.fetch(sql.LOCK, tenant=tenant, name=name)
        now_ms = self._clock.now_ms()
        replaced: int | None = None
        texts = {"fields": _encode(given.fields).decode(), "facets": _encode(facets).decode()}
        if found:
            before = _collection(found[0])
            if before.documents and before.fields != given.fields:
                raise Conflict(
                    "the fields of a collection with documents cannot be changed: make another one, and fill it",
                    current=before.fields,
                )
            if before.fields == given.fields:
                await tx.execute(
                    sql.CHANGE_COLLECTION, tenant=tenant, name=name, facets=texts["facets"]
                )
            else:  # another collection: what was asked of the former one means nothing here
                replaced = found[0].collection
                await tx.execute(sql.HIDE_COLLECTION, tenant=tenant, name=name, now_ms=now_ms)
        if not found:
            count = (await tx.fetch(sql.COUNT_COLLECTIONS, tenant=tenant))[0].number
            if count >= self._limits.search_collections:
                limit_exceeded.labels("search_collections").inc()
                raise TooMany(
                    f"there are {count} collections (limits.search_collections)",
                    limit=self._limits.search_collections,
                )
        if not found or replaced is not None:
            await tx.execute(sql.ADD_COLLECTION, tenant=tenant, name=name, now_ms=now_ms, **texts)
        return _collection((await tx.fetch(sql.LOCK, tenant=tenant, name=name))[0]), replaced


def kept(tenant: str, name: str, rows: Sequence[sql.CollectionRow]) -> Kept:
    """The collection of a row.

    Raises:
        NotFound: There is no row.
    """
    if not rows:
        raise _unknown(name)
    return Kept(tenant, rows[0].collection, _collection(rows[0]))


def _collection(row: sql.CollectionRow) -> Collection:
    return Collection(
        row.name,
        msgspec.json.decode(row.fields, type=dict[str, FieldType]),
        msgspec.json.decode(row.facets, type=list[str]),
        row.documents,
        row.top,
        as_datetime(row.created_ms),
    )


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no collection {name!r}")
