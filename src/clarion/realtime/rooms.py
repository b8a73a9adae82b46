"""Names of rooms: what is one, and how several are named."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from clarion.errors import Invalid

Rooms = str | Iterable[str]
"""A room, or several."""


def flat(rooms: Iterable[Rooms]) -> Iterator[str]:
    """Rooms that were named one by one or in lists, one by one."""
    for room in rooms:
        if isinstance(room, str) or not isinstance(room, Iterable):
            yield room  # what is no room's name is refused where it matters
        else:
            yield from room


def check_room(name: Any, limit: int) -> None:
    """Raise Invalid unless this can be a room's name."""
    if not isinstance(name, str) or not name:
        raise Invalid("a room's name is text, and not empty")
    if len(name.encode(errors="replace")) > limit:
        raise Invalid(f"a room's name has at most {limit} bytes (limits.name_bytes)")
    if not name.isprintable() and _CONTROL.search(name):
        raise Invalid("a room's name has no control characters")


_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
