"""Planted bugs of positions, of what is announced, and of the topic store."""

from typing import Any
from unittest.mock import patch

import msgspec

from clarion.topics import live, repairs, stream
from clarion.topics.engine import TopicEngine
from clarion.topics.live import Feed, Subscription
from clarion.topics.stores import MemoryStore
from clarion.topics.stream import Position, Verdict
from tests.simulation.sabotage.base import bug, recovering


def _judge_by_offset(position: Any, entry: Any) -> Verdict:
    if entry.offset == position.offset + 1:
        return Verdict.NEXT
    return Verdict.GAP if entry.offset > position.offset else Verdict.OLD


def _patched(recover: Any, compare: Any) -> Any:
    stack = recovering(recover)
    stack.enter_context(patch.object(repairs, "compare", compare))
    stack.enter_context(patch.object(live, "judge", _judge_by_offset))
    stack.enter_context(patch.object(stream, "judge", _judge_by_offset))
    return stack


@bug("topics")
def no_mark_compared() -> Any:
    """Positions are epoch and offset: a log that lost its tail and grew again is taken for the old one."""
    recover, compare = stream.recover, stream.compare

    def recover_by_offset(since: Any, top: Any, entries: Any, limit: int, **more: Any) -> Any:
        if since.offset == top.offset:
            since = msgspec.structs.replace(since, mark=top.mark)
        return recover(since, top, entries, limit, **more)

    def compare_by_offset(before: Any, now: Any, top: Any) -> Any:
        if before.offset == top.offset:
            top = msgspec.structs.replace(top, mark=before.mark)
        return compare(before, now, top)

    return _patched(recover_by_offset, compare_by_offset)


@bug("topics")
def only_newest_compared() -> Any:
    """A mark counts only at the top of the log: one that lost two entries and grew two is found by who had both, and by nobody else."""
    return _patched(stream.recover, stream.compare)


@bug("topics")
def nothing_announced() -> Any:
    """Only position checks bring what is new: right in the end, and found by the log that is read where nothing is wrong."""

    async def nothing(self: TopicEngine, topic: Any, epoch: str, entries: Any) -> None:
        return

    return patch.object(TopicEngine, "announce", nothing)


@bug("topics")
def impatient() -> Any:
    """What was overtaken on its way is not waited for: each time the log is read."""
    return patch.object(repairs, "OVERTAKEN_S", 0.0)


@bug("topics")
def skipped_in_silence() -> Any:
    """A slow socket is not told after which offset its newest value follows."""
    prepared = Feed.prepared

    def silent(self: Feed, entry: Any, told: int | None = None) -> Any:
        return prepared(self, entry, None)

    return patch.object(Feed, "prepared", silent)


@bug("topics")
def never_caught_up() -> Any:
    """What a slow socket skipped is forgotten."""

    def forget(self: Subscription) -> None:
        self._skipped = None

    return patch.object(Subscription, "catch_up", forget)


@bug("topics")
def id_forgotten() -> Any:
    """A publication that is repeated because its answer was lost is made again."""
    return patch.object(MemoryStore, "_known", lambda self, held, id, now_ms: None)


@bug("topics")
def snapshot_at_older_position() -> Any:
    """The position of a state is the one before its last change."""
    items = MemoryStore.items

    async def early(self: MemoryStore, topic: Any, after: str, limit: int) -> Any:
        found, held = await items(self, topic, after, limit), self._of(topic)
        if not held.entries:
            return found
        last = held.entries[-1][0]
        before = Position(found.position.epoch, last.offset - 1, last.prior)
        return msgspec.structs.replace(found, position=before)

    return patch.object(MemoryStore, "items", early)
