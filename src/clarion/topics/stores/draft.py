"""A topic while it is being changed, for a store that reads what it needs, decides here, and then writes what came of it.

Pure: what was read goes in (`Draft`), changes are made, what is to be written comes out. The meaning is that of `changes.py`.
"""

from collections.abc import Container, Sequence

import msgspec

from clarion.errors import TooMany
from clarion.ids import Ids
from clarion.telemetry import limit_exceeded
from clarion.topics.changes import (
    REMOVE,
    Change,
    Item,
    Outcome,
    advance,
    holds,
    is_due,
    item_after,
    removal,
)
from clarion.topics.stores.base import Appended, Keep
from clarion.topics.stream import Entry, Position, after


class Draft:
    """One topic, read while nobody else can change it.

    Args:
        position: The top of its log.
        count: Items that it has.
        items: Of these the ones whose keys will be used.
        known: What the ids stand for that will be used, of those that are remembered.
        now_ms: Milliseconds since 1970.
        ids: For marks.
    """

    def __init__(
        self,
        position: Position,
        count: int,
        items: dict[str, Item],
        known: dict[str, Outcome],
        *,
        now_ms: int,
        ids: Ids,
    ) -> None:
        self.position = position
        self.count = count
        self._items = items
        self._known = known
        self._now_ms = now_ms
        self._ids = ids
        # What is to be written.
        self.keep: Keep | None = None
        self.entries: list[Entry] = []
        self.changed: dict[str, Item | None] = {}
        self.remembered: dict[str, Outcome] = {}

    @property
    def has_changed(self) -> bool:
        """Whether there is something to write."""
        return bool(self.entries or self.changed)

    def append(self, changes: Sequence[Change], keep: Keep) -> Appended:
        """Make changes.

        Raises:
            TooMany: The state would have more than `keep.keys` items; nothing was changed.
        """
        check_keys(changes, self._items, self.count, keep)
        self.keep = keep
        begin = len(self.entries)
        outcomes = [self._make(change) for change in changes]
        return Appended(self.position, self.entries[begin:], outcomes)

    def expire(self, keys: Sequence[str]) -> list[Entry]:
        """Remove those of the items whose time is over."""
        begin = len(self.entries)
        for key in keys:
            self._end(key)
        return self.entries[begin:]

    def renew(self, keys: Sequence[str], expires_ms: int) -> int:
        """Let those of the items that expire do so later; returns how many they are."""
        count = 0
        for key in keys:
            item = self._items.get(key)
            if item is None or item.is_gone or item.expires_ms is None:
                continue
            self._put(key, msgspec.structs.replace(item, expires_ms=expires_ms))
            count += 1
        return count

    def _make(self, change: Change) -> Outcome:
        if change.id and (known := self._known.get(change.id)) is not None:
            return msgspec.structs.replace(known, refused="duplicate")
        item = None
        if change.key is not None:
            self._end(change.key)
            item = self._items.get(change.key)
        if not holds(change.guard, item):
            there = None if item is None or item.is_gone else item
            return Outcome(self.position.offset, self.position.mark, "guard", there)
        entry = self._apply(change)
        if change.id:
            made = Outcome(entry.offset, entry.mark)
            self._known[change.id] = self.remembered[change.id] = made
        return Outcome(entry.offset, entry.mark, None, item)

    def _end(self, key: str) -> None:
        """Remove the item if its time is over."""
        item = self._items.get(key)
        if item is None or not is_due(item, self._now_ms):
            return
        if item.is_gone:
            self._put(key, None)
        else:
            self._apply(removal(key))

    def _apply(self, change: Change) -> Entry:
        item = None if change.key is None else self._items.get(change.key)
        entry = advance(self.position, change, item, self._ids.mark(), self._now_ms)
        self.position = after(self.position, entry)
        self.entries.append(entry)
        if change.key is not None:
            age_ms = 0 if self.keep is None else int(self.keep.age_s * 1000)
            self._put(change.key, item_after(change, entry.offset, self._now_ms + age_ms))
        return entry

    def _put(self, key: str, item: Item | None) -> None:
        self.count += (item is not None) - (key in self._items)
        if item is None:
            self._items.pop(key, None)
        else:
            self._items[key] = item
        self.changed[key] = item


def check_keys(changes: Sequence[Change], has: Container[str], count: int, keep: Keep) -> None:
    """Refuse changes after which a state might have more items than it may.

    Raises:
        TooMany: It might.
    """
    new = {
        change.key
        for change in changes
        if change.key is not None and change.event != REMOVE and change.key not in has
    }
    if new and count + len(new) > keep.keys:
        limit_exceeded.labels("topic_keys").inc()
        raise TooMany(f"a topic has at most {keep.keys} keys (limits.topic_keys)", limit=keep.keys)
