"""`/v1/follows` and `/v1/timeline`: which streams of activities somebody follows, and what these have, merged.

Users do this for themselves; a back end that manages topics lets a user follow, or no longer.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.api.routes.activity import PageQuery, StreamName, StreamPath
from clarion.auth.principal import Principal
from clarion.auth.rights import Right, Self
from clarion.errors import TooMany
from clarion.features.activity import Follow, FollowPage, Timeline, Timelines, sees
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.topics import Reader, Topics

_MANAGE = Right("topics:manage")


class FollowsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which follows."""

    after: (
        Annotated[str, Meta(max_length=255, description="Behind this stream's name")] | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000, description="Follows of a page")] = 100


class UserFollowPath(Struct, frozen=True):
    """Names a user and a stream."""

    id: Annotated[
        str,
        Meta(
            pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
            max_length=255,
            description="The user, percent-encoded",
        ),
    ]
    stream: StreamName


def add(api: Api, timelines: Timelines, topics: Topics, limits: Limits) -> None:
    """Open the doors of follows and timelines."""
    reader = Reader(topics.kinds, limits.name_bytes)

    @api.route(
        "PUT",
        "/v1/follows/{stream:path}",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, TooMany),
    )
    async def follow(caller: Principal, path: StreamPath) -> Follow:
        """Follow a stream that the caller may read.

        Doing it twice changes nothing. All that is in the stream is in the timeline from now on, its past too.
        """
        await reader.find(caller, f"activity:{path.stream}")
        return await timelines.follow(caller.tenant, caller.id, path.stream)

    @api.route(
        "DELETE",
        "/v1/follows/{stream:path}",
        right=Self(),
        limit=PerCaller(),
        status=204,
        errors=WRITES,
    )
    async def unfollow(caller: Principal, path: StreamPath) -> None:
        """Follow a stream no longer: what is in it leaves the timeline. Not following it is no error."""
        await timelines.unfollow(caller.tenant, caller.id, path.stream)

    @api.route("GET", "/v1/follows", right=Self(), limit=PerCaller(), errors=READS)
    async def list_follows(caller: Principal, query: FollowsQuery) -> FollowPage:
        """Page through what the caller follows, in the order of the streams' names."""
        after = "" if query.after is UNSET else query.after
        return await timelines.follows(caller.tenant, caller.id, after, query.limit)

    @api.route("GET", "/v1/timeline", right=Self(), limit=PerCaller(), errors=READS)
    async def get_timeline(caller: Principal, query: PageQuery) -> Timeline:
        """Page through the activities of all that the caller follows, newest first, by time and id.

        Streams that the caller may not read any longer are left out. What is added meanwhile neither shifts nor repeats anything.
        """
        cursor = None if query.cursor is UNSET else query.cursor
        return await timelines.page(
            caller.tenant, caller.id, cursor, query.limit, may_see=sees(caller)
        )

    @api.route(
        "PUT",
        "/v1/users/{id:path}/follows/{stream:path}",
        right=_MANAGE,
        limit=PerCaller(),
        errors=(*WRITES, TooMany),
    )
    async def let_follow(caller: Principal, path: UserFollowPath) -> Follow:
        """Let a user follow a stream.

        They see it in their timeline as long as their token lets them read it. Doing it twice changes nothing.
        """
        reader.named(caller, f"activity:{path.stream}")
        return await timelines.follow(caller.tenant, path.id, path.stream)

    @api.route(
        "DELETE",
        "/v1/users/{id:path}/follows/{stream:path}",
        right=_MANAGE,
        limit=PerCaller(),
        status=204,
        errors=WRITES,
    )
    async def let_unfollow(caller: Principal, path: UserFollowPath) -> None:
        """Let a user follow a stream no longer. Not following it is no error."""
        await timelines.unfollow(caller.tenant, path.id, path.stream)
