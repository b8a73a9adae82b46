"""Asking the database: a query as conditions, its pages, its counts. What is found is what `matching.compile_query` would take, on either engine."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from clarion.errors import Fault, Invalid, NotFound, Overloaded
from clarion.features.search.collections import Kept
from clarion.features.search.document import ACCESS, EVERYBODY, Prepared, prepare
from clarion.features.search.order import orders, place_of, values_of
from clarion.features.search.query import (
    STRANGE,
    AllOf,
    AnyOf,
    Between,
    Clause,
    Exists,
    Has,
    Not,
    Query,
    Value,
    digest,
)
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage.search_questions import CountRow, Order, Question
from clarion.telemetry import limit_exceeded

FACET_VALUES: Final = 50
AT_ONCE: Final = {"sqlite": 1, "postgresql": 4}
"""Queries at the same time: SQLite has two readers, and one is for everybody else."""

# Floats are read by Python: see protocol.jsontext.
_decode = msgspec.json.Decoder(float_hook=float).decode

Viewer = tuple[str, ...] | None
"""The access tags of whoever looks, sorted; None: they may see every document."""
Whose = tuple[str, str, str] | None
"""A caller (`Principal.key`)."""


class Hit(Struct, frozen=True):
    """A document that was found; `access` is for those who may see everything."""

    id: str
    data: dict[str, Any]
    version: int
    offset: int
    changed_ms: int
    access: list[str]
    prepared: Prepared


class Found(Struct, frozen=True):
    """A page of documents in their order, how many there are in all, and where the collection stood."""

    hits: Sequence[Hit]
    total: int
    offset: int
    more: bool


def seen_by(query: Query, viewer: Viewer) -> Query:
    """The query with what its asker may see as one more condition: so it is nowhere forgotten, and two askers share nothing but what both may see."""
    if viewer is None:
        return query
    allowed = Has(ACCESS, tuple(sorted({EVERYBODY, *viewer})))
    return msgspec.structs.replace(query, where=(*query.where, allowed))


class Finder:
    """Asks the store.

    Args:
        store: Has the documents.
        limits: `search_s`.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._turns = asyncio.Semaphore(AT_ONCE[store.engine])
        self._lines: WeakValueDictionary[Whose, asyncio.Lock] = WeakValueDictionary()

    async def page(
        self,
        kept: Kept,
        query: Query,
        cursor: str | None = None,
        *,
        limit: int | None = None,
        whose: Whose = None,
    ) -> Found:
        """A page of what a query finds.

        Args:
            kept: The collection.
            query: With the condition of `seen_by`.
            cursor: `cursor_behind` a document; None: the first page.
            limit: Instead of the query's own.
            whose: Who asks: their questions are answered one by one. None: it does not matter.

        Raises:
            Invalid: The cursor is of another query.
            NotFound: The collection is gone.
            TooCostly: It took longer than `limits.search_s`.
            Overloaded: Others took all the time there is.
        """
        question = self._question(kept, query)
        order = orders(query, kept.fields)
        after = None if cursor is None else _read_cursor(cursor, query, order)
        n = limit or query.limit
        asked = question.page(order, after, n + 1)
        async with self._turn(whose):
            rows = await self._store.fetch(asked, **question.params)
        if not rows:
            raise NotFound("the collection is gone")
        hits = [
            _hit(kept, row.id, row.data, row.access, row.version, row.off, row.changed_ms)
            for row in rows
            if row.id is not None
        ]
        hits.sort(key=lambda hit: place_of(hit.prepared, order))
        return Found(hits[:n], rows[0].total, rows[0].top, len(hits) > n)

    async def counts(
        self, kept: Kept, query: Query, field: str, *, whose: Whose = None
    ) -> list[tuple[Value, int]]:
        """The values of a field that most documents have which a query finds, and of how many they are.

        Raises:
            TooCostly, Overloaded: As `page`.
        """
        question = self._question(kept, query)
        asked = question.counts(field, FACET_VALUES)
        async with self._turn(whose):
            rows = await self._store.fetch(asked, **question.params)
        return [(_value(kept, field, row), row.count) for row in rows]

    @asynccontextmanager
    async def _turn(self, whose: Whose) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._limits.search_s):
                    if whose is not None:
                        await held.enter_async_context(self._line(whose))
                    await held.enter_async_context(self._turns)
            except TimeoutError:
                limit_exceeded.labels("search_s").inc()
                raise Overloaded(
                    "other queries take all the time there is", retry_after_s=1
                ) from None
            yield

    def _line(self, whose: Whose) -> asyncio.Lock:
        """Where a caller's questions wait for each other, so that many of one do not keep the others out."""
        line = self._lines.get(whose)
        if line is None:
            line = self._lines[whose] = asyncio.Lock()
        return line

    def _question(self, kept: Kept, query: Query) -> Question:
        question = Question(self._store.engine, kept.tenant, kept.number, self._limits.search_s)
        for clause in query.where:
            question.require(_condition(question, clause))
        if query.terms:
            whole = [w for term in query.terms if term.kind != "prefix" for w in term.words]
            prefixes = [term.words[0] for term in query.terms if term.kind == "prefix"]
            question.require(question.words(sorted({*whole}), prefixes))
        for term in query.terms:
            if term.kind == "phrase":
                question.require(question.phrase(term.words))
        return question


def cursor_behind(hit: Hit, kept: Kept, query: Query) -> str:
    """Where the page behind a document begins."""
    values = [*values_of(hit.prepared, orders(query, kept.fields)), hit.id]
    body = msgspec.json.encode([digest(query), values])
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def _read_cursor(cursor: str, query: Query, order: Sequence[Order]) -> list[Any]:
    try:
        body = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        whose, values = msgspec.json.decode(body, type=tuple[str, list[str | float | bool | None]])
    except (ValueError, RecursionError) as exc:
        raise _no_cursor() from exc
    # Whoever has a cursor can make another one of it.
    are_texts = [*(each.is_text for each in order), True]
    if whose != digest(query) or len(values) != len(are_texts) or values[-1] is None:
        raise _no_cursor()
    for value, is_text in zip(values, are_texts, strict=True):
        if value is not None and (isinstance(value, str) != is_text or STRANGE.search(str(value))):
            raise _no_cursor()
    return values


def _no_cursor() -> Invalid:
    detail = "expected `next` of a page of the same query"
    return Invalid("this cursor is not of this query", faults=[Fault("/cursor", detail)])


def _condition(question: Question, clause: Clause) -> str:
    match clause:
        case Has(field, values) if field == ACCESS:
            return question.visible([str(value) for value in values if value != EVERYBODY])
        case Has(field, values):
            return question.has(field, values)
        case Between(field, low, high, low_open, high_open):
            return question.between(field, low, high, low_open=low_open, high_open=high_open)
        case Exists(field):
            return question.exists(field)
        case Not(part):
            return question.none_of(_condition(question, part))
        case AnyOf(parts):
            return question.any_of([_condition(question, part) for part in parts])
        case AllOf(parts):
            return question.all_of([_condition(question, part) for part in parts])


def _hit(
    kept: Kept, id: str, data: str, access: str, version: int, offset: int, changed_ms: int
) -> Hit:
    read: Mapping[str, Any] = _decode(data)
    tags = msgspec.json.decode(access, type=list[str])
    prepared = prepare(id, read, kept.fields, tags, texts=False)
    return Hit(id, dict(read), version, offset, changed_ms, tags, prepared)


def _value(kept: Kept, field: str, row: CountRow) -> Value:
    match kept.fields[field]:
        case "keyword":
            return row.txt
        case "bool":
            return row.num == 1
        case _:
            return row.num
