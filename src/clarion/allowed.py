"""Which values and members a type allows at a place, for faults: whoever has named none of them wants to see them."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from msgspec import inspect


def allowed_at(kind: Any, steps: Sequence[str]) -> list[str]:
    """The values of a choice (`Literal`, `Enum`, the tags of a union), as they are written in JSON.

    Args:
        kind: What the whole is.
        steps: The way into it: names of members, numbers in lists, `...` for any key of an object, and `key` for the key itself.

    Returns:
        Nothing where there is no choice, or no such place.
    """
    found = (value for node in _walk(_type_info(kind), steps) for value in _values(node))
    return list(dict.fromkeys(found))


def members_at(kind: Any, steps: Sequence[str]) -> list[str]:
    """The names of what an object may have there, as they are written in JSON; nothing where there is no such object."""
    objects = (each for each in _walk(_type_info(kind), steps) if not isinstance(each, str))
    return list(
        dict.fromkeys(
            field.encode_name
            for each in objects
            if isinstance(each, inspect.StructType)
            for field in each.fields
        )
    )


def unknown(name: str, known: Iterable[str]) -> str:
    """What to say of a member that nobody knows: which one may have been meant."""
    close = difflib.get_close_matches(name[:64], list(known), n=1)
    return "is not known here" + (f": did you mean '{close[0]}'?" if close else "")


@lru_cache(256)
def _type_info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _walk(node: inspect.Type, steps: Sequence[str]) -> Iterator[inspect.Type | str]:
    """What may be at the end of the way; a tag is the text itself."""
    while isinstance(node, inspect.Metadata):
        node = node.type
    if isinstance(node, inspect.UnionType):
        for each in node.types:
            yield from _walk(each, steps)
        return
    if not steps:
        yield node
        return
    step, rest = steps[0], steps[1:]
    match node:
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
            if step == tag_field and not rest:
                yield str(tag)
            for field in fields:
                if field.encode_name == step:
                    yield from _walk(field.type, rest)
        case inspect.DictType(key_type=key, value_type=value):
            yield from _walk(key if step == "key" else value, rest)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from _walk(item, rest)
        case _:
            return


def _values(node: inspect.Type | str) -> Iterator[str]:
    match node:
        case str():
            yield node
        case inspect.LiteralType(values=values):
            yield from (str(value) for value in values)
        case inspect.EnumType(cls=cls):
            yield from (str(each.value) for each in cls)
        case _:
            return
