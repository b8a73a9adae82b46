"""The timeline of a message: what became of it, when and why. Pure.

    queued → sent → delivered → seen → read → clicked | archived, or an end: failed, bounced, suppressed, cancelled

What is in an inbox may be put off, too: snoozed → returned, and is then seen and read anew.

It never goes backwards. A device may say that a message was shown before the provider's yes is written down: then it had been sent
by that time at the latest, and the timeline says so.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from clarion.clock import as_datetime, maybe_datetime
from clarion.storage.message_events import EventRow
from clarion.storage.sight import AttemptRow, KeptRow, SentRow

ENDS: Final = 30  # rank from which on a life cycle has ended badly; see `notifications.lanes.RANKS`
_EVENTS: Final = {"bounced": "bounced"}


class Moment(Struct, frozen=True):
    """A message came to a status. `cause`: why, or who said so; '' where that goes without saying."""

    status: str
    at: datetime
    cause: str


def of_sent(
    row: SentRow, attempts: Sequence[AttemptRow], events: Sequence[EventRow]
) -> list[Moment]:
    """The timeline of a message of a channel."""
    yes = next((each for each in reversed(attempts) if each.outcome == "sent"), None)
    told = {event.kind: event for event in events}
    cause = f"{yes.provider}: {yes.answer}" if yes is not None and yes.answer else row.provider
    moments: list[tuple[str, int | None, str]] = [
        ("queued", row.created_ms, f"step {row.step}"),
        ("sent", row.sent_ms, cause),
        ("delivered", row.delivered_ms, ""),
        ("seen", row.seen_ms, ""),
        ("read", row.read_ms, ""),
        ("clicked", row.clicked_ms, told["clicked"].detail if "clicked" in told else ""),
    ]
    if row.rank >= ENDS:
        event = told.get(_EVENTS.get(row.status, ""))
        at_ms = event.first_ms if event is not None else row.ended_ms
        moments.append((row.status, at_ms, row.cause))
    return _forward(moments)


def of_kept(row: KeptRow) -> list[Moment]:
    """The timeline of a message of an inbox: made and delivered are one moment. Of several times that it was put off, the last."""
    button = f"button {row.done}" if row.done else ""
    is_first = row.done_ms == row.clicked_ms  # else its link was followed before
    until = maybe_datetime(row.snooze_ms)
    moments: list[tuple[str, int | None, str]] = [
        ("queued", row.created_ms, f"step {row.step}" if row.step else ""),
        ("sent", row.created_ms, ""),
        ("delivered", row.created_ms, "in the inbox"),
        ("snoozed", row.put_off_ms, "" if until is None else f"until {until.isoformat()}"),
        ("returned", row.back_ms, ""),
        ("seen", row.seen_ms, ""),
        ("read", row.read_ms, ""),
        ("clicked", row.clicked_ms, button if is_first else ""),
        ("clicked", None if is_first else row.done_ms, button),
        ("archived", row.archived_ms, ""),
    ]
    # What took an earlier message's place quietly was read before it was made.
    come = [
        (status, max(at_ms, row.created_ms), cause)
        for status, at_ms, cause in moments
        if at_ms is not None
    ]
    # One clock has written them all, and what may be done twice stands where it was done last.
    come.sort(key=lambda moment: moment[1])
    return [Moment(status, as_datetime(at_ms), cause) for status, at_ms, cause in come]


def status_of_sent(row: SentRow) -> str:
    """What became of it last."""
    if row.rank >= ENDS:
        return row.status
    marks = (("clicked", row.clicked_ms), ("read", row.read_ms), ("seen", row.seen_ms))
    return next((status for status, at_ms in marks if at_ms is not None), row.status)


def status_of_kept(row: KeptRow) -> str:
    """What became of it last."""
    marks = (
        ("archived", row.archived_ms),
        ("snoozed", row.snooze_ms),
        ("clicked", row.clicked_ms),
        ("read", row.read_ms),
        ("seen", row.seen_ms),
    )
    return next((status for status, at_ms in marks if at_ms is not None), "delivered")


def _forward(moments: Sequence[tuple[str, int | None, str]]) -> list[Moment]:
    """Those that have come, none later than one that follows it."""
    found: list[Moment] = []
    latest: int | None = None
    for status, at_ms, cause in reversed(moments):
        if at_ms is not None:
            latest = at_ms if latest is None else min(at_ms, latest)
            found.append(Moment(status, as_datetime(latest), cause))
    return found[::-1]
