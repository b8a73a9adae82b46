"""What an `append` says: how an item's columns grow, without saying all that they hold.

    {"add": {"t": [1700000002], "v": [[0.5], [17]], "at": 1700000002}, "pop": 1, "drop": 3}

Of each innermost array of `add` the item has one at the same place: its last `pop` values go, those of `add` come behind, then its first
`drop` values go. All these arrays are columns of one table, so one length, one `pop` and one `drop` are true of all. What is no array is
as in a merge patch (RFC 7396): it takes the place of what was there, and null takes it away. Nothing here changes what it is given.
"""

from collections.abc import Mapping
from typing import Any

Growth = Mapping[str, Any]
"""`{add, pop?, drop?}`."""


def growth(add: Mapping[str, Any], pop: int = 0, drop: int = 0) -> dict[str, Any]:
    """As it is written: what is zero is left out."""
    said: dict[str, Any] = {"add": add}
    if pop:
        said["pop"] = pop
    if drop:
        said["drop"] = drop
    return said


def grown(value: Any, by: Growth) -> Any:
    """What an append makes of an item's value."""
    return _grow(value, by["add"], by.get("pop", 0), by.get("drop", 0))


def joined(first: Growth, second: Growth) -> dict[str, Any]:
    """One append that does what two do, one after the other."""
    came, goes = _length(first["add"]), second.get("pop", 0)
    pop = first.get("pop", 0) + max(0, goes - came)
    drop = first.get("drop", 0) + second.get("drop", 0)
    return growth(_join(first["add"], second["add"], min(came, goes)), pop, drop)


def _grow(value: Any, add: Any, pop: int, drop: int) -> Any:
    if isinstance(add, Mapping):
        after = dict(value) if isinstance(value, Mapping) else {}
        for name, more in add.items():
            if more is None:
                after.pop(name, None)
            else:
                after[name] = _grow(after.get(name), more, pop, drop)
        return after
    if not isinstance(add, list):
        return add
    before = value if isinstance(value, list) else []
    if add and isinstance(add[0], list):
        columns = before or [[] for _ in add]
        return [_grow(old, new, pop, drop) for old, new in zip(columns, add, strict=True)]
    return [*before[: len(before) - pop], *add][drop:]


def _join(first: Any, second: Any, cut: int) -> Any:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        both = {
            name: _join(first[name], more, cut) if name in first else more
            for name, more in second.items()
        }
        return {**first, **both}
    if isinstance(first, list) and isinstance(second, list):
        if second and isinstance(second[0], list):
            return [_join(old, new, cut) for old, new in zip(first, second, strict=True)]
        return [*first[: len(first) - cut], *second]
    return second


def _length(add: Any) -> int:
    """Of the columns."""
    if isinstance(add, Mapping):
        return max(map(_length, add.values()), default=0)
    if not isinstance(add, list):
        return 0
    return _length(add[0]) if add and isinstance(add[0], list) else len(add)
