"""`/v1/inbox`: what the signed-in user was sent."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Self
from clarion.errors import NotFound
from clarion.notifications import ChangedAll, Inbox, InboxPage, Message
from clarion.notifications.inbox import SEEN_MAX
from clarion.patterns import worded


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages."""

    cursor: (
        Annotated[
            str,
            Meta(
                pattern=worded(r"^[0-9]{1,15}$(?!\n)", "the `next` of the page before"),
                description="`next` of the page before, as it was given",
            ),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=100, description="Messages of a page")] = 50
    filter: Annotated[
        Literal["all", "unread", "archived"],
        Meta(description="`all`: not archived; `unread`: of these the ones not read; `archived`"),
    ] = "all"


class MessageAction(Struct, frozen=True):
    """What to do with which message."""

    id: Annotated[str, Meta(max_length=64, description="The message's id")]
    action: Annotated[
        Literal["read", "unread", "archive", "unarchive", "seen"], Meta(description="What to do")
    ]


class InboxAction(Struct, frozen=True):
    """What to do with all messages."""

    action: Annotated[Literal["read", "archive"], Meta(description="What to do")]


class SeenMessages(Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages have been on the screen."""

    ids: (
        Annotated[
            list[Annotated[str, Meta(max_length=64)]],
            Meta(min_length=1, max_length=SEEN_MAX, description="Absent: all"),
        ]
        | UnsetType
    ) = UNSET


def add(api: Api, inbox: Inbox) -> None:
    """Open the doors of the inbox."""

    @api.route("GET", "/v1/inbox", right=Self(), limit=PerCaller(), errors=READS)
    async def list_inbox(caller: Principal, query: PageQuery) -> Reply[InboxPage]:
        """The caller's messages, newest first.

        `position` is where the topic `inbox:<user>` stood when the page was read: subscribe with it as `since` to get what
        came after. With If-None-Match an inbox that has not changed is answered 304.
        """
        cursor = None if query.cursor is UNSET else query.cursor
        page = await inbox.page(caller, cursor, query.limit, query.filter)
        at = page.position
        # Positions of different users may be equal: a browser's cache must not take one's page for another's.
        vary = {"vary": "authorization"}
        return Reply(page, etag=f'W/"{at.epoch}-{at.offset}-{at.mark}"', headers=vary)

    @api.route(
        "POST",
        "/v1/inbox/{id}/{action}",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
    )
    async def change_message(caller: Principal, path: MessageAction) -> Message:
        """Mark a message of the caller as seen, read or unread, put it away or bring it back.

        Doing the same twice changes nothing the second time. The caller's other tabs are told.
        """
        return await inbox.mark(caller, path.id, path.action)

    @api.route(
        "POST",
        "/v1/inbox/seen",
        right=Self(),
        limit=PerCaller(),
        errors=WRITES,
        example=SeenMessages(["019c3b9e-7a10-7c2e-9f5d-0b1f7f0e9a11"]),
    )
    async def see_messages(caller: Principal, body: SeenMessages) -> ChangedAll:
        """Say which messages have been on the screen; that is less than to have read them. Ids that are not theirs are passed over."""
        if body.ids is UNSET:
            return await inbox.mark_all(caller, "seen")
        return await inbox.mark_seen(caller, body.ids)

    @api.route("POST", "/v1/inbox/{action}", right=Self(), limit=PerCaller(), errors=WRITES)
    async def change_all_messages(caller: Principal, path: InboxAction) -> ChangedAll:
        """Mark all messages of the caller as read, or put them all away.

        Messages that are archived stay as they are.
        """
        return await inbox.mark_all(caller, path.action)
