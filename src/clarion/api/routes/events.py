"""`/v1/events`: what people did, told, counted, exported and forgotten."""

from typing import Annotated
from urllib.parse import quote

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller, PerItem
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem, Right
from clarion.errors import TooCostly, TooLarge
from clarion.notifications.events.events import SCOPE, Event, Events, Tracked, TrackEvents, line_of
from clarion.notifications.events.numbers import EventNames, EventNumbers, Numbers
from clarion.patterns import worded

NDJSON = "application/x-ndjson"
_READ = Right("events:read")


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events."""

    user: Annotated[str, Meta(max_length=128, description="Only of this person")] = ""
    after: Annotated[
        str,
        Meta(
            pattern=worded(r"^([0-9]{1,14}:[!-~]{1,200})?$(?!\n)", "the `cursor` of a line"),
            description="Where the page before ended, as `Link` has it",
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=5_000, description="Events of a page")] = 1_000


class NamesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which names."""

    after: Annotated[str, Meta(max_length=100, description="Behind this name")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Names of a page")] = 100


class NamePath(Struct, frozen=True):
    """Names events."""

    event: Annotated[str, Meta(min_length=1, max_length=100)]


class WindowQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which window."""

    within: Annotated[
        str,
        Meta(
            pattern=worded(
                r"^([1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d|[12][0-9]{2}d|3[0-5][0-9]d)$(?!\n)",
                "a span such as 90m, 24h, 30d",
            ),
            description="`30m`, `1h`, `30d`; ends now",
        ),
    ] = "1h"


class PersonPath(Struct, frozen=True):
    """Names a person."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]


class Forgotten(Struct, frozen=True):
    """How many events there were."""

    events: int


def add(api: Api, events: Events, numbers: Numbers) -> None:
    """Open the doors of events."""

    @api.route(
        "POST",
        "/v1/events",
        right=ByItem(SCOPE),
        limit=PerItem("events", 100),
        errors=(*WRITES, TooLarge),
        example=TrackEvents(
            [Event("order.paid", "ann", {"order": "o-17", "total": 120}, "o-17-paid")]
        ),
    )
    async def track_events(caller: Principal, body: TrackEvents) -> Tracked:
        """Tell what people did; on disk when it is answered.

        A signed-in person tells of themself, and of names in `events.from_clients`. An event whose `id` was here before is not
        counted again, so that a call may be repeated.
        """
        return await events.track(caller, body.events)

    @api.route("GET", "/v1/events", right=_READ, limit=PerCaller(), errors=READS, media=(NDJSON,))
    async def export_events(caller: Principal, query: ExportQuery) -> Reply[bytes]:
        """Events in the order in which they came, one on each line. While there are more, the header `Link` leads to the next page."""
        rows, next = await events.export(
            caller.tenant, user=query.user, after=query.after, limit=query.limit
        )
        headers = {}
        if next is not None:
            user = f"&user={quote(query.user, safe='')}" if query.user else ""
            url = f"/v1/events?after={quote(next, safe='')}&limit={query.limit}{user}"
            headers["link"] = f'<{url}>; rel="next"'
        return Reply(b"".join(map(line_of, rows)), headers=headers, media_type=NDJSON)

    @api.route("GET", "/v1/event-names", right=_READ, limit=PerCaller(), errors=READS)
    async def list_event_names(caller: Principal, query: NamesQuery) -> EventNames:
        """What events there are, and how many."""
        return await numbers.names(caller.tenant, query.after, query.limit)

    @api.route(
        "GET", "/v1/event-names/{event}", right=_READ, limit=PerCaller(), errors=(*READS, TooCostly)
    )
    async def get_event_numbers(
        caller: Principal, path: NamePath, query: WindowQuery
    ) -> EventNumbers:
        """How often something happened, how many people did it, and how often a minute."""
        return await numbers.find(caller.tenant, path.event, query.within)

    @api.route(
        "DELETE", "/v1/users/{id}/events", right=Right(SCOPE), limit=PerCaller(), errors=WRITES
    )
    async def forget_events(caller: Principal, path: PersonPath) -> Forgotten:
        """Remove all that is known of what a person did. Counts stay: they name nobody."""
        return Forgotten(await events.forget(caller.tenant, path.id))
