"""Merge patches (RFC 7396): the difference of two JSON values, where one can be told by it and is worth telling."""

from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode
_NONE: Final = object()


def merge_patch(before: Any, after: Any) -> dict[str, Any] | None:
    """The patch that makes `after` of `before`; None where there is none, or where it is no smaller than `after` itself.

    There is none unless both are objects, nor where a member becomes null: in a patch that means that it goes.
    """
    patch = _difference(before, after)
    if not isinstance(patch, dict) or not isinstance(before, dict):
        return None
    return patch if len(_encode(patch)) < len(_encode(after)) else None


def _difference(before: Any, after: Any) -> Any:
    """A patch, `after` where that takes its place as a whole, or _NONE where no patch can say it."""
    if not isinstance(after, dict):
        return _NONE if after is None else after
    if not isinstance(before, dict):
        return _NONE if _has_null(after) else after
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name in before and _is_same(before[name], value):
            continue
        found = _difference(before.get(name), value)
        # An object that replaces something else must not be taken for a patch of it; a patch of nothing is that object.
        if found is _NONE:
            return _NONE
        patch[name] = found
    return patch


def _is_same(one: Any, other: Any) -> bool:
    # As JSON: in Python true is 1, and 1 is 1.0.
    return one is other or (one == other and _encode(one) == _encode(other))


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(each is None or _has_null(each) for each in value.values())
    return False
