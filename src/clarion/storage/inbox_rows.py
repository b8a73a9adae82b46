"""What the statements of inboxes give: heads, and messages with what they say and what their owners did with them."""

from typing import Literal

from msgspec import Struct

Filter = Literal["all", "unread", "pinned", "archived", "snoozed"]
"""all: what is neither archived nor snoozed · unread, pinned: of these the ones not read, and those on top · archived, snoozed: the others."""


class Head(Struct, frozen=True):
    """The newest position of an inbox's log, and how many messages are unread, and how many of these nobody has seen."""

    epoch: str
    top: int
    mark: int
    unread: int
    unseen: int


class MessageRow(Struct, frozen=True):
    """A message with what it says; times are ms since 1970, `data` is the text of a JSON object or ''."""

    seq: int
    id: str
    notification: str
    title: str
    body: str
    data: str
    action_url: str
    created_ms: int
    category: str
    key: str
    expires_ms: int | None
    actions: str
    tags: str
    read_ms: int | None
    archived_ms: int | None
    seen_ms: int | None
    pinned_ms: int | None
    snooze_ms: int | None
    clicked_ms: int | None
    done: str
    done_ms: int | None
    put_off_ms: int | None
    back_ms: int | None


class PageRow(Struct, frozen=True):
    """The head, and one message of the page; `seq` and what follows are None in the only row of an empty page."""

    epoch: str
    top: int
    head_mark: int
    unread: int
    unseen: int
    seq: int | None
    id: str
    notification: str
    title: str
    body: str
    data: str
    action_url: str
    created_ms: int
    category: str
    key: str
    expires_ms: int | None
    actions: str
    tags: str
    read_ms: int | None
    archived_ms: int | None
    seen_ms: int | None
    pinned_ms: int | None
    snooze_ms: int | None
    clicked_ms: int | None
    done: str
    done_ms: int | None
    put_off_ms: int | None
    back_ms: int | None


class ChangeRow(Struct, frozen=True):
    """The head, one entry of the log, and the message that it carries.

    `offset` and what follows are None where the log has nothing newer, `seq` and what follows where no message is carried.
    """

    epoch: str
    top: int
    top_mark: int
    offset: int | None
    mark: int
    prior: int
    event: str
    carries: str
    facts: str
    unread: int
    unseen: int
    seq: int | None
    id: str
    notification: str
    title: str
    body: str
    data: str
    action_url: str
    created_ms: int
    category: str
    key: str
    expires_ms: int | None
    actions: str
    tags: str
