"""Planted bugs of the topic engine and its positions."""

import asyncio
from typing import Any
from unittest.mock import patch

import msgspec

from clarion.topics import live
from clarion.topics.engine import TopicEngine
from clarion.topics.live import Subscription
from clarion.topics.repairs import Repairs
from clarion.topics.stream import Recovered, Refused, Verdict, judge, recover
from tests.simulation.sabotage.base import bug, recovering


@bug("inbox")
def late_live() -> Any:
    """The snapshot is read before going live: what is announced in between is lost, and only repaired."""
    keep = Subscription.keep

    def keep_later(self: Subscription, epoch: str, entries: Any, most: int) -> None:
        if self.position is not None:
            keep(self, epoch, entries, most)

    return patch.object(Subscription, "keep", keep_later)


@bug("inbox", since=155)
def no_marks() -> Any:
    """Recovery compares offsets only: a log that lost its tail and grew again is taken for the old one."""

    def by_offset(
        since: Any, top: Any, entries: Any, limit: int, **more: Any
    ) -> Recovered | Refused:
        mark = entries[0].prior if entries else top.mark
        return recover(msgspec.structs.replace(since, mark=mark), top, entries, limit, **more)

    return recovering(by_offset)


@bug("inbox")
def gap_is_next() -> Any:
    """An entry behind a gap is delivered as if it were the next one."""

    def blind(position: Any, entry: Any) -> Verdict:
        verdict = judge(position, entry)
        return Verdict.NEXT if verdict is Verdict.GAP else verdict

    return patch.object(live, "judge", blind)


@bug("inbox")
def old_is_next() -> Any:
    """What waited while the log was read is delivered again."""

    def forgetful(position: Any, entry: Any) -> Verdict:
        verdict = judge(position, entry)
        return Verdict.NEXT if verdict is Verdict.OLD else verdict

    return patch.object(live, "judge", forgetful)


@bug("inbox")
def partly_recovered() -> Any:
    """A recovery leaves out the last entry and says that it is complete."""

    def partly(since: Any, top: Any, entries: Any, limit: int, **more: Any) -> Recovered | Refused:
        found = recover(since, top, entries, limit, **more)
        return (
            Recovered(found.entries[:-1], found.position) if isinstance(found, Recovered) else found
        )

    return recovering(partly)


@bug("inbox")
def too_old_is_recovered() -> Any:
    """A recovery begins behind what the log keeps no longer."""

    def lenient(since: Any, top: Any, entries: Any, limit: int, **more: Any) -> Recovered | Refused:
        found = recover(since, top, entries, limit, **more)
        return Recovered(list(entries), top) if found == Refused("too_old") else found

    return recovering(lenient)


@bug("inbox", since=180)
def never_checked() -> Any:
    """Positions are not compared with the log: a lost announcement that nothing follows is never found."""

    async def nothing(self: Repairs, topics: Any = None) -> None:
        return

    return patch.object(Repairs, "check", nothing)


@bug("inbox")
def live_before_the_answer() -> Any:
    """The merged publications leave before the answer that they belong behind."""
    read = TopicEngine._read

    async def hasty(self: TopicEngine, subscription: Subscription, since: Any) -> Any:
        answer = await read(self, subscription, since)
        self.go(subscription)
        await asyncio.sleep(0.01)
        return answer

    return patch.object(TopicEngine, "_read", hasty)
