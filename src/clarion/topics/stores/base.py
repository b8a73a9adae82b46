"""What a topic store is: a log, a state by key, and one atomic way to change both.

A store knows the five guards, dedupes by `id`, trims, and nothing else; what a change means is its kind's affair.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from clarion.topics.changes import Change, Item, Outcome
from clarion.topics.kinds import Log, Snapshot, Topic
from clarion.topics.stream import Entry, Position

REMEMBERED_MS: Final = 5 * 60_000
"""For how long an `id` makes a change safe to repeat, at least (ms)."""
REMEMBERED: Final = 10_000
"""Ids that a topic in memory or Redis remembers; beyond that the oldest is forgotten early."""

PAGE: Final = 500
"""Items of a page of a state."""
UNBOUNDED: Final = 2**53 - 1
"""More bytes than a state has."""
PAGE_BYTES: Final = 1 << 20
"""Of them, about: an ack must fit into a socket's queue (`limits.egress_hard_bytes`)."""
_encode: Final = msgspec.json.Encoder().encode


class Keep(Struct, frozen=True):
    """How much of a topic is kept.

    Args:
        size: Entries of its log.
        age_s: For how long (s) an entry can be read, and how long a topic without items outlives its last use.
        keys: Items of its state.
    """

    size: int
    age_s: float
    keys: int


class Appended(Struct, frozen=True):
    """What an append did. `entries` are new and in order; more than one change's, where an item's time was over."""

    position: Position
    entries: list[Entry]
    outcomes: list[Outcome]
    """One for each change, in their order."""


class Items(Struct, frozen=True):
    """A page of a map's state, in the order of keys, and the position that it belongs to."""

    position: Position
    items: list[tuple[str, Item]]
    more: bool


class Expired(Struct, frozen=True):
    """Removals of items whose time was over, which subscribers have to be told of."""

    topic: Topic
    epoch: str
    entries: list[Entry]


@runtime_checkable
class TopicStore(Log, Protocol):
    """Logs and states of many topics. A topic begins, empty, when it is first asked for."""

    async def append(self, topic: Topic, changes: Sequence[Change], keep: Keep) -> Appended:
        """Make changes, all at one moment: no reader sees a part, no writer comes between.

        A change whose guard does not hold, or whose id was here before, is left out; the others are made. An item whose time is
        over is removed, with an entry, before its key is changed.

        Raises:
            TooMany: The state would have more than `keep.keys` items. Nothing was changed.
            StorageFull: There is no room. Nothing was changed.
            Unavailable: The store is not there now; `OutcomeUnknown` if it went away meanwhile.
        """
        ...

    async def items(
        self, topic: Topic, after: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Items:
        """At most `limit` items with keys above `after` ('': from the first).

        Of their data, as JSON, about `most_bytes` are read: no item follows once there are so many.
        """
        ...

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The first page of the state, and the position that it belongs to."""
        return await self.page(topic, "")

    async def page(self, topic: Topic, after: str) -> Snapshot:
        """The page of the state that follows a key, as subscribers get it: `page_of` of `PAGE` items."""
        items = await self.items(topic, after, PAGE, PAGE_BYTES)
        return Snapshot(items.position, page_of(items))

    async def get(self, topic: Topic, keys: Sequence[str]) -> list[Item | None]:
        """The items under these keys."""
        ...

    async def count(self, topic: Topic) -> int:
        """How many items the state has, those included that are gone and keep their version."""
        ...

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry that was appended before a time (ms since 1970): what `read` goes on from."""
        ...

    async def renew(self, topic: Topic, keys: Sequence[str], expires_ms: int) -> int:
        """Let items that expire do so later; no entry is written. Returns how many of them are there."""
        ...

    async def expire(self, limit: int) -> list[Expired]:
        """Remove at most `limit` items whose time is over, of any topic; each is given out once, to one caller.

        Those of a topic go in the order of their times, at the same time in that of their keys.
        """
        ...

    async def trim(self) -> int:
        """Forget what is kept no longer, and topics that nobody has used for that time. Returns how many entries went."""
        ...

    async def clear(self, topic: Topic) -> Position:
        """Forget log and state; the topic goes on in a new epoch."""
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...


@runtime_checkable
class Announcing(Protocol):
    """A store that may tell all nodes of a change itself, at the moment of the change: so they hear of them in the log's order."""

    announces: bool
    """Whether it does: what was appended is not to be announced again."""


def announces(store: object) -> bool:
    """Whether a store tells the nodes itself."""
    return isinstance(store, Announcing) and store.announces


def page_of(items: Items) -> dict[str, Any]:
    """A page as subscribers get it: `{items: [{key, data, offset, tags?}], more, next?}`; with `more`, what follows begins after `next`.

    It has at most `PAGE_BYTES`, but one item at least. A filter may take items out of it, so that its last item says nothing.
    """
    shown: list[dict[str, Any]] = []
    size = 0
    for key, item in items.items:
        one = {"key": key, "data": item.data, "offset": item.offset}
        if item.tags is not None:
            one["tags"] = item.tags
        size += len(_encode(one))
        if shown and size > PAGE_BYTES:
            break
        shown.append(one)
    more = items.more or len(shown) < len(items.items)
    page: dict[str, Any] = {"items": shown, "more": more}
    return {**page, "next": shown[-1]["key"]} if more else page
