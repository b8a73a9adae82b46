"""The log behind the topic `inbox:<user>`, and its state: the newest messages that are neither archived nor put off."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from clarion.auth.rights import Self
from clarion.notifications.changes import data_of, wire
from clarion.notifications.messages import message_of, shown
from clarion.storage import inbox as sql
from clarion.storage.notifications import FIRST_EPOCH
from clarion.storage.store import Store
from clarion.topics.kinds import Kind, Read, Snapshot, Topic
from clarion.topics.names import by_tenant
from clarion.topics.publishing import Call, Publish, Published
from clarion.topics.stream import Entry, Position

WINDOW = 50  # messages of the state; more are a matter of pages
LOG_SIZE = 1_000  # entries that a log keeps …
LOG_AGE_S = 7 * 24 * 3600  # … and for how long
# Of a user whom nobody has ever sent anything: their log is empty, not lost.
NOTHING = Position(FIRST_EPOCH, 0, 0)
_NEWEST = 2**53 - 1


def inbox_kind(
    store: Store,
    publish: Callable[[Call, Publish], Awaitable[Published]] | None = None,
    *,
    log_size: int = LOG_SIZE,
    log_age_s: int = LOG_AGE_S,
) -> Kind:
    """The kind `inbox`: everybody may subscribe to their own, and say there what they have seen.

    Args:
        store: Where inboxes are.
        publish: Takes that; None: nobody may.
        log_size: Entries that a log keeps,
        log_age_s: and for how long.
    """
    return Kind(
        name="inbox",
        rights={"subscribe": Self()}
        if publish is None
        else {"subscribe": Self(), "publish": Self()},
        publish=publish,
        log=InboxLog(store),
        durability="durable",
        log_size=log_size,
        log_age_s=log_age_s,
    )


def topic_of(tenant: str, user: str) -> Topic:
    """A user's inbox as a topic."""
    return Topic(tenant, "inbox", user)


class InboxLog:
    """Reads what the procedures of this package have written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each inbox."""
        found: dict[Topic, Position] = {}
        for tenant, names in by_tenant(topics, sql.TOPS_AT_ONCE):
            asked = {f"usr_{i}": name for i, name in enumerate(names)}
            for row in await self._store.fetch(sql.TOPS, tenant=tenant, **asked):
                found[topic_of(tenant, row.usr)] = Position(row.epoch, row.top, row.mark)
        return [found.get(topic, NOTHING) for topic in topics]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries behind an offset, and the top."""
        rows = await self._store.fetch(
            sql.CHANGES, tenant=topic.tenant, usr=topic.name, after=after, n=limit
        )
        if not rows:
            return Read(NOTHING, [])
        entries: list[Entry] = []
        for row in rows:
            if row.offset is None:
                break
            if row.carries and row.seq is None:
                # The message is kept no longer, so neither is what leads up to here.
                entries.clear()
                continue
            carried = message_of(row) if row.carries else None
            if carried is not None and row.event == "added":
                # Where it was put then: it may have been put off since, and come back above.
                carried = msgspec.structs.replace(carried, seq=row.offset)
            data = data_of(row.facts, carried, row.unread, row.unseen)
            entries.append(Entry(row.offset, row.mark, row.prior, row.event, data))
        return Read(Position(rows[0].epoch, rows[0].top, rows[0].top_mark), entries)

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The window `{items, more, unread, unseen}` and its position."""
        rows = await self._store.fetch(
            sql.PAGES["all"],
            tenant=topic.tenant,
            usr=topic.name,
            before=_NEWEST,
            category="",
            tag="",
            n=WINDOW + 1,
        )
        if not rows:
            return Snapshot(NOTHING, {"items": [], "more": False, "unread": 0, "unseen": 0})
        head = rows[0]
        items = [wire(shown(row)) for row in rows[:WINDOW] if row.seq is not None]
        state = {
            "items": items,
            "more": len(rows) > WINDOW,
            "unread": head.unread,
            "unseen": head.unseen,
        }
        return Snapshot(Position(head.epoch, head.top, head.head_mark), state)
