"""What subscribers of a stream are told: the log's entries, and what they do to the window of the newest activities. Pure.

Every publication says whether the stream has `more` activities than the window after it:

    added     activity                  it stands where its time puts it
    changed   activity                  whole; its time and its place stay
    removed   id                        of one activity
              entered                   the activity that its leaving lets into the window, whole
    expired   upto {published, id}      every activity up to that one, by time and id
"""

from typing import Any, Final

import msgspec

from clarion.clock import as_datetime
from clarion.features.activity.activity import Stored, activity_of, wire
from clarion.storage.activity import Event

WINDOW: Final = 50
"""Activities of the state; more are a matter of pages."""


def data_of(event: Event, id: str, carried: str, row: Stored, items: int) -> dict[str, Any]:
    """An entry's data as subscribers get it.

    Args:
        event: What happened.
        id: To which activity.
        carried: The id of the activity in the row, '': there is none.
        row: What the entry carries.
        items: Activities that the stream has after it.
    """
    more = {"more": items > WINDOW}
    match event:
        case "added" | "changed":
            return {"activity": wire(activity_of(carried, row)), **more}
        case "removed":
            if not carried:
                return {"id": id, **more}
            return {"id": id, "entered": wire(activity_of(carried, row)), **more}
        case "expired":
            published = msgspec.to_builtins(as_datetime(row.published_ms))
            return {"upto": {"published": published, "id": id}, **more}
