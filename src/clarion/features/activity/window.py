"""What the subscribers of something that is kept true know: the newest items, and the bounded log of how they became so.

    state    {items: the 50 newest, more, …}
    added    {item, …}     it stands where its time puts it
    changed  {item, …}     whole, in the place of the one with its id
    removed  {id, …}       of one item
    counted  {…}           no item has changed

Every event has `more` and whatever else the state has, as it is after it. Nothing here waits or knows who subscribes.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.ids import Ids
from clarion.topics.kinds import Read, Snapshot
from clarion.topics.stream import MARK_MODULUS, Entry, Position, after

WINDOW: Final = 50
"""Items that are seen."""
SPARE: Final = 10
"""Items that are known beyond them, so that it is known whether there are more."""
LOG_SIZE: Final = 100  # publications …
LOG_AGE_S: Final = 600  # … and for how long

Place = tuple[int, str]


class Item(Struct, frozen=True):
    """One item: where it stands (time, id), what is shown of it, and a digest of that."""

    place: Place
    shown: Mapping[str, Any]
    digest: int


def item_of(place: Place, shown: Mapping[str, Any]) -> Item:
    """An item."""
    return Item(place, shown, hash(msgspec.json.encode(shown)))


class Newest(Struct, frozen=True):
    """What was read: the newest `WINDOW + SPARE` items or all, newest first, and what the state has besides."""

    items: Sequence[Item]
    counts: Mapping[str, Any]


class Window:
    """What subscribers know. Of items only places and digests are kept: what is shown of them was sent.

    Args:
        ids: For the epoch and the marks.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self.position = Position(ids.epoch(), 0, 0)
        self._log: deque[Entry] = deque(maxlen=LOG_SIZE)
        # Newest first: place → digest. All there are, or the newest `WINDOW + SPARE`.
        self._known: dict[Place, int] = {}
        self._counts: Mapping[str, Any] = {}

    def knows(self, id: str) -> bool:
        """Whether an item of that name is known."""
        return any(place[1] == id for place in self._known)

    @property
    def more(self) -> bool:
        """Whether there are items beyond those that are seen."""
        return len(self._known) > WINDOW

    def replace(self, newest: Newest, now_ms: int) -> list[Entry]:
        """Take what was read; returns what subscribers are told."""
        before, was = self._seen(), (self.more, self._counts)
        self._known = {each.place: each.digest for each in newest.items}
        self._counts = newest.counts
        seen = newest.items[:WINDOW]
        there = {each.place for each in seen}
        entries = [
            self._append("removed", {"id": place[1]}, now_ms)
            for place in before
            if place not in there
        ]
        for each in seen:
            if each.place not in before:
                entries.append(self._append("added", {"item": each.shown}, now_ms))
            elif before[each.place] != self._known[each.place]:
                entries.append(self._append("changed", {"item": each.shown}, now_ms))
        if not entries and was != (self.more, self._counts):
            entries.append(self._append("counted", {}, now_ms))
        return entries

    def put(self, item: Item, now_ms: int) -> list[Entry]:
        """An item is there, new or as before; returns what subscribers are told. The counts are as they were."""
        digest, known = item.digest, self._known.get(item.place)
        if known == digest:
            return []
        if known is not None:
            self._known[item.place] = digest
            is_seen = item.place in self._seen()
            return [self._append("changed", {"item": item.shown}, now_ms)] if is_seen else []
        if len(self._known) >= WINDOW + SPARE and item.place < next(reversed(self._known)):
            return []
        had_more = self.more
        together = {**self._known, item.place: digest}
        places = sorted(together, reverse=True)[: WINDOW + SPARE]
        self._known = {place: together[place] for place in places}
        if item.place in self._seen():
            return [self._append("added", {"item": item.shown}, now_ms)]
        return [] if had_more else [self._append("counted", {}, now_ms)]

    def state(self, newest: Newest) -> Snapshot:
        """The state, of what was just taken."""
        items = [each.shown for each in newest.items[:WINDOW]]
        return Snapshot(self.position, {"items": items, **self._facts()})

    def read(self, behind: int, limit: int, oldest_ms: int) -> Read:
        """At most `limit` entries behind an offset that are not too old."""
        found = [each for each in self._log if each.offset > behind and each.at_ms >= oldest_ms]
        return Read(self.position, found[:limit])

    def _seen(self) -> dict[Place, int]:
        return dict(list(self._known.items())[:WINDOW])

    def _facts(self) -> dict[str, Any]:
        return {"more": self.more, **self._counts}

    def _append(self, event: str, data: Mapping[str, Any], now_ms: int) -> Entry:
        at = self.position
        mark = (at.mark + self._ids.mark()) % MARK_MODULUS
        facts = {**data, **self._facts()}
        entry = Entry(at.offset + 1, mark, at.mark, event, facts, at_ms=now_ms)
        self.position = after(at, entry)
        self._log.append(entry)
        return entry
