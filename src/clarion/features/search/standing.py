"""One standing query on this node: its window, and the bounded log of what became of it."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from clarion.features.search.collections import Kept
from clarion.features.search.finding import Whose
from clarion.features.search.order import Place, orders
from clarion.features.search.query import Query
from clarion.features.search.window import Event, Row, Window
from clarion.ids import Ids
from clarion.topics.kinds import Read, Topic
from clarion.topics.stream import MARK_MODULUS, Entry, Position, after

LOG_SIZE: Final = 200  # publications
LOG_BYTES: Final = 1 << 20  # of documents in them (JSON)
LOG_AGE_S: Final = 600
WAITING: Final = 1_000  # changes that wait for the window; beyond that it is fetched once more


class Happening(msgspec.Struct, frozen=True):
    """A change of the collection, as far as it concerns one query: where the document stood among its matches, and what match it is now."""

    offset: int
    id: str
    was: Place | None
    now: Row | None


class Standing:
    """A query that is kept true.

    Args:
        topic: Its name.
        kept: The collection.
        query: What it asks, with the condition of who may see what.
        ids: For the epoch and the marks.
        whose: Who has begun it.
    """

    def __init__(
        self, topic: Topic, kept: Kept, query: Query, ids: Ids, whose: Whose = None
    ) -> None:
        self.topic = topic
        self.whose = whose
        self.kept = kept
        self.query = query
        self.order = orders(query, kept.fields)
        self._ids = ids
        self.window = Window(query.limit, [], 0)
        self.position = Position(ids.epoch(), 0, 0)
        # With the sizes of the documents in them.
        self._log: deque[tuple[Entry, int]] = deque()
        self._log_bytes = 0
        # The window is that of the collection at this offset; None: it is being fetched, and what happens meanwhile waits.
        self.fence: int | None = None
        self._waiting: list[Happening] = []
        # Changes up to this one were too many to wait: a window that does not have them is of no use.
        self._missed = 0
        # What subscribers know who have not been told since the window knew too little.
        self._told: tuple[list[Row], int] = ([], 0)

    @property
    def is_behind(self) -> bool:
        """Whether its window has to be fetched."""
        return self.fence is None

    def take(self, happening: Happening, now_ms: int) -> list[Entry]:
        """Follow the collection; returns what subscribers are told. It may be behind then."""
        if self.fence is None:
            if len(self._waiting) == WAITING:
                self._missed = self._waiting[-1].offset
                self._waiting.clear()
            self._waiting.append(happening)
            return []
        if happening.offset <= self.fence:
            return []
        told = self.window.seen, self.window.total
        self.fence = happening.offset
        events = self.window.apply(happening.id, happening.was, happening.now)
        if events is None:
            self._told, self.fence = told, None
            return []
        return self._append(events, now_ms)

    def fall_behind(self) -> None:
        """Changes were lost: the window has to be fetched."""
        if self.fence is not None:
            self._told, self.fence = (self.window.seen, self.window.total), None

    def fetched(self, offset: int, rows: Sequence[Row], total: int, now_ms: int) -> list[Entry]:
        """Go on with a window that was read at an offset of the collection; as `take`. It is behind still if that was before changes that did not wait."""
        if offset < self._missed:
            return []
        entries = self._append(self.window.replace(rows, total, *self._told), now_ms)
        self.fence = offset
        waiting, self._waiting = self._waiting, []
        for happening in waiting:
            entries += self.take(happening, now_ms)
        return entries

    def first(self, offset: int, rows: Sequence[Row], total: int, now_ms: int) -> bool:
        """Begin with a window, as nobody has been told anything yet; False: it was before changes that did not wait."""
        if offset < self._missed:
            return False
        self._told = list(rows[: self.query.limit]), total
        self.fetched(offset, rows, total, now_ms)
        return True

    def read(self, behind: int, limit: int, oldest_ms: int) -> Read:
        """At most `limit` entries behind an offset that are not too old."""
        found = [
            entry for entry, _ in self._log if entry.offset > behind and entry.at_ms >= oldest_ms
        ]
        return Read(self.position, found[:limit])

    def _append(self, events: Sequence[Event], now_ms: int) -> list[Entry]:
        entries = []
        for event, data in events:
            at = self.position
            mark = (at.mark + self._ids.mark()) % MARK_MODULUS
            entry = Entry(at.offset + 1, mark, at.mark, event, data, at_ms=now_ms)
            self.position = after(at, entry)
            self._keep(entry, self.window.seen[data["at"]].shown.size if "at" in data else 0)
            entries.append(entry)
        return entries

    def _keep(self, entry: Entry, size: int) -> None:
        self._log.append((entry, size))
        self._log_bytes += size
        while len(self._log) > LOG_SIZE or self._log_bytes > LOG_BYTES:
            self._log_bytes -= self._log.popleft()[1]
