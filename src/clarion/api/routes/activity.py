"""`/v1/activity/{stream}/activities`: who did what to what, newest first.

A back end needs a scope; a user what their token lists for the topic `activity:{stream}`, as on a socket, and is the actor of what they add,
change and remove. The tenant is the credential's.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem
from clarion.errors import NotFound
from clarion.features.activity import Activity, Edit, NewActivity, Page, Streams, Written
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.topics import Reader, Topics

_READ, _PUBLISH = ByItem("topics:read"), ByItem("topics:publish")

StreamName = Annotated[
    str,
    Meta(
        pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
        max_length=246,
        description="The stream, percent-encoded: a slash in it is written `%2F`",
    ),
]


class StreamPath(Struct, frozen=True):
    """Names a stream."""

    stream: StreamName


class ActivityPath(Struct, frozen=True):
    """Names an activity."""

    stream: StreamName
    id: Annotated[
        str,
        Meta(
            pattern=worded(r"^[0-9a-f-]{36}$(?!\n)", "an id, as an answer has it"),
            description="The activity's id",
        ),
    ]


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which activities."""

    cursor: (
        Annotated[
            str,
            Meta(
                pattern=worded(
                    r"^[0-9]{1,15}\.[0-9a-f-]{36}$(?!\n)", "the `next` of the page before"
                ),
                description="`next` of the page before, as it was given",
            ),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=100, description="Activities of a page")] = 50


def add(api: Api, streams: Streams, topics: Topics, limits: Limits) -> None:
    """Open the doors of activity."""
    reader = Reader(topics.kinds, limits.name_bytes)

    async def publisher(caller: Principal, stream: str) -> None:
        topic, kind = reader.named(caller, f"activity:{stream}")
        await kind.admit("publish", caller, topic)

    @api.route(
        "POST",
        "/v1/activity/{stream:path}/activities",
        right=_PUBLISH,
        limit=PerCaller(),
        errors=WRITES,
        example=NewActivity(actor="ann", verb="like", object="photo:17", foreign_id="like-17-ann"),
    )
    async def add_activity(caller: Principal, path: StreamPath, body: NewActivity) -> Written:
        """Add an activity to a stream.

        With a `foreign_id` the call may be repeated: the second time it changes what is there (`event: "changed"`), which keeps its id and its
        time, and what is so already is answered with `dropped: "same"`. Subscribers of `activity:{stream}` are told.
        """
        await publisher(caller, path.stream)
        return await streams.add(caller.tenant, path.stream, body, caller)

    @api.route(
        "GET",
        "/v1/activity/{stream:path}/activities",
        right=_READ,
        limit=PerCaller(),
        errors=READS,
    )
    async def list_activities(caller: Principal, path: StreamPath, query: PageQuery) -> Reply[Page]:
        """Page through a stream, newest first, by time and id: what is added meanwhile neither shifts nor repeats anything.

        `position` is where the topic `activity:{stream}` stood: subscribe with it as `since` to get what came after. With If-None-Match a
        stream that has not changed is answered 304.
        """
        await reader.find(caller, f"activity:{path.stream}")
        cursor = None if query.cursor is UNSET else query.cursor
        page = await streams.page(caller.tenant, path.stream, cursor, query.limit)
        at = page.position
        # Who may read is asked with each call: a browser's cache must not take one caller's page for another's.
        vary = {"vary": "authorization"}
        return Reply(page, etag=f'W/"{at.epoch}-{at.offset}-{at.mark}"', headers=vary)

    @api.route(
        "GET",
        "/v1/activity/{stream:path}/activities/{id}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_activity(caller: Principal, path: ActivityPath) -> Activity:
        """Read an activity."""
        await reader.find(caller, f"activity:{path.stream}")
        return await streams.get(caller.tenant, path.stream, path.id)

    @api.route(
        "PATCH",
        "/v1/activity/{stream:path}/activities/{id}",
        right=_PUBLISH,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=Edit(data={"text": "Better"}),
    )
    async def edit_activity(caller: Principal, path: ActivityPath, body: Edit) -> Written:
        """Say something else in an activity's place.

        What is not named stays; null takes `target` or `data` away. Actor, time and `foreign_id` stay. Open pages are told.
        """
        await publisher(caller, path.stream)
        return await streams.edit(caller.tenant, path.stream, path.id, body, caller)

    @api.route(
        "DELETE",
        "/v1/activity/{stream:path}/activities/{id}",
        right=_PUBLISH,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
    )
    async def remove_activity(caller: Principal, path: ActivityPath) -> Written:
        """Remove an activity; the answer has it once more. Open pages are told."""
        await publisher(caller, path.stream)
        return await streams.remove(caller.tenant, path.stream, path.id, caller)
