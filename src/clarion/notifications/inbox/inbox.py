"""Everybody's inboxes, whole: pages and counts, and what the rooms beside this one do."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clarion.auth.principal import Principal
from clarion.errors import Fault, Invalid
from clarion.notifications.changes import Event
from clarion.notifications.content import Tag
from clarion.notifications.inbox.many import NEWEST, SEEN_MAX, Many
from clarion.notifications.inbox.snoozing import Snoozing
from clarion.notifications.inbox.telling import Telling
from clarion.notifications.log import LOG_AGE_S, LOG_SIZE, NOTHING, InboxLog
from clarion.notifications.messages import InboxCounts, InboxPage, shown
from clarion.storage import inbox as sql
from clarion.storage.inbox_rows import Filter
from clarion.storage.notifications import FIRST_EPOCH
from clarion.storage.store import Tx
from clarion.topics.publishing import Call, Publish, Published
from clarion.topics.stream import Position

PAGE = 50  # messages of a page, unless asked otherwise
PAGE_MAX = 100


class Seen(Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages have been on the screen: those named, or (None) all, of a category, with a tag, up to a `seq`."""

    ids: (
        Annotated[
            list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=SEEN_MAX)
        ]
        | None
    ) = None
    category: Annotated[str, Meta(max_length=64)] = ""
    tag: Tag = ""
    upto: Annotated[int, Meta(ge=0, le=NEWEST)] = NEWEST

    def __post_init__(self) -> None:
        """Refuse names together with what narrows all."""
        if self.ids is not None and (self.category or self.tag or self.upto < NEWEST):
            raise ValueError("ids name what is meant: neither category, tag nor upto go with them")


class Inbox(Snoozing, Many, Telling):
    """Everybody's inboxes.

    Args:
        store: Where they are.
        engine: Tells subscribers of changes.
        clock: Time of changes.
        ids: For the marks of the logs.
    """

    async def page(
        self,
        caller: Principal,
        cursor: str | None = None,
        limit: int = PAGE,
        filter: Filter = "all",
        category: str = "",
        tag: str = "",
    ) -> InboxPage:
        """Messages of the caller, newest first.

        Args:
            caller: Whose inbox.
            cursor: `next` of the page before; None: the first page.
            limit: Messages of the page, 1 to 100.
            filter: `all`: what is neither archived nor snoozed; `unread`, `pinned`: of these; `archived`, `snoozed`: the others.
            category: Only messages of this; '': of all.
            tag: Only messages with this; '': with any or none.

        Raises:
            Invalid: The cursor is not one of ours, or the limit out of range.
        """
        before = NEWEST if cursor is None else _seq(cursor)
        if not 1 <= limit <= PAGE_MAX:
            raise Invalid(
                f"limit must be 1 to {PAGE_MAX}", faults=[Fault("?limit", f"1 to {PAGE_MAX}")]
            )
        found = await self._store.fetch(
            sql.PAGES[filter],
            tenant=caller.tenant,
            usr=caller.id,
            before=before,
            category=category,
            tag=tag,
            n=limit + 1,
        )
        if not found:
            return InboxPage([], None, 0, 0, NOTHING)
        head = found[0]
        rows = [row for row in found[:limit] if row.seq is not None]
        return InboxPage(
            items=[shown(row) for row in rows],
            next=str(rows[-1].seq) if len(found) > limit else None,
            unread=head.unread,
            unseen=head.unseen,
            position=Position(head.epoch, head.top, head.head_mark),
        )

    async def counts(self, caller: Principal, category: str = "", tag: str = "") -> InboxCounts:
        """How many messages of the caller are unread and unseen: of a category, with a tag, or (both '') of all."""
        found = await self._store.fetch(
            sql.COUNTS, tenant=caller.tenant, usr=caller.id, category=category, tag=tag
        )
        if not found:
            return InboxCounts(0, 0, NOTHING)
        head = found[0]
        return InboxCounts(head.unread, head.unseen, Position(head.epoch, head.top, head.mark))

    async def publish(self, call: Call, given: Publish) -> Published:
        """What a person's client says on its own inbox: `seen {ids?}`; without ids all are meant, or those that `category`, `tag`, `upto` say.

        Raises:
            Invalid: It says anything else.
        """
        assert call.principal is not None, "nobody but a person has an inbox"
        if given.event != "seen" or given.key is not None:
            raise Invalid(faults=[Fault("/event", "an inbox is told what was `seen`")])
        try:
            said = msgspec.convert(given.data or {}, Seen)
        except msgspec.ValidationError as exc:
            raise Invalid(faults=[Fault.of(exc, Seen)]) from exc
        if said.ids is None:
            await self.mark_all(call.principal, "seen", said.category, said.upto, said.tag)
        else:
            await self.mark_seen(call.principal, said.ids)
        [at] = await InboxLog(self._store).top([call.topic])
        return Published(call.topic.wire, at.epoch, at.offset, at.mark, "durable")

    async def note(
        self, tx: Tx, tenant: str, user: str, event: Event, facts: Mapping[str, Any]
    ) -> Awaitable[None]:
        """Write an entry about the user that is of no message; what is returned tells their sockets, after the commit."""
        owner = Principal(id=user, tenant=tenant)
        await tx.execute(sql.ADD_HEAD, tenant=tenant, usr=user, epoch=FIRST_EPOCH)
        [head] = await tx.fetch(sql.LOCK, tenant=tenant, usr=user)
        text = msgspec.json.encode(facts).decode()
        entry = await self._append(
            tx, owner, head, event, text, unread=head.unread, unseen=head.unseen
        )
        return self.announce(tenant, user, head.epoch, entry)

    def trim(self, keep: int | None = None, age_s: int | None = None) -> AsyncIterator[int]:
        """Remove what the logs need not keep: beyond the newest entries, or older than so long. See `jobs.purging.Slices`.

        Args:
            keep: How many; None: 1,000.
            age_s: How old they may get (s); None: 7 days.
        """
        before = self._clock.now_ms() - (LOG_AGE_S if age_s is None else age_s) * 1000
        return sql.LOGS.trim(self._store, keep=LOG_SIZE if keep is None else keep, before_ms=before)


def _seq(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 15):
        raise Invalid(
            "the cursor is not one that a page has given", faults=[Fault("?cursor", "unknown")]
        )
    return int(cursor)
