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
ACCESS: Final = ""
"""The field that has a document's access tags; EVERYBODY where it has none. No collection has a field of that name."""
EVERYBODY: Final = ""
WORD_BYTES: Final = 512 * 1024
"""All words of a document together (UTF-8): what PostgreSQL holds in one index entry, and some room."""
_BETWEEN_FIELDS: Final = "\ue000"


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

    @property
    def spoken(self) -> str:
        """Its words in their order, a space before and behind each; between two fields stands something that is no word."""
        placed = sorted((place, word) for word, places in self.places.items() for place in places)
        said, last = [""], 0
        for place, word in placed:
            if place > last + 1:
                said.append(_BETWEEN_FIELDS)
            said.append(word)
            last = place
        return " ".join([*said, ""])


def prepare(
    id: str,
    data: Mapping[str, Any],
    fields: Mapping[str, FieldType],
    access: Sequence[str] = (),
) -> Prepared:
    """Check a document and cut its texts into words. Members that are no fields are kept for reading, and not searched.

    Raises:
        Invalid: A field's value is not of its type; the faults point into `data`.
    """
    values: dict[str, tuple[Value, ...]] = {ACCESS: tuple(sorted({*access})) or (EVERYBODY,)}
    places: dict[str, list[int]] = {}
    place = size = 0
    for field, kind in fields.items():
        given = data.get(field)
        if given is None:
            continue
        at = f"/data/{pointer_step(field)}"
        if kind != "text":
            listed = given if isinstance(given, list) and kind == "keyword" else [given]
            if len(listed) > VALUES:
                raise Invalid(faults=[Fault(at, f"at most {VALUES} values")])
            if listed:
                values[field] = tuple(sorted({value_of(kind, each, at) for each in listed}))
            continue
        if not isinstance(given, str):
            raise Invalid(faults=[Fault(at, "expected a text")])
        for word in words(given):
            size += len(word.encode("utf-8", "surrogatepass"))
            places.setdefault(word, []).append(place)
            place += 1
        place += GAP
        if size > WORD_BYTES:
            raise Invalid(
                faults=[Fault(at, f"at most {WORD_BYTES:,} bytes of words in a document")]
            )
        if place > WORDS:
            raise Invalid(faults=[Fault(at, f"at most {WORDS:,} words in a document")])
    return Prepared(id, values, places)
