"""What a person finds in their inbox, as HTTP and sockets show it alike."""

from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clarion.clock import as_datetime, maybe_datetime
from clarion.notifications.content import Button, tags_of
from clarion.topics.stream import Position


class Done(Struct, frozen=True):
    """Which of its buttons the person has pressed."""

    action: str
    at: datetime


class Message(Struct, frozen=True):
    """One message of one person's inbox.

    `seq` orders the messages of an inbox and rises with each one that is added; `id` names the message, `notification_id`
    what it came from, which other recipients share.
    """

    id: str
    seq: int
    notification_id: str
    title: str
    body: str
    data: dict[str, Any] | None
    action_url: str | None
    created_at: datetime
    read_at: datetime | None = None
    archived_at: datetime | None = None
    seen_at: datetime | None = None
    """When it was first on the screen."""
    category: str | UnsetType = UNSET
    """What it is about; absent: nothing that has a name."""
    key: str | UnsetType = UNSET
    """Whose place it takes, and who will take its: a later message of the same key; absent: it stands for itself."""
    expires_at: datetime | UnsetType = UNSET
    """When it goes by itself; absent: never."""
    actions: list[Button] | UnsetType = UNSET
    """Its buttons; absent: it has none."""
    tags: list[str] | UnsetType = UNSET
    """What it is filed under; absent: nothing."""
    done: Done | UnsetType = UNSET
    """Which of them was pressed, once and for all; absent: none yet."""
    pinned_at: datetime | UnsetType = UNSET
    """Since when it is to stay on top; absent: it is not."""
    snoozed_until: datetime | UnsetType = UNSET
    """When it comes back, unread and as the newest; absent: it is not put off."""
    clicked_at: datetime | UnsetType = UNSET
    """When its link was first followed; absent: never."""


class InboxPage(Struct, frozen=True):
    """Messages, newest first, read together with the count of unread ones and the position of the inbox's topic."""

    items: list[Message]
    next: str | None
    """Cursor of the page that follows; null on the last one."""
    unread: int
    unseen: int
    """Of the unread ones those that nobody has had on the screen."""
    position: Position


class InboxCounts(Struct, frozen=True):
    """How many messages are unread, of all or of some, and how many of these nobody has had on the screen; read together with the position."""

    unread: int
    unseen: int
    position: Position


class ChangedAll(Struct, frozen=True):
    """How many messages a change of all of them changed, and how many are unread, and unseen, after it."""

    changed: int
    unread: int
    unseen: int
    more: bool | UnsetType = UNSET
    """True: others are still to be put away, and the same call again takes the next; absent: none are."""


class StoredMessage(Protocol):
    """What the rows that hold a message have in common."""

    @property
    def seq(self) -> int | None: ...  # noqa: D102
    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def notification(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def body(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> str: ...  # noqa: D102
    @property
    def action_url(self) -> str: ...  # noqa: D102
    @property
    def created_ms(self) -> int: ...  # noqa: D102
    @property
    def category(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def expires_ms(self) -> int | None: ...  # noqa: D102
    @property
    def actions(self) -> str: ...  # noqa: D102
    @property
    def tags(self) -> str: ...  # noqa: D102


def message_of(
    row: StoredMessage,
    read_ms: int | None = None,
    archived_ms: int | None = None,
    seen_ms: int | None = None,
    *,
    pinned_ms: int | None = None,
    snooze_ms: int | None = None,
    clicked_ms: int | None = None,
    done: str = "",
    done_ms: int | None = None,
) -> Message:
    """A stored message as it is shown."""
    assert row.seq is not None, "a row without a message"
    return Message(
        id=row.id,
        seq=row.seq,
        notification_id=row.notification,
        title=row.title,
        body=row.body,
        data=msgspec.json.decode(row.data) if row.data else None,
        action_url=row.action_url or None,
        created_at=as_datetime(row.created_ms),
        read_at=maybe_datetime(read_ms),
        archived_at=maybe_datetime(archived_ms),
        seen_at=maybe_datetime(seen_ms),
        category=row.category or UNSET,
        key=row.key or UNSET,
        expires_at=maybe_datetime(row.expires_ms) or UNSET,
        actions=buttons_of(row.actions),
        tags=tags_of(row.tags) or UNSET,
        done=UNSET if done_ms is None else Done(done, as_datetime(done_ms)),
        pinned_at=maybe_datetime(pinned_ms) or UNSET,
        snoozed_until=maybe_datetime(snooze_ms) or UNSET,
        clicked_at=maybe_datetime(clicked_ms) or UNSET,
    )


class StateOfMessage(StoredMessage, Protocol):
    """A row that also has what a person did with it."""

    @property
    def read_ms(self) -> int | None: ...  # noqa: D102
    @property
    def archived_ms(self) -> int | None: ...  # noqa: D102
    @property
    def seen_ms(self) -> int | None: ...  # noqa: D102
    @property
    def pinned_ms(self) -> int | None: ...  # noqa: D102
    @property
    def snooze_ms(self) -> int | None: ...  # noqa: D102
    @property
    def clicked_ms(self) -> int | None: ...  # noqa: D102
    @property
    def done(self) -> str: ...  # noqa: D102
    @property
    def done_ms(self) -> int | None: ...  # noqa: D102


def shown(row: StateOfMessage) -> Message:
    """A stored message with what a person did with it."""
    return message_of(
        row,
        row.read_ms,
        row.archived_ms,
        row.seen_ms,
        pinned_ms=row.pinned_ms,
        snooze_ms=row.snooze_ms,
        clicked_ms=row.clicked_ms,
        done=row.done,
        done_ms=row.done_ms,
    )


def buttons_of(text: str) -> list[Button] | UnsetType:
    """Kept buttons as they are shown."""
    return msgspec.json.decode(text, type=list[Button]) if text else UNSET
