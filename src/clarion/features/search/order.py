"""The order of a query's results: that in which the database gives them, said once more for documents in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from clarion.features.search.document import Prepared
from clarion.features.search.query import FieldType, Query, Value
from clarion.storage.search_questions import Order

Place = tuple[Any, ...]
"""What a document is sorted by; comparable with the places of other documents under the same query."""


def orders(query: Query, fields: Mapping[str, FieldType]) -> list[Order]:
    """What is sorted by, before the ids."""
    found = []
    for given in query.sort:
        field = given.removeprefix("-")
        found.append(Order(field, fields[field] == "keyword", given != field))
    return found


def values_of(document: Prepared, order: Sequence[Order]) -> list[Value | None]:
    """What a document is sorted by, without its id: of a field with several values the first; None: it has none."""
    found = (document.values.get(each.field) for each in order)
    return [values[0] if values else None for values in found]


def place_of(document: Prepared, order: Sequence[Order]) -> Place:
    """Where a document stands. Those without a value are behind the others, whichever way it goes."""
    parts: list[Any] = []
    for value, each in zip(values_of(document, order), order, strict=True):
        if value is None:
            parts.append((1, 0))
        else:
            parts.append((0, _Falling(value) if each.falls else value))
    return (*parts, document.id)


class _Falling:
    """A value that comes after those that are greater."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: "_Falling") -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Falling) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]
