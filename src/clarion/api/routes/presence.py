"""`/v1/presence`: who is in a room, and how users are.

A back end needs a scope; a user, for a room, what their token lists under `topics`, as on a socket.
"""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.api.routes.emit import UserPath
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem, holds
from clarion.errors import Forbidden, Invalid, NotFound, TooMany
from clarion.features.presence import Presence, UserStatus, Visibility
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.topics import Reader, Topics

READ: Final = "presence:read"
WRITE: Final = "presence:write"

UserName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
    ),
]

After = Annotated[str, Meta(max_length=255, description="Behind this user; `next` of a page")]
Next = Annotated[
    str | UnsetType, Meta(description="`after` of the next page; absent: this is the last one")
]


class RoomPath(Struct, frozen=True):
    """Names a room."""

    room: Annotated[
        str,
        Meta(
            pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
            max_length=246,
            description="Its name, without `presence:`; a slash in it is written `%2F`",
        ),
    ]


class MembersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which users."""

    after: After = ""
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
    next: Next = UNSET


class StatusQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """About whom."""

    users: Annotated[list[UserName], Meta(min_length=1, max_length=1_000, description="Their ids")]
    viewer: (
        Annotated[
            UserName,
            Meta(
                description="The user who is to see it; of back ends: otherwise it is what everyone may see"
            ),
        ]
        | UnsetType
    ) = UNSET
    regardless: Annotated[
        bool,
        Meta(
            description="Whatever users let others see: for decisions, not to be shown; of back ends"
        ),
    ] = False


class StatusAnswer(Struct, frozen=True):
    """How each of them is, in their order."""

    items: list[UserStatus]


class Seeing(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may see that a user is here."""

    visibility: Annotated[
        Visibility,
        Meta(
            description="`contacts`: those whom the user knows. Whom not everyone may see is in no room's list"
        ),
    ]


class ContactsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which contacts."""

    after: After = ""
    limit: Annotated[int, Meta(ge=1, le=1_000, description="Contacts of a page")] = 1_000


class ContactPage(Struct, frozen=True):
    """Ids of users, in their order."""

    items: list[str]
    next: Next = UNSET


class ContactsChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a user knows from now on, and whom no longer."""

    add: Annotated[list[UserName], Meta(max_length=1_000)] = []
    remove: Annotated[list[UserName], Meta(max_length=1_000)] = []


class ContactsNumber(Struct, frozen=True):
    """How many contacts a user has."""

    contacts: int


def add(api: Api, presence: Presence, topics: Topics, limits: Limits) -> None:
    """Open the doors of presence."""
    reader = Reader(topics.kinds, limits.name_bytes)

    @api.route(
        "POST",
        "/v1/presence/status",
        right=ByItem(READ),
        takes_key=False,
        limit=PerCaller(),
        errors=READS,
        example=StatusQuestion(users=["ann", "ben"]),
    )
    async def get_status(caller: Principal, body: StatusQuestion) -> StatusAnswer:
        """Ask how users are, up to 1,000 in one call: online or not, on what devices, connected since when, when last active, when last seen.

        Whoever was never here is offline; so is, for whoever may not see them, who does not want to be seen (`PUT /v1/users/{id}/visibility`). Users
        see what they may themselves; `viewer` and `regardless` need the scope.
        """
        is_trusted = holds(caller.scopes, READ)
        if not is_trusted and (body.viewer is not UNSET or body.regardless):
            raise Forbidden(f"`viewer` and `regardless` need the scope {READ}", scope=READ)
        viewer = None if body.viewer is UNSET else body.viewer
        if caller.kind == "user" and viewer is None:
            viewer = caller.id
        items = await presence.status(
            caller.tenant, body.users, viewer=viewer, regardless=body.regardless
        )
        return StatusAnswer(items)

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
        found = await presence.members(
            topic.name, topic.tenant, after=query.after, limit=query.limit
        )
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

    @api.route(
        "GET",
        "/v1/users/{id:path}/visibility",
        right=ByItem(WRITE),
        limit=PerCaller(),
        errors=READS,
    )
    async def get_visibility(caller: Principal, path: UserPath) -> Seeing:
        """Ask who may see that a user is here: users of themselves, back ends of everybody."""
        _check_own(caller, path.id)
        return Seeing(await presence.people.visibility(caller.tenant, path.id))

    @api.route(
        "PUT",
        "/v1/users/{id:path}/visibility",
        right=ByItem(WRITE),
        limit=PerCaller(),
        errors=WRITES,
        example=Seeing("contacts"),
    )
    async def set_visibility(caller: Principal, path: UserPath, body: Seeing) -> Seeing:
        """Say who may see that a user is here: users of themselves, back ends of everybody.

        It holds at once: whoever may not see them any longer is told that they left. They see themself, always.
        """
        _check_own(caller, path.id)
        await presence.people.choose(caller.tenant, path.id, body.visibility)
        return body

    @api.route(
        "GET",
        "/v1/users/{id:path}/contacts",
        right=ByItem(WRITE),
        limit=PerCaller(),
        errors=READS,
    )
    async def list_contacts(caller: Principal, path: UserPath, query: ContactsQuery) -> ContactPage:
        """Page through a user's contacts: users through their own, back ends through everybody's."""
        _check_own(caller, path.id)
        found = await presence.people.contacts(caller.tenant, path.id, query.after, query.limit + 1)
        more = len(found) > query.limit
        return ContactPage(found[: query.limit], next=found[query.limit - 1] if more else UNSET)

    @api.route(
        "POST",
        "/v1/users/{id:path}/contacts",
        right=ByItem(WRITE),
        limit=PerCaller(),
        errors=(*WRITES, TooMany),
        example=ContactsChange(add=["ben"]),
    )
    async def change_contacts(
        caller: Principal, path: UserPath, body: ContactsChange
    ) -> ContactsNumber:
        """Change whom a user knows: users their own contacts, back ends everybody's.

        A contact is one whom the user follows by the topic `contacts:<user>`, and who sees them if only contacts may. That one knows the other says nothing
        of the reverse. A user has at most `presence.contacts`.
        """
        _check_own(caller, path.id)
        if not body.add and not body.remove:
            raise Invalid("there is nobody to add or to remove")
        number = await presence.people.change_contacts(
            caller.tenant, path.id, body.add, body.remove
        )
        return ContactsNumber(number)


def _check_own(caller: Principal, user: str) -> None:
    if not holds(caller.scopes, WRITE) and caller.id != user:
        raise Forbidden("this is somebody else's", scope=WRITE)
