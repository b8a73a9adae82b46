"""`/v1/inbox`: what the signed-in user was sent."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import Self
from clarion.clock import as_ms
from clarion.errors import Conflict, Fault, Invalid, NotFound
from clarion.notifications import ChangedAll, Inbox, InboxPage, Message
from clarion.notifications.content import Tag
from clarion.notifications.inbox import SEEN_MAX
from clarion.notifications.messages import InboxCounts
from clarion.patterns import worded
from clarion.protocol.jsontext import MAX_SAFE_INTEGER


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
        Literal["all", "unread", "pinned", "archived", "snoozed"],
        Meta(
            description="`all`: neither archived nor snoozed; `unread`, `pinned`: of these; `archived`; `snoozed`"
        ),
    ] = "all"
    category: Annotated[
        str, Meta(max_length=64, description="Only messages of this category; absent: of all")
    ] = ""
    tag: Annotated[
        Tag, Meta(description="Only messages with this tag; absent: with any or none")
    ] = ""


class MessageAction(Struct, frozen=True):
    """What to do with which message."""

    id: Annotated[str, Meta(max_length=64, description="The message's id")]
    action: Annotated[
        Literal[
            "read",
            "unread",
            "archive",
            "unarchive",
            "seen",
            "pin",
            "unpin",
            "unsnooze",
            "clicked",
        ],
        Meta(description="What to do"),
    ]


class MessageId(Struct, frozen=True):
    """Which message."""

    id: Annotated[str, Meta(max_length=64, description="The message's id")]


class MessageButton(Struct, frozen=True):
    """Which button of a message."""

    id: Annotated[str, Meta(max_length=64, description="The message's id")]
    button: Annotated[str, Meta(max_length=64, description="The id of the action, as it was sent")]


class Snooze(Struct, frozen=True, forbid_unknown_fields=True):
    """When it comes back."""

    until: Annotated[datetime, Meta(tz=True, description="Later than now, by 366 days at most")]


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages of what."""

    category: Annotated[str, Meta(max_length=64, description="Only messages of this category")] = ""
    tag: Annotated[Tag, Meta(description="Only messages with this tag")] = ""


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which messages."""

    category: Annotated[str, Meta(max_length=64, description="Only messages of this category")] = ""
    tag: Annotated[Tag, Meta(description="Only messages with this tag")] = ""
    upto: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SAFE_INTEGER,
            description="Only messages up to this `seq`: what came meanwhile stays as it is",
        ),
    ] = MAX_SAFE_INTEGER


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
        page = await inbox.page(
            caller, cursor, query.limit, query.filter, query.category, query.tag
        )
        at = page.position
        # Positions of different users may be equal: a browser's cache must not take one's page for another's.
        vary = {"vary": "authorization"}
        return Reply(page, etag=f'W/"{at.epoch}-{at.offset}-{at.mark}"', headers=vary)

    @api.route("GET", "/v1/inbox-counts", right=Self(), limit=PerCaller(), errors=READS)
    async def count_inbox(caller: Principal, query: About) -> InboxCounts:
        """How many messages of the caller are unread and unseen: of all, of a category, or with a tag."""
        return await inbox.counts(caller, query.category, query.tag)

    # Before the route that takes any word in its place.
    @api.route(
        "POST",
        "/v1/inbox/{id}/snooze",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=Snooze(datetime(2027, 1, 4, 8, tzinfo=UTC)),
    )
    async def snooze_message(caller: Principal, path: MessageId, body: Snooze) -> Message:
        """Put a message of the caller off until a time: then it is back, unread and as the newest."""
        return await inbox.snooze(caller, path.id, as_ms(body.until))

    @api.route(
        "POST",
        "/v1/inbox/{id}/{action}",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
    )
    async def change_message(caller: Principal, path: MessageAction) -> Message:
        """Mark a message of the caller as seen, read, unread or followed, put it away or bring it back, keep it on top or not.

        Doing the same twice changes nothing the second time. The caller's other tabs are told.
        """
        return await inbox.mark(caller, path.id, path.action)

    @api.route(
        "POST",
        "/v1/inbox/{id}/actions/{button}",
        right=Self(),
        limit=PerCaller(),
        errors=(*WRITES, NotFound, Conflict),
    )
    async def press_button(caller: Principal, path: MessageButton) -> Message:
        """Press a button of a message of the caller, which is to follow it: one of them, once. The caller's other tabs are told."""
        return await inbox.press(caller, path.id, path.button)

    @api.route(
        "POST",
        "/v1/inbox/seen",
        right=Self(),
        limit=PerCaller(),
        errors=WRITES,
        example=SeenMessages(["019c3b9e-7a10-7c2e-9f5d-0b1f7f0e9a11"]),
    )
    async def see_messages(caller: Principal, body: SeenMessages, query: Which) -> ChangedAll:
        """Say which messages have been on the screen; that is less than to have read them. Ids that are not theirs are passed over.

        Without `ids` all have been, or, with `category`, `tag` or `upto`, some of them.
        """
        if body.ids is UNSET:
            return await inbox.mark_all(caller, "seen", query.category, query.upto, query.tag)
        if query != Which():
            raise Invalid(faults=[Fault("/ids", "not together with category, tag or upto")])
        return await inbox.mark_seen(caller, body.ids)

    @api.route("POST", "/v1/inbox/{action}", right=Self(), limit=PerCaller(), errors=WRITES)
    async def change_all_messages(caller: Principal, path: InboxAction, query: Which) -> ChangedAll:
        """Mark all messages of the caller as read, or put them all away.

        Messages that are archived or snoozed stay as they are. With `category`, `tag` or `upto` it is some of them: of these a hundred
        are put away with one call, the newest first; `more` says whether there are others.
        """
        return await inbox.mark_all(caller, path.action, query.category, query.upto, query.tag)
