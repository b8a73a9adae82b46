"""Names of rooms: what is one, and how several are named."""

from collections.abc import Iterable, Iterator
from typing import Any

from clarion.errors import Invalid
from clarion.protocol.socketio import has_controls

Rooms = str | Iterable[str]
"""A room, or several."""


def flat(rooms: Iterable[Rooms]) -> Iterator[str]:
    """Rooms that were named one by one or in lists, one by one."""
    for room in rooms:
        if isinstance(room, str) or not isinstance(room, Iterable):
            yield room  # what is no room's name is for `check_room` and `chosen` to say
        else:
            yield from room


def chosen(rooms: Iterable[Rooms]) -> Iterator[str]:
    """Rooms to speak to. Raise Invalid for what is none: None or 5 would mean nobody, without a word."""
    for room in flat(rooms):
        if not isinstance(room, str):
            raise Invalid(f"a room's name is text, not {type(room).__name__}")
        yield room


def check_room(name: Any, limit: int) -> None:
    """Raise Invalid unless this can be a room's name."""
    if not isinstance(name, str):
        raise Invalid(f"a room's name is text, not {type(name).__name__}")
    if not name:
        raise Invalid("a room's name is not empty")
    if len(name.encode(errors="replace")) > limit:
        raise Invalid(f"a room's name has at most {limit} bytes (limits.name_bytes)")
    if has_controls(name):
        raise Invalid("a room's name has no control characters")
