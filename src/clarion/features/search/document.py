"""A document as search sees it: checked against its collection's fields, its texts cut into words."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from msgspec import Struct

from clarion.errors import Fault, Invalid, pointer_step
from clarion.features.search.query import FieldType, Value, value_of
from clarion.features.search.text import words

VALUES: Final = 100
"""Values of a field of type keyword."""
WORDS: Final = 20_000
ACCESS: Final = ""
"""The field that has a document's access tags; EVERYBODY where it has none. No collection has a field of that name."""
EVERYBODY: Final = ""
WORD_BYTES: Final = 512 * 1024
"""All words of a document together (UTF-8): what PostgreSQL holds in one index entry, and some room."""
_BETWEEN_FIELDS: Final = " \ue000 "


class Prepared(Struct, frozen=True):
    """A document, ready to be compared.

    Args:
        id: Its name in the collection.
        values: Of the fields that are not text: sorted, each once. Numbers and times are floats.
        words: Of its text fields, each once.
        spoken: The same in their order, a space before and behind each; between two fields stands something that is no word.
    """

    id: str
    values: Mapping[str, tuple[Value, ...]]
    words: Mapping[str, None]
    spoken: str


def prepare(
    id: str,
    data: Mapping[str, Any],
    fields: Mapping[str, FieldType],
    access: Sequence[str] = (),
    *,
    texts: bool = True,
) -> Prepared:
    """Check a document and cut its texts into words. Members that are no fields are kept for reading, and not searched.

    Args:
        id: Its name.
        data: What was put.
        fields: Those of its collection.
        access: Its access tags.
        texts: False: only the values are wanted; long texts take most of the time.

    Raises:
        Invalid: A field's value is not of its type; the faults point into `data`.
    """
    values: dict[str, tuple[Value, ...]] = {ACCESS: tuple(sorted({*access})) or (EVERYBODY,)}
    said: list[list[str]] = []
    size = count = 0
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
        if not texts or not (found := words(given)):
            continue
        said.append(found)
        size += sum(len(word.encode("utf-8", "surrogatepass")) for word in found)
        count += len(found)
        if size > WORD_BYTES:
            raise Invalid(
                faults=[Fault(at, f"at most {WORD_BYTES:,} bytes of words in a document")]
            )
        if count > WORDS:
            raise Invalid(faults=[Fault(at, f"at most {WORDS:,} words in a document")])
    spoken = _BETWEEN_FIELDS.join(map(" ".join, said))
    return Prepared(
        id, values, dict.fromkeys(chain.from_iterable(said)), f" {spoken} " if spoken else ""
    )
