"""What a change does to a topic, decided from the topic's own state and nothing else.

Two shapes are enough for every kind. A **stream** is a log: a change without a key is an entry, and that is all. A **map** is a
state of items by key and the log of its changes: a change with a key sets the item or removes it. A change may have a guard; one
whose guard does not hold is not made. Whoever applies a map's entries in order to the state at some offset has its state at a
later one: that is the promise on which every subscriber relies.

Nothing here waits, stores or knows who subscribes.
"""

from collections.abc import Mapping, MutableMapping
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.topics.stream import MARK_MODULUS, Entry, Position

SET: Final = "set"
REMOVE: Final = "remove"
"""The event of an entry that takes its key out of the state."""
APPEND: Final = "append"
"""The event of an entry whose data is what its key's columns grow by, see `growth`. Every other event with a key sets it to the entry's data."""


class Guard(Struct, frozen=True):
    """What must hold of a key for a change to be made; the five that every store knows.

    none: anything · absent: there is no such item · present: there is one · at: it was last changed by the entry with the offset
    `value` · newer: its version is below `value` (an item without a version, and no item, are older than all).
    """

    kind: Literal["none", "absent", "present", "at", "newer"] = "none"
    value: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0


ANYWAY: Final = Guard()
ABSENT: Final = Guard("absent")
PRESENT: Final = Guard("present")


class Change(Struct, frozen=True, kw_only=True):
    """One change that somebody wants.

    Args:
        event: What happened, for subscribers; with a key `remove` takes the item away, `append` lets it grow, anything else sets it.
        data: A JSON value; with a key, the item's new value, or of an `append` what it grows by.
        item: The item's new value where that is not the data: of an `append`, whose `guard` says which value has grown; or where an item keeps
            more than its subscribers see.
        key: Of the item; None: an entry of a stream.
        guard: What must hold of the key.
        version: The item's version from now on. Kept with `guard=newer(…)`, so that a late write is dropped, after a removal too.
        id: The same id again within five minutes changes nothing and is answered as the first time. '': none.
        expires_ms: When the item goes by itself (ms since 1970); None: never.
        tags: What subscribers may filter by; they stay with the item.
    """

    event: str
    data: Any = None
    key: str | None = None
    guard: Guard = ANYWAY
    version: int = 0
    id: str = ""
    expires_ms: int | None = None
    tags: Mapping[str, str] | None = None
    item: Any | UnsetType = UNSET


class Item(Struct, frozen=True):
    """What a map has under a key. `offset` is of the entry that changed it last."""

    data: Any
    offset: int
    version: int = 0
    expires_ms: int | None = None
    tags: Mapping[str, str] | None = None
    is_gone: bool = False
    """It was removed by a versioned change; what stays is the version, until `expires_ms`."""


State = MutableMapping[str, Item]

Refusal = Literal["duplicate", "guard"]
"""duplicate: its `id` was here before · guard: its guard did not hold."""


class Outcome(Struct, frozen=True):
    """What became of a change.

    Args:
        offset: Of its entry; of the first one's for a duplicate; of the topic's newest entry where the guard did not hold.
        mark: Of that entry.
        refused: None if it was made.
        item: The item that the guard met.
    """

    offset: int
    mark: int
    refused: Refusal | None = None
    item: Item | None = None


def holds(guard: Guard, item: Item | None) -> bool:
    """Say whether a guard allows a change of a key that has this item."""
    is_there = item is not None and not item.is_gone
    match guard.kind:
        case "none":
            return True
        case "absent":
            return not is_there
        case "present":
            return is_there
        case "at":
            return is_there and item is not None and item.offset == guard.value
        case _:
            return item is None or item.version < guard.value


def is_due(item: Item | None, now_ms: int) -> bool:
    """Say whether an item's time is over."""
    return item is not None and item.expires_ms is not None and item.expires_ms <= now_ms


def advance(position: Position, change: Change, item: Item | None, draw: int, now_ms: int) -> Entry:
    """The entry that a change becomes behind a position.

    Args:
        position: The top of the log.
        change: Its guard holds.
        item: What its key has now.
        draw: The mark's random step.
        now_ms: Milliseconds since 1970.
    """
    had = None if item is None else item.tags
    tags = had if change.event == REMOVE and change.tags is None else change.tags
    return Entry(
        position.offset + 1,
        (position.mark + draw) % MARK_MODULUS,
        position.mark,
        change.event,
        change.data,
        key=change.key,
        tags=tags,
        was=had if had != tags else None,
        at_ms=now_ms,
    )


def item_after(change: Change, offset: int, gone_until_ms: int) -> Item | None:
    """What a change with a key leaves under it; None: nothing."""
    if change.event != REMOVE:
        data = change.data if change.item is UNSET else change.item
        return Item(data, offset, change.version, change.expires_ms, change.tags)
    if change.version:
        return Item(None, offset, change.version, gone_until_ms, is_gone=True)
    return None


def removal(key: str) -> Change:
    """The change by which an item goes whose time is over."""
    return Change(event=REMOVE, data={"reason": "expired"}, key=key)
