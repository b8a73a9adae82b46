"""A document as search sees it: checked against its collection's fields, its words with their places."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from clarion.errors import Fault, Invalid, pointer_step
from clarion.features.search.query import FieldType, Value, value_of
from clarion.features.search.text import words

VALUES: Final = 100
"""Values of a field of type keyword."""
WORDS: Final = 20_000
GAP: Final = 100
"""Between the places of two fields' words: no phrase goes across."""


class Prepared(Struct, frozen=True):
    """A document, ready to be compared.

    Args:
        id: Its name in the collection.
        values: Of the fields that are not text: sorted, each once. Numbers and times are floats.
        places: Of each word of its text fields, where it stands.
    """

    id: str
    values: Mapping[str, tuple[Value, ...]]
    places: Mapping[str, Sequence[int]]


def prepare(id: str, data: Mapping[str, Any], fields: Mapping[str, FieldType]) -> Prepared:
    """Check a document and cut its texts into words. Members that are no fields are kept for reading, and not searched.

    Raises:
        Invalid: A field's value is not of its type; the faults point into `data`.
    """
    values: dict[str, tuple[Value, ...]] = {}
    places: dict[str, list[int]] = {}
    place = 0
    for field, kind in fields.items():
        given = data.get(field)
        if given is None:
            continue
        at = f"/data/{pointer_step(field)}"
        if kind != "text":
            listed = given if isinstance(given, list) and kind == "keyword" else [given]
            if len(listed) > VALUES:
                raise Invalid(faults=[Fault(at, f"at most {VALUES} values")])
            values[field] = tuple(sorted({value_of(kind, each, at) for each in listed}))
            continue
        if not isinstance(given, str):
            raise Invalid(faults=[Fault(at, "expected a text")])
        for word in words(given):
            places.setdefault(word, []).append(place)
            place += 1
        place += GAP
        if place > WORDS:
            raise Invalid(faults=[Fault(at, f"at most {WORDS:,} words in a document")])
    return Prepared(id, values, places)
