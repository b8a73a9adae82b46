"""What a subscriber lacks is read from the log: after a gap, after a doubt, and where its position is found behind.

Announcements may be lost or late. What is read is read once for all who stand at the same place; where the log cannot tell what is missing, the
subscription ends with 3010, and its client comes back with its position.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar

from clarion.errors import ServerError
from clarion.protocol.codes import CloseCode
from clarion.telemetry import Tasks, get_logger, position_checks
from clarion.topics.books import Books, channel
from clarion.topics.kinds import Topic
from clarion.topics.live import Feed, Subscription
from clarion.topics.stream import Entry, Position, Recovered, compare, recover

_log = get_logger(__name__)

T = TypeVar("T")
End = Callable[[Subscription, CloseCode], None]
"""Ends a subscription, and tells its client."""

TOPS_AT_ONCE = 500  # topics in one question to a log
AT_ONCE = 500  # subscriptions that are looked at in a row, some ms; then others have a turn
OVERTAKEN_S = 0.05  # announcements of two writers, or of two nodes, may pass each other


class Repairs:
    """Brings subscriptions of this node to where their logs are.

    Args:
        books: All of them.
        most: Publications that are sent one by one (`limits.recovery_publications`).
        end: Ends one that cannot be brought there.
        tasks: Where the work is done.
    """

    def __init__(self, books: Books, most: int, end: End, tasks: Tasks) -> None:
        self._books = books
        self._most = most
        self._end = end
        self._tasks = tasks
        # Who waits for a log to be read, by topic; in it <=> a task reads for them.
        self._behind: dict[Feed, list[Subscription]] = {}

    def go(self, subscription: Subscription) -> None:
        """Let one go live that is waiting; what it lacks is read."""
        if not subscription.has_ended and not subscription.go():
            self._repair(subscription)

    def begin_soon(self, behind: Sequence[Subscription]) -> None:
        """Something is missing before what has come to these: it is read, unless it comes by itself in a moment."""
        self._tasks.spawn(self._be_patient(behind), name="topics: out of order")

    async def check(self, topics: Sequence[Topic] | None = None) -> None:
        """Compare subscribers' positions with the logs, and read what they lack. None: of all topics.

        Raises:
            ServerError: A log cannot be read now.
        """
        feeds: dict[str, list[Feed]] = {}
        for topic in self._books.feeds if topics is None else topics:
            if (feed := self._books.feeds.get(topic)) is not None:
                feeds.setdefault(feed.kind.name, []).append(feed)
        for some in feeds.values():
            for slice in _slices(some):
                await self._check_some(slice)

    async def try_check(self, topics: Sequence[Topic] | None = None) -> None:
        """As `check`; a log that cannot be read now is looked at next time."""
        try:
            await self.check(topics)
        except ServerError as exc:
            _log.warning("positions not checked", error=exc.code)

    def on_gap(self, channels: Sequence[str]) -> None:
        """The bus may have lost something on these channels: look at once."""
        gone = dict.fromkeys(channels)
        topics = [topic for topic in self._books.feeds if channel(topic) in gone]
        for topic in topics:
            for subscription in self._books.feeds[topic].subscriptions.values():
                subscription.doubt()
        if topics:
            self._tasks.spawn(self.try_check(topics), name="topics: check after a gap")

    async def _be_patient(self, behind: Sequence[Subscription]) -> None:
        """Give what was overtaken on its way the time to come; read the log if it does not."""
        await asyncio.sleep(OVERTAKEN_S)
        for subscription in behind:
            if subscription.is_waiting and not subscription.go():
                self._repair(subscription)

    def _repair(self, subscription: Subscription) -> None:
        """Read what a subscriber lacks; what comes meanwhile waits."""
        subscription.wait()
        feed = subscription.feed
        if feed in self._behind:
            self._behind[feed].append(subscription)
            return
        self._behind[feed] = [subscription]
        self._tasks.spawn(self._catch_up(feed), name="topics: catch up")

    async def _catch_up(self, feed: Feed) -> None:
        """Read once for all who stand at the same place: after a loss those are nearly all."""
        try:
            while behind := self._behind[feed]:
                self._behind[feed] = []
                places: dict[Position, list[Subscription]] = {}
                for subscription in behind:
                    places.setdefault(subscription.at, []).append(subscription)
                for place, same in places.items():
                    await self._bring(feed, place, same)
        finally:
            del self._behind[feed]

    async def _bring(self, feed: Feed, place: Position, same: Sequence[Subscription]) -> None:
        missed: list[tuple[Entry, Any, Position]] | None = None
        try:
            read = await feed.kind.log.read(feed.topic, place.offset, self._most)
            found = recover(place, read.top, read.entries, self._most)
            if isinstance(found, Recovered):
                missed = feed.ready(place.epoch, found.entries)
        except ServerError as exc:
            # Not a reason to send everybody away: the next entry or the next check tries again.
            _log.warning("log not readable", kind=feed.topic.kind, error=exc.code)
            for subscription in same:
                subscription.stay()
            return
        except Exception:  # noqa: BLE001  a bug of the kind's: better that clients come back than that they wait for ever
            _log.exception("log not readable", kind=feed.topic.kind)
        async for subscription in in_turns(same, len(missed or ())):
            if subscription.has_ended:
                continue
            if missed is None:
                self._end(subscription, CloseCode.INSUFFICIENT_STATE)
                continue
            subscription.take(missed)
            self.go(subscription)

    async def _check_some(self, feeds: Sequence[Feed]) -> None:
        # Positions from before the question: only they may not be ahead of its answer.
        before = [
            (subscription, subscription.at)
            for feed in feeds
            for subscription in feed.subscriptions.values()
            if subscription.is_live
        ]
        tops = await feeds[0].kind.log.top([feed.topic for feed in feeds])
        top_of = {feed.topic: top for feed, top in zip(feeds, tops, strict=True)}
        async for subscription, position in in_turns(before):
            top = top_of[subscription.feed.topic]
            result = compare(position, subscription.position or position, top)
            position_checks.labels(result).inc()
            if result != "ok" and subscription.is_live:
                self._repair(subscription)


def _slices(feeds: Sequence[Feed]) -> Iterator[list[Feed]]:
    """What is asked about in one question: so many topics, and about so many subscriptions."""
    slice: list[Feed] = []
    count = 0
    for feed in feeds:
        slice.append(feed)
        count += len(feed.subscriptions)
        if len(slice) == TOPS_AT_ONCE or count >= AT_ONCE:
            yield slice
            slice, count = [], 0
    if slice:
        yield slice


async def in_turns(what: Sequence[T], work: int = 1) -> AsyncIterator[T]:
    """Each of them; after some the rest of the process has a turn: 100,000 subscriptions take seconds. `work` is what one counts."""
    done = 0
    for each in what:
        yield each
        done += work
        if done >= AT_ONCE:
            done = 0
            await asyncio.sleep(0)
