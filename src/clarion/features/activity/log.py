"""The log behind the topic `activity:<stream>`, and its state: the newest activities."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from clarion.features.activity.activity import activity_of, wire
from clarion.features.activity.changes import WINDOW, data_of
from clarion.features.activity.viewing import KIND, MayRead
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage import activity as sql
from clarion.topics.kinds import Granted, Kind, Read, Snapshot, Topic
from clarion.topics.names import by_tenant
from clarion.topics.publishing import Call, Publish, Published
from clarion.topics.stream import Entry, Position

NOTHING: Final = Position(sql.FIRST_EPOCH, 0, 0)
"""Of a stream that nobody has ever written to: its log is empty, not lost."""
NEWEST_MS: Final = 2**53 - 1
"""A time behind all others."""


def activity_kind(
    store: Store,
    publish: Callable[[Call, Publish], Awaitable[Published]],
    may_read: MayRead,
    limits: Limits,
) -> Kind:
    """The kind `activity`: who may write, the token says; who may read, the stream, too."""
    return Kind(
        name=KIND,
        rights={"subscribe": may_read, "publish": Granted()},
        log=ActivityLog(store),
        durability="durable",
        log_size=limits.activity_log_size,
        log_age_s=limits.activity_log_days * 86_400,
        publish=publish,
    )


def topic_of(tenant: str, stream: str) -> Topic:
    """A stream as a topic."""
    return Topic(tenant, KIND, stream)


class ActivityLog:
    """Reads what the procedures of this package have written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each stream."""
        found: dict[Topic, Position] = {}
        for tenant, names in by_tenant(topics, sql.TOPS_AT_ONCE):
            asked = {f"stream_{i}": name for i, name in enumerate(names)}
            for row in await self._store.fetch(sql.TOPS, tenant=tenant, **asked):
                found[topic_of(tenant, row.stream)] = Position(row.epoch, row.top, row.mark)
        return [found.get(topic, NOTHING) for topic in topics]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries behind an offset, and the top."""
        rows = await self._store.fetch(
            sql.CHANGES, tenant=topic.tenant, stream=topic.name, after=after, n=limit
        )
        if not rows:
            return Read(NOTHING, [])
        entries = [_entry(row.off, row) for row in rows if row.off is not None]
        return Read(Position(rows[0].epoch, rows[0].top, rows[0].top_mark), entries)

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The window `{items, more}` and its position."""
        rows = await self._store.fetch(
            sql.PAGE,
            tenant=topic.tenant,
            stream=topic.name,
            before_ms=NEWEST_MS,
            before_id="",
            n=WINDOW,
        )
        if not rows:
            return Snapshot(NOTHING, {"items": [], "more": False})
        head = rows[0]
        items = [wire(activity_of(row.id, row)) for row in rows if row.id is not None]
        state: dict[str, Any] = {"items": items, "more": head.items > WINDOW}
        return Snapshot(Position(head.epoch, head.top, head.head_mark), state)


def _entry(offset: int, row: sql.ChangeRow) -> Entry:
    data = data_of(row.event, row.id, row.carried, row, row.items)
    return Entry(offset, row.mark, row.prior, row.event, data, at_ms=row.at_ms)
