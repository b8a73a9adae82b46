"""`/v1/presence`: who is in a room, and how users are.

A back end needs a scope; a user, for a room, what their token lists under `topics`, as on a socket.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, Api
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem
from clarion.errors import NotFound
from clarion.features.presence import Presence, UserStatus
from clarion.settings import Limits
from clarion.topics import Reader, Topics

UserName = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")
]


class RoomPath(Struct, frozen=True):
    """Names a room."""

    room: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)",
            max_length=246,
            description="Its name, without `presence:`; a slash in it is written `%2F`",
        ),
    ]


class MembersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which users."""

    after: (
        Annotated[str, Meta(max_length=255, description="Users behind this one; `next` of a page")]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=500, description="Users of a page")] = 500


class MemberInfo(Struct, frozen=True):
    """A user who is there."""

    user: str
    presence: Annotated[
        dict[str, Any],
        Meta(
            description="`{status, since, last_active, devices: {id: {status, device?}}, data?, text?, text_until?}`"
        ),
    ]


class MemberPage(Struct, frozen=True):
    """Users in the order of their ids, and the position that they belong to."""

    room: str
    users: Annotated[int, Meta(description="How many there are in all")]
    epoch: str
    offset: Annotated[int, Meta(description="The `since` of a subscription to `presence:<room>`")]
    mark: int
    items: list[MemberInfo]
    next: Annotated[
        str | UnsetType, Meta(description="`after` of the next page; absent: this is the last one")
    ] = UNSET


class StatusQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """About whom."""

    users: Annotated[list[UserName], Meta(min_length=1, max_length=1_000, description="Their ids")]


class StatusAnswer(Struct, frozen=True):
    """How each of them is, in their order."""

    items: list[UserStatus]


def add(api: Api, presence: Presence, topics: Topics, limits: Limits) -> None:
    """Open the doors of presence."""
    reader = Reader(topics.kinds, limits.name_bytes)

    @api.route(
        "POST",
        "/v1/presence/status",
        right=ByItem("presence:read"),
        limit=PerCaller(),
        errors=READS,
        example=StatusQuestion(users=["ann", "ben"]),
    )
    async def get_status(caller: Principal, body: StatusQuestion) -> StatusAnswer:
        """Ask how users are, up to 1,000 in one call: online or not, on what devices, connected since when, when last active, when last seen.

        Whoever was never here is offline.
        """
        return StatusAnswer(await presence.status(body.users, caller.tenant))

    @api.route(
        "GET",
        "/v1/presence/{room:path}",
        right=ByItem("topics:read"),
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def list_members(caller: Principal, path: RoomPath, query: MembersQuery) -> MemberPage:
        """Page through the users in a room, however many there are.

        Users need `subscribe` on `presence:<room>`.
        """
        name = f"presence:{path.room}"
        if len(name.encode()) > limits.name_bytes:
            raise NotFound("no room has such a long name")
        topic, kind = reader.named(caller, name)
        await kind.admit("subscribe", caller, topic)
        after = "" if query.after is UNSET else query.after
        found = await presence.members(topic.name, topic.tenant, after=after, limit=query.limit)
        at = found.position
        return MemberPage(
            topic.name,
            found.users,
            at.epoch,
            at.offset,
            at.mark,
            [MemberInfo(member.user, member.entry) for member in found.members],
            next=found.members[-1].user if found.more else UNSET,
        )
