"""Topics in SQL: what has to last. An answer means that the change is on disk.

Whoever holds a topic's head row is alone in it; what a change means is decided by the same pure functions as everywhere
(`draft.py`), and many callers share a transaction (`turns.py`). What is kept no longer is not read any more, and removed later,
in slices.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.errors import Invalid
from clarion.ids import Ids
from clarion.storage import Store
from clarion.storage import topics as sql
from clarion.storage.sql import check_params
from clarion.topics.changes import Change, Item
from clarion.topics.kinds import Read, Topic
from clarion.topics.stores.base import (
    UNBOUNDED,
    Appended,
    Expired,
    Items,
    Keep,
    TopicStore,
)
from clarion.topics.stores.draft import Draft
from clarion.topics.stores.tidying import trim
from clarion.topics.stores.turns import Turns, Wish, item_of, lock, name_of
from clarion.topics.stream import Entry, Position

USED_MS: Final = (
    60_000  # an empty topic is noted as used so often; it is forgotten after 5 minutes at least
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SqlStore(TopicStore):
    """Topics in a database.

    Args:
        store: The database.
        clock: For ages and expiry.
        ids: For epochs and marks.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._turns = Turns(store, clock=clock, ids=ids)
        self._ids = ids

    # ── reading ──
    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each topic, in their order."""
        found = await self._heads(dict.fromkeys(map(name_of, topics)))
        now_ms = self._clock.now_ms()
        todo = [
            name
            for name in dict.fromkeys(map(name_of, topics))
            if name not in found or _needs_note(found[name], now_ms)
        ]
        tops = {name: Position(head.epoch, head.top, head.mark) for name, head in found.items()}
        if todo:
            for used in await self._turns.use(todo):
                tops[todo[used.n - 1]] = Position(used.epoch, used.top, used.mark)
        return [tops[name_of(topic)] for topic in topics]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries with offsets above `after`, in order."""
        tenant, name = name_of(topic)
        rows = await self._store.fetch(
            sql.ENTRIES,
            tenant=tenant,
            topic=name,
            after=after,
            n=limit,
            now_ms=self._clock.now_ms(),
        )
        if not rows:
            return Read(await self._begin(topic), [])
        entries: list[Entry] = []
        for row in rows:
            if row.offset is None:
                break
            # Where the clocks of two nodes differ an entry may be too old before those below it: then so are these.
            if entries and row.offset != entries[-1].offset + 1:
                entries.clear()
            entries.append(_entry(row))
        return Read(Position(rows[0].epoch, rows[0].top, rows[0].top_mark), entries)

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry that was appended before a time."""
        tenant, name = name_of(topic)
        found = await self._store.fetch(sql.BEFORE, tenant=tenant, topic=name, at_ms=at_ms)
        if not found:
            return 0
        row = found[0]
        return max(row.trimmed, row.top - row.keep_size) if row.offset is None else row.offset

    async def items(
        self, topic: Topic, after: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Items:
        """At most `limit` items with keys above `after`, of about `most_bytes`."""
        tenant, name = name_of(topic)
        page: dict[str, Any] = {"after": after, "n": limit + 1, "most": most_bytes}
        rows = await self._store.fetch(sql.ITEMS, tenant=tenant, topic=name, **page)
        if not rows or (rows[0].key is None and _needs_note(rows[0], self._clock.now_ms())):
            return Items(await self._begin(topic), [], False)
        found = [(row.key, item_of(row)) for row in rows if row.key is not None]
        at = Position(rows[0].epoch, rows[0].top, rows[0].mark)
        return Items(at, found[:limit], (rows[0].found or 0) > min(limit, len(found)))

    async def get(self, topic: Topic, keys: Sequence[str]) -> list[Item | None]:
        """The items under these keys."""
        tenant, name = name_of(topic)
        found: dict[str, Item] = {}
        statement = sql.ITEM if len(keys) == 1 else sql.SOME_ITEMS
        for asked in _names(keys):
            for row in await self._store.fetch(statement, tenant=tenant, topic=name, **asked):
                found[row.key] = item_of(row)
        return [found.get(key) for key in keys]

    async def count(self, topic: Topic) -> int:
        """How many items the state has."""
        tenant, name = name_of(topic)
        found = await self._store.fetch(sql.HEAD, tenant=tenant, topic=name)
        return found[0].items if found else 0

    # ── writing ──
    async def append(self, topic: Topic, changes: Sequence[Change], keep: Keep) -> Appended:
        """Make changes, all at one moment.

        Raises:
            Invalid: A text that no database can hold: one with a NUL character, or half of a surrogate pair.
            TypeError: Data that is no JSON.
            TooMany: The state would have more than `keep.keys` items.
            StorageFull, Unavailable, OutcomeUnknown: Of the database.
        """
        size = sum(map(_checked, changes))
        keys = [change.key for change in changes if change.key is not None]
        ids = [change.id for change in changes if change.id]

        def make(draft: Draft) -> Appended:
            return draft.append(changes, keep)

        made: Appended = await self._turns.take(Wish(topic, make, keys, ids, size))
        return made

    async def renew(self, topic: Topic, keys: Sequence[str], expires_ms: int) -> int:
        """Let items that expire do so later."""

        def make(draft: Draft) -> int:
            return draft.renew(keys, expires_ms)

        count: int = await self._turns.take(Wish(topic, make, keys))
        return count

    async def expire(self, limit: int) -> list[Expired]:
        """Remove at most `limit` items whose time is over: whoever locks their topics first does."""
        due = await self._store.fetch(sql.DUE, now_ms=self._clock.now_ms(), n=limit)
        keys: dict[Topic, list[str]] = {}
        for row in due:
            kind, _, name = row.topic.partition(":")
            keys.setdefault(Topic(row.tenant, kind, name), []).append(row.key)
        made = await asyncio.gather(
            *(self._expire(topic, some) for topic, some in keys.items()), return_exceptions=True
        )
        expired = [each for each in made if isinstance(each, Expired) and each.entries]
        failed = [each for each in made if isinstance(each, BaseException)]
        # What was removed must be told; what failed is due again.
        if failed and not expired:
            raise failed[0]
        return expired

    async def _expire(self, topic: Topic, keys: Sequence[str]) -> Expired:
        def make(draft: Draft) -> Expired:
            return Expired(topic, draft.position.epoch, draft.expire(keys))

        expired: Expired = await self._turns.take(Wish(topic, make, keys))
        return expired

    async def trim(self) -> int:
        """Remove what is kept no longer, and topics that nobody has used for that time."""
        return await trim(self._store, self._clock)

    async def clear(self, topic: Topic) -> Position:
        """Forget log and state; the topic goes on in a new epoch."""
        name, epoch = name_of(topic), self._ids.token(9)
        named = {"tenant": name[0], "topic": name[1]}
        async with self._store.transaction() as tx:
            is_there = bool(await lock(tx, [name]))
            if is_there:
                for statement in sql.CLEAR:
                    await tx.execute(statement, **named)
                await tx.execute(sql.RENAME, **named, epoch=epoch, now_ms=self._clock.now_ms())
        return Position(epoch, 0, 0) if is_there else await self._begin(topic)

    async def close(self) -> None:
        """Write what waits. The database stays open."""
        await self._turns.close()

    # ── heads ──
    async def _begin(self, topic: Topic) -> Position:
        """Begin a topic, or note that it is used; returns where it stands."""
        [used] = await self._turns.use([name_of(topic)])
        return Position(used.epoch, used.top, used.mark)

    async def _heads(self, names: dict[tuple[str, str], None]) -> dict[tuple[str, str], sql.Head]:
        by_tenant: dict[str, list[str]] = {}
        for tenant, name in names:
            by_tenant.setdefault(tenant, []).append(name)
        found: dict[tuple[str, str], sql.Head] = {}
        for tenant, some in by_tenant.items():
            if len(some) == 1:
                heads = await self._store.fetch(sql.HEAD, tenant=tenant, topic=some[0])
                found |= {(tenant, head.topic): head for head in heads}
                continue
            for asked in _names(some):
                heads = await self._store.fetch(sql.HEADS, tenant=tenant, **asked)
                found |= {(tenant, head.topic): head for head in heads}
        return found


def _needs_note(head: Any, now_ms: int) -> bool:
    """Whether a topic could be forgotten although somebody looks at it."""
    return bool(head.items == 0 and head.used_ms < now_ms - USED_MS)


def _checked(change: Change) -> int:
    """The bytes of a change that can be written; it is refused here, and not to all who write together."""
    check_params({"event": change.event, "key": change.key, "id": change.id})
    try:
        return len(_encode(change))
    except UnicodeEncodeError as exc:
        raise Invalid("a text has half of a surrogate pair") from exc


def _entry(row: sql.EntryRow) -> Entry:
    assert row.offset is not None
    return Entry(
        row.offset,
        row.mark,
        row.prior,
        row.event,
        _decode(row.data),
        key=row.key,
        tags=None if row.tags is None else _decode(row.tags),
        was=None if row.was is None else _decode(row.was),
        at_ms=row.at_ms,
    )


def _names(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Parameters for a statement about many; a single name goes to the statement about one."""
    for at in range(0, len(names), sql.AT_ONCE):
        some = names[at : at + sql.AT_ONCE]
        fill = 0 if len(names) == 1 else sql.AT_ONCE - len(some)
        yield {f"name_{i}": name for i, name in enumerate([*some, *[""] * fill])}
