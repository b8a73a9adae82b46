"""Events over HTTP, without any I/O: what is told and asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query

PAGE = 1_000


class Tracked(msgspec.Struct, frozen=True):
    """How many events were taken in, and how many of the others were here before; all of it is on disk."""

    taken: int
    repeated: int
    durability: str


class Minute(msgspec.Struct, frozen=True):
    """A minute that began then."""

    at: str
    count: int


class EventNumbers(msgspec.Struct, frozen=True):
    """How often something happened in a window that ends now, how many people did it, and how often a minute."""

    event: str
    within: str
    count: int
    people: int
    per_minute: float
    minutes: list[Minute]


class EventLine(msgspec.Struct, frozen=True):
    """An event of an export; `user` None: without consent, or of nobody. `cursor`: what comes after it is asked for with it."""

    id: str
    user: str | None
    event: str
    properties: dict[str, Any]
    at: str
    received_at: str
    cursor: str


class Lines(Call[list[EventLine]], frozen=True):
    """A call that is answered with a line for each event."""

    def decode(self, content: bytes) -> list[EventLine]:
        """The events."""
        return [msgspec.json.decode(line, type=EventLine) for line in content.splitlines()]


def event_of(
    event: str,
    user: str | None,
    properties: Mapping[str, Any] | None,
    id: str,
    at: datetime | None,
    consent: bool,
) -> dict[str, Any]:
    """One event as the server takes it."""
    given = {
        "event": event,
        "user": user,
        "properties": dict(properties) if properties else None,
        "id": id,
        "at": None if at is None else at.isoformat(),
        "consent": None if consent else False,
    }
    return {name: value for name, value in given.items() if value is not None}


def track(events: Sequence[Mapping[str, Any]]) -> Call[Tracked]:
    """`POST /v1/events`."""
    return Call("POST", "/v1/events", Tracked, {"events": [dict(each) for each in events]})


def names(after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/event-names`."""
    return Call("GET", f"/v1/event-names{query(after=after or None, limit=limit)}", dict)


def numbers(event: str, within: str) -> Call[EventNumbers]:
    """`GET /v1/event-names/{event}`."""
    return Call("GET", f"/v1/{place('event-names', event)}{query(within=within)}", EventNumbers)


def export(user: str | None, after: str) -> Lines:
    """`GET /v1/events`."""
    asked = query(user=user, after=after or None, limit=PAGE)
    return Lines("GET", f"/v1/events{asked}", list)


def forget(user: str) -> Call[dict[str, int]]:
    """`DELETE /v1/users/{id}/events`."""
    return Call("DELETE", f"/v1/{place('users', user)}/events", dict)
