"""Whether a document is what a query asks for: the query as a function, made once and called for every change that may concern it."""

from collections.abc import Callable
from typing import Any

from clarion.features.search.document import Prepared
from clarion.features.search.query import AllOf, AnyOf, Between, Clause, Exists, Has, Not, Query
from clarion.features.search.text import Term

Matches = Callable[[Prepared], bool]


def compile_query(query: Query) -> Matches:
    """The query as a function. Its time is linear in the query and, for prefixes and phrases, in the document's words."""
    tests = [*map(_clause, query.where), *map(_term, query.terms)]
    return lambda document: all(test(document) for test in tests)


def _clause(clause: Clause) -> Matches:
    match clause:
        case Has(field, values):
            wanted = frozenset(values)
            return lambda document: not wanted.isdisjoint(document.values.get(field, ()))
        case Between():
            return _between(clause)
        case Exists(field):
            return lambda document: bool(document.values.get(field))
        case Not(part):
            test = _clause(part)
            return lambda document: not test(document)
        case AnyOf(parts):
            tests = list(map(_clause, parts))
            return lambda document: any(test(document) for test in tests)
        case AllOf(parts):
            tests = list(map(_clause, parts))
            return lambda document: all(test(document) for test in tests)


def _between(range: Between) -> Matches:
    field, low, high = range.field, range.low, range.high
    low_open, high_open = range.low_open, range.high_open

    def test(document: Prepared) -> bool:
        for value in document.values.get(field, ()):
            number: Any = value
            above = number > low if low_open else number >= low
            if above and (number < high if high_open else number <= high):
                return True
        return False

    return test


def _term(term: Term) -> Matches:
    first = term.words[0]
    match term.kind:
        case "word":
            return lambda document: first in document.words
        case "prefix":
            return lambda document: any(word.startswith(first) for word in document.words)
        case _:
            said = f" {' '.join(term.words)} "
            return lambda document: first in document.words and said in document.spoken
