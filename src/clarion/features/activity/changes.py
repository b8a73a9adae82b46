"""What subscribers of a stream are told: the log's entries, and what they do to the window of the newest activities. Pure.

Every publication says whether the stream has `more` activities than the window after it:

    added     activity                  it stands where its time puts it
    changed   activity                  whole; its time and its place stay
    removed   id                        of one activity
              entered                   the activity that its leaving lets into the window, whole
    expired   upto {published, id}      every activity up to that one, by time and id
"""

from typing import Any, Final, Protocol

import msgspec

from clarion.clock import as_datetime
from clarion.features.activity.activity import Stored, activity_of, wire
from clarion.storage.activity import Event

WINDOW: Final = 50
"""Activities of the state; more are a matter of pages."""


class StoredChange(Stored, Protocol):
    """An entry of the log as it is stored."""

    @property
    def event(self) -> Event: ...  # noqa: D102
    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def carried(self) -> str: ...  # noqa: D102
    @property
    def items(self) -> int: ...  # noqa: D102


def data_of(row: StoredChange) -> dict[str, Any]:
    """An entry's data as subscribers get it."""
    more = {"more": row.items > WINDOW}
    match row.event:
        case "added" | "changed":
            return {"activity": wire(activity_of(row.carried, row)), **more}
        case "removed":
            if not row.carried:
                return {"id": row.id, **more}
            return {"id": row.id, "entered": wire(activity_of(row.carried, row)), **more}
        case "expired":
            published = msgspec.to_builtins(as_datetime(row.published_ms))
            return {"upto": {"published": published, "id": row.id}, **more}
