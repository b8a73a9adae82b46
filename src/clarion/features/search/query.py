"""Queries: what a collection's documents are, what may be asked of them, and one form for all ways of asking the same.

    {"text": "red shoe*", "where": {"status": "open", "price": {"gte": 10, "lt": 20}}, "sort": ["-created"], "limit": 20}

A query is read once, against the fields of its collection; what comes out is canonical: queries that mean the same are equal, and have the same digest.
Everything in it is bounded, so that no query costs more than its budget before it runs.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.errors import Fault, Invalid, pointer_step
from clarion.features.search.text import Term, parse_text

FieldType = Literal["text", "keyword", "number", "time", "bool"]
"""text: words · keyword: a text, or several, taken whole · number · time: RFC 3339 · bool."""

LIMIT: Final = 100
CLAUSES: Final = 64
DEPTH: Final = 4
SORTS: Final = 3
TEXT_LENGTH: Final = 1_000
VALUE_LENGTH: Final = 512
_RANGE: Final = {"gt", "gte", "lt", "lte"}
_ORDERED: Final = ("number", "time")
# What PostgreSQL has no text for, and what is none (half of a UTF-16 pair).
STRANGE: Final = re.compile("[\x00\ud800-\udfff]")

Value = str | float | bool


class Has(Struct, frozen=True, order=True, tag="has"):
    """The field has one of these values; sorted."""

    field: str
    values: tuple[Value, ...]


class Between(Struct, frozen=True, order=True, tag="between"):
    """The field is in a range; bounds as numbers, of a time in ms since 1970. `(low, high)`, open where `*_open`."""

    field: str
    low: float
    high: float
    low_open: bool = False
    high_open: bool = False


class Exists(Struct, frozen=True, order=True, tag="exists"):
    """The field has a value."""

    field: str


class AnyOf(Struct, frozen=True, order=True, tag="any"):
    """One of these holds; sorted."""

    parts: tuple["Clause", ...]


class AllOf(Struct, frozen=True, order=True, tag="all"):
    """All of these hold; sorted."""

    parts: tuple["Clause", ...]


class Not(Struct, frozen=True, order=True, tag="not"):
    """This does not hold."""

    part: "Clause"


Clause = Has | Between | Exists | AnyOf | AllOf | Not


class Query(Struct, frozen=True):
    """A canonical query.

    Args:
        terms: What the text fields must contain, together.
        where: All of these hold.
        sort: Fields, with `-` before those that fall; after them documents are in the order of their ids.
        limit: Documents of the window, or of a page.
    """

    terms: tuple[Term, ...] = ()
    where: tuple[Clause, ...] = ()
    sort: tuple[str, ...] = ()
    limit: int = 20


class _Given(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=TEXT_LENGTH)] = ""
    where: dict[str, Any] = {}
    sort: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=SORTS)] = []
    limit: Annotated[int, Meta(ge=1, le=LIMIT)] = 20


def parse(given: Any, fields: Mapping[str, FieldType]) -> Query:
    """A query as somebody wrote it, in its canonical form.

    Raises:
        Invalid: It is none for these fields; the faults point into it.
    """
    try:
        read = msgspec.convert(given, _Given)
    except msgspec.ValidationError as exc:
        raise Invalid(faults=[Fault.of(exc, _Given)]) from exc
    except UnicodeEncodeError as exc:
        raise Invalid(faults=[Fault("", "half a character")]) from exc
    terms = parse_text(read.text) if read.text.strip() else ()
    if terms and "text" not in fields.values():
        raise Invalid(faults=[Fault("/text", "this collection has no field of type text")])
    return Query(
        terms,
        _Reader(fields).all_of(read.where, "/where", DEPTH),
        tuple(_sort(field, fields, f"/sort/{i}") for i, field in enumerate(read.sort)),
        read.limit,
    )


def digest(query: Query, *more: str) -> str:
    """32 hexadecimal digits that stand for a query, and for whatever else decides about its results."""
    body = msgspec.json.encode([query, list(more)])
    return hashlib.blake2b(body, digest_size=16).hexdigest()


class _Reader:
    """Reads conditions and counts what they cost."""

    def __init__(self, fields: Mapping[str, FieldType]) -> None:
        self._fields = fields
        self._left = CLAUSES

    def all_of(self, given: Any, at: str, depth: int) -> tuple[Clause, ...]:
        if not isinstance(given, dict):
            raise _wrong(at, "expected an object of conditions")
        if depth == 0:
            raise _wrong(at, f"conditions are nested at most {DEPTH} deep")
        found: set[Clause] = set()
        for name, wanted in given.items():
            place = f"{at}/{pointer_step(name)}"
            if name == "any":
                found.add(self._any_of(wanted, place, depth))
            elif name == "not":
                found.add(Not(_joined(self.all_of(wanted, place, depth - 1), place)))
            else:
                found.update(self._condition(name, wanted, place))
        return tuple(_sorted(found))

    def _any_of(self, given: Any, at: str, depth: int) -> Clause:
        if not isinstance(given, list) or not given:
            raise _wrong(at, "expected a list of objects of conditions")
        parts = {
            _joined(self.all_of(each, f"{at}/{i}", depth - 1), f"{at}/{i}")
            for i, each in enumerate(given)
        }
        ordered = _sorted(parts)
        return ordered[0] if len(ordered) == 1 else AnyOf(tuple(ordered))

    def _condition(self, field: str, wanted: Any, at: str) -> list[Clause]:
        kind = self._fields.get(field)
        if kind is None or kind == "text":
            raise _wrong(
                at, "there is no such field" if kind is None else "text is asked for by `text`"
            )
        if not isinstance(wanted, dict):
            return [self._has(field, kind, wanted, at)]
        if not wanted:
            raise _wrong(at, "expected a value, a list of values, or an object of comparisons")
        found: list[Clause] = []
        bounds = {name: value for name, value in wanted.items() if name in _RANGE}
        if bounds:
            found.append(self._between(field, kind, bounds, at))
        for name in wanted.keys() - _RANGE:
            value, place = wanted[name], f"{at}/{pointer_step(name)}"
            if name == "not":
                found.append(Not(self._has(field, kind, value, place)))
            elif name == "exists" and isinstance(value, bool):
                self._count(1, place)
                found.append(Exists(field) if value else Not(Exists(field)))
            else:
                raise _wrong(place, "expected gt, gte, lt, lte, not, or exists with true or false")
        return found

    def _has(self, field: str, kind: FieldType, wanted: Any, at: str) -> Has:
        listed = wanted if isinstance(wanted, list) else [wanted]
        if not listed:
            raise _wrong(at, "expected at least one value")
        self._count(len(listed), at)
        return Has(field, tuple(sorted({value_of(kind, each, at) for each in listed})))

    def _between(self, field: str, kind: FieldType, bounds: Mapping[str, Any], at: str) -> Clause:
        if kind not in _ORDERED:
            raise _wrong(at, f"a field of type {kind} has no order")
        if {"gt", "gte"} <= bounds.keys() or {"lt", "lte"} <= bounds.keys():
            raise _wrong(at, "one lower and one upper bound at most")
        self._count(len(bounds), at)
        low, high = float("-inf"), float("inf")
        for name, value in bounds.items():
            bound = number_of(kind, value, f"{at}/{name}")
            if name in {"gt", "gte"}:
                low = bound
            else:
                high = bound
        return Between(field, low, high, "gt" in bounds, "lt" in bounds)

    def _count(self, clauses: int, at: str) -> None:
        self._left -= clauses
        if self._left < 0:
            raise _wrong(at, f"a query has at most {CLAUSES} conditions and values")


def value_of(kind: FieldType, given: Any, at: str) -> Value:
    """A value of a field as it is compared.

    Raises:
        Invalid: It is none of that type.
    """
    match kind:
        case "keyword":
            if not isinstance(given, str) or len(given) > VALUE_LENGTH:
                raise _wrong(at, f"expected a text of at most {VALUE_LENGTH} characters")
            if STRANGE.search(given):
                raise _wrong(at, "a text may not contain U+0000 nor half a character")
            return given
        case "bool":
            if isinstance(given, bool):
                return given
            raise _wrong(at, "expected true or false")
        case _:
            return number_of(kind, given, at)


def number_of(kind: FieldType, given: Any, at: str) -> float:
    """A number, or a time as ms since 1970, as a float: exact up to 2^53.

    Raises:
        Invalid: It is neither.
    """
    if kind == "number":
        if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 2**1023:
            return float(given) + 0.0  # -0.0 is 0.0
        raise _wrong(at, "expected a number")
    try:
        at_time = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise _wrong(at, "expected a time as in RFC 3339") from None
    if at_time.tzinfo is None:
        raise _wrong(at, "a time needs its offset, such as Z")
    return float(round(at_time.timestamp() * 1000))


def _sort(given: str, fields: Mapping[str, FieldType], at: str) -> str:
    kind = fields.get(given.removeprefix("-"))
    if kind is None or kind == "text":
        raise _wrong(at, "there is no such field that has an order")
    return given


def _joined(parts: tuple[Clause, ...], at: str) -> Clause:
    if not parts:
        raise _wrong(at, "expected at least one condition")
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _sorted(parts: set[Clause]) -> list[Clause]:
    # Of different types and with values of different types: by what they are written as.
    return sorted(parts, key=msgspec.json.encode)


def _wrong(at: str, detail: str) -> Invalid:
    return Invalid("this is not a query for this collection", faults=[Fault(at, detail)])
