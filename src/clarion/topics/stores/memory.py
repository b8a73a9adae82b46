"""Topics in this process's memory: a bounded log and a state each. What they hold ends with the process, and their epochs say so."""

import heapq
from base64 import urlsafe_b64encode
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import UNSET

from clarion.clock import Clock
from clarion.errors import StorageFull
from clarion.ids import Ids
from clarion.telemetry import limit_exceeded
from clarion.topics.changes import (
    APPEND,
    Change,
    Item,
    Outcome,
    advance,
    holds,
    is_due,
    item_after,
    removal,
)
from clarion.topics.kinds import Read, Topic
from clarion.topics.stores.base import (
    REMEMBERED,
    REMEMBERED_MS,
    UNBOUNDED,
    Appended,
    Expired,
    Items,
    Keep,
    TopicStore,
)
from clarion.topics.stores.draft import check_keys
from clarion.topics.stream import Entry, Position, after

OVERHEAD: Final = 400  # bytes of an entry or item beyond its data, as measured
OVERHEAD_TOPIC: Final = 1_500  # of a topic
DROPPED: Final = 10_000  # topics that were dropped, of which that is known
BUDGET: Final = 256 << 20
MEASURED: Final = 32  # appends to an item are believed, but for one in so many
_encode = msgspec.json.Encoder().encode


class _Held:
    """One topic. Its log's entries are consecutive up to the position, its items' keys sorted when asked for."""

    __slots__ = ("bytes", "entries", "ids", "items", "keep", "keys", "position", "sizes", "used_ms")

    def __init__(self, epoch: str, now_ms: int) -> None:
        self.position = Position(epoch, 0, 0)
        self.entries: deque[tuple[Entry, int]] = deque()  # with the bytes of each
        self.items: dict[str, Item] = {}
        self.sizes: dict[str, int] = {}  # bytes of each item
        self.keys: list[str] | None = []  # sorted; None: to be sorted again
        self.ids: dict[str, tuple[int, Outcome]] = {}  # when, and what became of it; oldest first
        self.keep = Keep(0, 0.0, 0)
        self.used_ms = now_ms
        self.bytes = 0


class MemoryStore(TopicStore):
    """Topics of one process.

    Args:
        clock: For ages and expiry.
        ids: For epochs and marks.
        budget: Bytes that all topics together may take, about; beyond that appends are refused.
    """

    def __init__(self, *, clock: Clock, ids: Ids, budget: int = BUDGET) -> None:
        self._clock = clock
        self._ids = ids
        self._budget = budget
        self._held: dict[Topic, _Held] = {}
        # How often topics were dropped, the latest last, and what makes epochs of that.
        self._dropped: dict[Topic, int] = {}
        self._secret = ids.token(24).encode()
        self._bytes = 0
        # When an item may be due. One that was changed since is met there, and passed over.
        self._due: list[tuple[int, str, int, Topic]] = []
        self._pushed = 0

    # ── reading ──
    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each topic, in their order."""
        return [self._of(topic).position for topic in topics]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries with offsets above `after`, in order."""
        held = self._of(topic)
        oldest_ms = self._clock.now_ms() - int(held.keep.age_s * 1000)
        first = held.entries[0][0].offset if held.entries else 0
        begin = max(0, after + 1 - first)
        found: list[Entry] = []
        for at in range(begin, len(held.entries)):
            if len(found) == limit:
                break
            entry = held.entries[at][0]
            if entry.at_ms >= oldest_ms:
                found.append(entry)
        return Read(held.position, found)

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry that was appended before a time."""
        held = self._of(topic)
        before = held.position.offset - len(held.entries)
        for entry, _ in reversed(held.entries):
            if entry.at_ms < at_ms:
                return entry.offset
        return before

    async def items(
        self, topic: Topic, after: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Items:
        """At most `limit` items with keys above `after`; they are in memory, so their bytes do not matter here."""
        held = self._of(topic)
        if held.keys is None:
            held.keys = sorted(key for key, item in held.items.items() if not item.is_gone)
        begin = bisect_right(held.keys, after) if after else 0
        some = held.keys[begin : begin + limit]
        items = [(key, held.items[key]) for key in some]
        return Items(held.position, items, begin + limit < len(held.keys))

    async def get(self, topic: Topic, keys: Sequence[str]) -> list[Item | None]:
        """The items under these keys."""
        held = self._of(topic)
        found = [held.items.get(key) for key in keys]
        return [None if item is None or item.is_gone else item for item in found]

    async def count(self, topic: Topic) -> int:
        """How many items the state has."""
        return len(self._of(topic).items)

    # ── writing ──
    async def append(self, topic: Topic, changes: Sequence[Change], keep: Keep) -> Appended:
        """Make changes, all at one moment.

        Raises:
            TooMany: The state would have more than `keep.keys` items.
            StorageFull: All topics together would take more than the budget.
        """
        now_ms = self._clock.now_ms()
        held = self._of(topic)
        self._check(held, changes, keep)
        if topic not in self._held:
            self._held[topic] = held
            self._count(held, OVERHEAD_TOPIC)
        held.keep = keep
        entries: list[Entry] = []
        outcomes = [self._make(topic, held, change, entries, now_ms) for change in changes]
        self._shorten(held, now_ms)
        return Appended(held.position, entries, outcomes)

    async def renew(self, topic: Topic, keys: Sequence[str], expires_ms: int) -> int:
        """Let items that expire do so later."""
        held, count = self._of(topic), 0
        for key in keys:
            item = held.items.get(key)
            if item is None or item.is_gone or item.expires_ms is None:
                continue
            held.items[key] = msgspec.structs.replace(item, expires_ms=expires_ms)
            self._push(topic, key, expires_ms)
            count += 1
        return count

    async def expire(self, limit: int) -> list[Expired]:
        """Remove at most `limit` items whose time is over."""
        now_ms = self._clock.now_ms()
        found: dict[Topic, Expired] = {}
        while limit > 0 and self._due and self._due[0][0] <= now_ms:
            expires_ms, key, _, topic = heapq.heappop(self._due)
            held = self._held.get(topic)
            item = None if held is None else held.items.get(key)
            if held is None or item is None or item.expires_ms != expires_ms:
                continue
            limit -= 1
            if item.is_gone:
                self._forget(held, key)
                continue
            expired = found.setdefault(topic, Expired(topic, held.position.epoch, []))
            self._apply(topic, held, removal(key), expired.entries, now_ms)
            self._shorten(held, now_ms)
        return list(found.values())

    async def trim(self) -> int:
        """Forget what is kept no longer, and topics that nobody has used for that time."""
        now_ms = self._clock.now_ms()
        count = 0
        for topic, held in list(self._held.items()):
            count += self._shorten(held, now_ms)
            idle = now_ms - held.used_ms > max(held.keep.age_s * 1000, REMEMBERED_MS)
            if idle and not held.entries and not held.items:
                self._drop(topic)
        return count

    async def clear(self, topic: Topic) -> Position:
        """Forget log and state; the topic goes on in a new epoch."""
        self._drop(topic)
        return self._of(topic).position

    async def close(self) -> None:
        """Let go of what is held."""
        self._held.clear()
        self._due.clear()
        self._bytes = 0

    # ── one topic ──
    def _of(self, topic: Topic) -> _Held:
        """The topic as it is; nothing is kept of one that nobody has written to, whoever asks for it."""
        now_ms = self._clock.now_ms()
        held = self._held.get(topic)
        if held is None:
            return _Held(self._epoch_of(topic), now_ms)
        held.used_ms = now_ms
        return held

    def _epoch_of(self, topic: Topic) -> str:
        """The epoch in which a topic begins: the same however often it is asked for, another one after it was dropped."""
        what = f"{topic.tenant}|{topic.wire}|{self._dropped.get(topic, 0)}".encode()
        return urlsafe_b64encode(blake2b(what, key=self._secret, digest_size=9).digest()).decode()

    def _drop(self, topic: Topic) -> None:
        if (held := self._held.pop(topic, None)) is not None:
            self._bytes -= held.bytes
        self._dropped[topic] = self._dropped.pop(topic, 0) + 1
        if len(self._dropped) > DROPPED:
            # Forgotten for good, it would begin as before: then marks tell its lives apart.
            del self._dropped[next(iter(self._dropped))]

    def _check(self, held: _Held, changes: Sequence[Change], keep: Keep) -> None:
        check_keys(changes, held.items, len(held.items), keep)
        if self._bytes > self._budget:
            limit_exceeded.labels("topics_bytes").inc()
            raise StorageFull("the topics of this process take all the memory that they may")

    def _make(
        self, topic: Topic, held: _Held, change: Change, entries: list[Entry], now_ms: int
    ) -> Outcome:
        if change.id and (known := self._known(held, change.id, now_ms)) is not None:
            return msgspec.structs.replace(known, refused="duplicate")
        item = None
        if change.key is not None:
            item = held.items.get(change.key)
            if item is not None and is_due(item, now_ms):
                if item.is_gone:
                    self._forget(held, change.key)
                else:
                    self._apply(topic, held, removal(change.key), entries, now_ms)
                item = None
        if not holds(change.guard, item):
            there = None if item is None or item.is_gone else item
            return Outcome(held.position.offset, held.position.mark, "guard", there)
        entry = self._apply(topic, held, change, entries, now_ms)
        outcome = Outcome(entry.offset, entry.mark, None, item)
        if change.id:
            held.ids[change.id] = now_ms, Outcome(entry.offset, entry.mark)
        return outcome

    def _apply(
        self, topic: Topic, held: _Held, change: Change, entries: list[Entry], now_ms: int
    ) -> Entry:
        item = None if change.key is None else held.items.get(change.key)
        entry = advance(held.position, change, item, self._ids.mark(), now_ms)
        size, whole = _sizes(
            change, 0 if change.key is None else held.sizes.get(change.key, 0), entry
        )
        held.position = after(held.position, entry)
        held.entries.append((entry, size))
        self._count(held, size)
        entries.append(entry)
        if change.key is not None:
            gone_until_ms = now_ms + int(held.keep.age_s * 1000)
            after_it = item_after(change, entry.offset, gone_until_ms)
            self._put(topic, held, change.key, after_it, whole)
        return entry

    def _put(self, topic: Topic, held: _Held, key: str, item: Item | None, size: int) -> None:
        before = held.items.get(key)
        if item is None:
            self._forget(held, key)
            return
        if before is None or before.is_gone or item.is_gone:
            held.keys = None
        held.items[key] = item
        # Counted in full, though it shares its data with an entry: that one goes first.
        self._count(held, size - held.sizes.get(key, 0))
        held.sizes[key] = size
        # The same time as before is there already: an item that is written often does not fill the heap.
        is_known = before is not None and before.expires_ms == item.expires_ms
        if item.expires_ms is not None and not is_known:
            self._push(topic, key, item.expires_ms)

    def _forget(self, held: _Held, key: str) -> None:
        if held.items.pop(key, None) is not None:
            held.keys = None
            self._count(held, -held.sizes.pop(key))

    def _push(self, topic: Topic, key: str, expires_ms: int) -> None:
        # The number keeps topics from being compared.
        self._pushed += 1
        heapq.heappush(self._due, (expires_ms, key, self._pushed, topic))

    def _count(self, held: _Held, size: int) -> None:
        held.bytes += size
        self._bytes += size

    def _known(self, held: _Held, id: str, now_ms: int) -> Outcome | None:
        found = held.ids.get(id)
        return None if found is None or found[0] < now_ms - REMEMBERED_MS else found[1]

    def _shorten(self, held: _Held, now_ms: int) -> int:
        count, oldest_ms = 0, now_ms - int(held.keep.age_s * 1000)
        while held.entries and (
            len(held.entries) > held.keep.size or held.entries[0][0].at_ms < oldest_ms
        ):
            self._count(held, -held.entries.popleft()[1])
            count += 1
        while held.ids:
            id, (at_ms, _) = next(iter(held.ids.items()))
            if len(held.ids) <= REMEMBERED and at_ms >= now_ms - REMEMBERED_MS:
                break
            del held.ids[id]
        return count


def _sizes(change: Change, known: int, entry: Entry) -> tuple[int, int]:
    """Bytes of the entry that a change becomes, and of the item that it leaves; `known`: of the item before, 0: none."""
    if change.item is UNSET:
        size = len(_encode(change)) + OVERHEAD
        return size, size
    size = len(_encode(msgspec.structs.replace(change, item=UNSET))) + OVERHEAD
    # What has grown is larger by what it grew at most. Measuring an item of 600 KB takes 3 ms, so that is done now and then: by chance, as
    # offsets of one item may have a pattern, and marks are random.
    if change.event == APPEND and known and entry.mark % MEASURED:
        return size, known + size - OVERHEAD
    return size, len(_encode(change.item)) + OVERHEAD
