"""Standing queries, and which of them a document may concern: search the other way round.

A query can only match a document that has everything the query requires. It is filed under one thing that it requires, the one under which
fewest are filed already; a document is looked up under all that it has, and only the queries found there are compared. So the cost of a change follows
the queries that may match, not those that exist. A query that requires nothing that can be looked up is compared always; there may be so many of these.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from clarion.errors import TooMany
from clarion.features.search.document import ACCESS, Prepared
from clarion.features.search.intervals import Intervals
from clarion.features.search.matching import Matches, compile_query
from clarion.features.search.query import AllOf, AnyOf, Between, Clause, Has, Query
from clarion.features.search.text import Term
from clarion.telemetry import limit_exceeded

PREFIX_LENGTH: Final = 8
"""Of a prefix, by which it is filed."""
TURN: Final = 1_000
"""Queries are compared in one go; then others have a turn."""

Key = tuple[str, ...]


class _Standing(Struct):
    matches: Matches
    keys: tuple[Key, ...]
    ranged: str | None
    """Filed by its range of this field."""


class Percolator:
    """The standing queries of one collection.

    Args:
        unselective: So many may require nothing that can be looked up.
    """

    def __init__(self, unselective: int = 1_000) -> None:
        self._unselective = unselective
        self._standing: dict[str, _Standing] = {}
        self._filed: dict[Key, dict[str, None]] = {}
        self._ranges: dict[str, Intervals] = {}
        self._always: dict[str, None] = {}
        # How many prefixes of each length there are: a document is only cut to these.
        self._prefix_lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._standing)

    def check(self, query: Query) -> None:
        """Return if there is room for a query.

        Raises:
            TooMany: It requires nothing, and `unselective` queries of that sort are there.
        """
        is_filed = any(isinstance(part, Between) for part in query.where)
        if not is_filed and next(_required(query), None) is None:
            if len(self._always) >= self._unselective:
                limit_exceeded.labels("search_unselective").inc()
                raise TooMany(
                    "too many standing queries ask for nothing in particular: give one a word or a value",
                    limit=self._unselective,
                )

    def add(self, name: str, query: Query, *, anyway: bool = False) -> None:
        """File a query under a name that has none.

        Raises:
            TooMany: See `check`; not with `anyway`.
        """
        if not anyway:
            self.check(query)
        alternatives = min((list(each) for each in _required(query)), key=self._crowd, default=None)
        ranged = next((part for part in query.where if isinstance(part, Between)), None)
        standing = _Standing(compile_query(query), (), None)
        if alternatives is not None:
            standing.keys = tuple(dict.fromkeys(alternatives))
            for key in standing.keys:
                self._filed.setdefault(key, {})[name] = None
                self._count_prefix(key, 1)
        elif ranged is not None:
            standing.ranged = ranged.field
            self._ranges.setdefault(ranged.field, Intervals()).add(name, ranged.low, ranged.high)
        else:
            self._always[name] = None
        self._standing[name] = standing

    def remove(self, name: str) -> None:
        """Take a query away."""
        standing = self._standing.pop(name)
        for key in standing.keys:
            del self._filed[key][name]
            self._count_prefix(key, -1)
            if not self._filed[key]:
                del self._filed[key]
        if standing.ranged is not None:
            self._ranges[standing.ranged].remove(name)
            if not self._ranges[standing.ranged]:
                del self._ranges[standing.ranged]
        self._always.pop(name, None)

    @property
    def unselective(self) -> Iterable[str]:
        """The names of the queries that require nothing that can be looked up."""
        return self._always

    async def matching(self, document: Prepared) -> dict[str, None]:
        """The names of the queries that the document matches; others have a turn meanwhile."""
        found: dict[str, None] = {}
        for n, name in enumerate(self.candidates(document), 1):
            if n % TURN == 0:
                await asyncio.sleep(0)
            if self.matches(name, document):
                found[name] = None
        return found

    def matches(self, name: str, document: Prepared) -> bool:
        """Whether the query of that name matches a document; one that is not there matches none."""
        standing = self._standing.get(name)
        return standing is not None and standing.matches(document)

    def candidates(self, document: Prepared) -> dict[str, None]:
        """The names of the queries that a document may match."""
        found: dict[str, None] = dict.fromkeys(self._always)
        for key in self._looked_up(document):
            if (filed := self._filed.get(key)) is not None:
                found.update(filed)
        for field, intervals in self._ranges.items():
            for value in document.values.get(field, ()):
                assert isinstance(value, float), "only numbers and times have ranges"
                found.update(intervals.containing(value))
        return found

    def _looked_up(self, document: Prepared) -> Iterator[Key]:
        for field, values in document.values.items():
            for value in values:
                yield "value", field, repr(value)
        for word in document.words:
            yield "word", word
        if self._prefix_lengths:
            cut = {
                word[:n] for word in document.words for n in self._prefix_lengths if n <= len(word)
            }
            for prefix in cut:
                yield "prefix", prefix

    def _crowd(self, alternatives: Iterable[Key]) -> int:
        return sum(len(self._filed.get(key, ())) for key in alternatives)

    def _count_prefix(self, key: Key, by: int) -> None:
        if key[0] != "prefix":
            return
        length = len(key[1])
        left = self._prefix_lengths.get(length, 0) + by
        if left:
            self._prefix_lengths[length] = left
        else:
            del self._prefix_lengths[length]


def _required(query: Query) -> Iterator[list[Key]]:
    """Everything that a matching document has: of each list of keys at least one."""
    for term in query.terms:
        yield from _keys_of_term(term)
    for clause in query.where:
        if (keys := _keys_of(clause)) is not None:
            yield keys


def _keys_of_term(term: Term) -> Iterator[list[Key]]:
    if term.kind == "prefix":
        yield [("prefix", term.words[0][:PREFIX_LENGTH])]
    else:
        for word in term.words:
            yield [("word", word)]


def _keys_of(clause: Clause) -> list[Key] | None:
    """Keys of which a matching document has one; None: that cannot be said."""
    match clause:
        case Has(field) if field == ACCESS:
            return None  # nearly everything has it
        case Has(field, values):
            return [("value", field, repr(value)) for value in values]
        case AllOf(parts):
            return min(
                (keys for part in parts if (keys := _keys_of(part)) is not None),
                key=len,
                default=None,
            )
        case AnyOf(parts):
            found = [_keys_of(part) for part in parts]
            if any(keys is None for keys in found):
                return None
            return [key for keys in found if keys is not None for key in keys]
        case _:
            return None
