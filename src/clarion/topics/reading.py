"""What is read of a topic by somebody who does not subscribe to it: its state, and what its log still has."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.errors import Fault, Invalid
from clarion.topics.arguments import check_name
from clarion.topics.fitting import read_oldest
from clarion.topics.kinds import Kind, Kinds, Paged, Snapshot, Timed, Topic, parse
from clarion.topics.stream import Entry, Position


class State(Struct, frozen=True):
    """A topic's state, or a page of it, at a position. A stream's is None."""

    topic: Topic
    kind: Kind
    position: Position
    state: Any


class History(Struct, frozen=True):
    """Entries of a log, in order.

    Args:
        topic: Whose.
        kind: What it is.
        top: Where the log stands.
        entries: What was asked for, as far as it is kept.
        has_gap: Something between what was asked for and the first of them is kept no longer.
        has_more: There are further ones.
    """

    topic: Topic
    kind: Kind
    top: Position
    entries: Sequence[Entry]
    has_gap: bool
    has_more: bool


class Reader:
    """Reads topics as somebody.

    Args:
        kinds: What there is.
        name_bytes: Of a topic's name (`limits.name_bytes`).
    """

    def __init__(self, kinds: Kinds, name_bytes: int) -> None:
        self._kinds = kinds
        self._name_bytes = name_bytes

    def named(self, caller: Principal, name: str) -> tuple[Topic, Kind]:
        """A topic of the caller's tenant, and what it is; whether they may is not asked.

        Raises:
            Invalid, NotFound: There can be none.
        """
        topic = parse(caller.tenant, name)
        kind = self._kinds.find(topic.kind)
        check_name("topic", name, self._name_bytes)
        return topic, kind

    async def find(self, caller: Principal, name: str) -> tuple[Topic, Kind]:
        """A topic that the caller may read.

        Raises:
            Invalid, NotFound, Forbidden: There is none for them.
            Unavailable: Nobody says now whether they may.
        """
        topic, kind = self.named(caller, name)
        await kind.admit("subscribe", caller, topic)
        if kind.open is not None:
            topic = await kind.open(topic, caller, {})
        return topic, kind

    async def state(self, caller: Principal, name: str, after: str, limit: int) -> State:
        """The state; of a map a page.

        Args:
            caller: Who reads.
            name: The topic.
            after: Items with keys above this; '': from the first.
            limit: Items.

        Raises:
            Invalid, NotFound, Forbidden: There is no such topic for them, or `after` of what is no map.
            Unavailable: It cannot be read now.
        """
        topic, kind = await self.find(caller, name)
        if kind.shape == "map" and isinstance(kind.log, Paged):
            page = await kind.log.page(topic, after)
            return State(topic, kind, page.position, shortened(page.state, limit))
        if after:
            raise Invalid(faults=[Fault("?after", "this topic has no keys")])
        if kind.shape == "stream":
            found = Snapshot((await kind.log.top([topic]))[0], None)
        else:
            found = await kind.log.snapshot(topic)
        return State(topic, kind, found.position, found.state)

    async def history(
        self, caller: Principal, name: str, after: int | None, since_ms: int | None, limit: int
    ) -> History:
        """What the log still has.

        Args:
            caller: Who reads.
            name: The topic.
            after: Entries behind this offset; None: all that are kept.
            since_ms: Entries that are not older (ms since 1970).
            limit: At most so many, the oldest first, and as many as fit into one answer.

        Raises:
            Invalid, NotFound, Forbidden: There is no such topic for them, or it does not know times.
            Unavailable: It cannot be read now.
        """
        topic, kind = await self.find(caller, name)
        begin = after or 0
        if since_ms is not None:
            if not isinstance(kind.log, Timed):
                raise Invalid(faults=[Fault("?since_ms", "this topic does not know when")])
            begin = max(begin, await kind.log.since(topic, since_ms))
        read, _ = await read_oldest(kind.log, topic, begin, limit)
        entries = read.entries
        next_offset = entries[0].offset if entries else read.top.offset + 1
        last = entries[-1].offset if entries else read.top.offset
        return History(
            topic,
            kind,
            read.top,
            entries,
            has_gap=after is not None and begin == after and next_offset > after + 1,
            has_more=last < read.top.offset,
        )


def shortened(page: dict[str, Any], limit: int) -> dict[str, Any]:
    """A page of a state (`stores.page_of`) with at most `limit` items."""
    items = page["items"]
    if len(items) <= limit:
        return page
    return {**page, "items": items[:limit], "more": True, "next": items[limit - 1]["key"]}
