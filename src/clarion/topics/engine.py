"""The engine: brings sockets and logs together, so that every subscriber gets the state and then every change in order.

Subscribing goes live first and reads the log then: what is announced meanwhile waits, and is merged by offset. Announcements
may be lost or late; so each entry that comes is compared with the subscriber's position, the positions with the log now and
then, and at once when the bus says that it may have lost something: `repairs` brings what is missing. Who may stay is asked
now and then, too: `staying`.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.bus.base import Bus
from clarion.clock import Clock
from clarion.errors import (
    ClarionError,
    Conflict,
    Invalid,
    NotFound,
    TooMany,
)
from clarion.ids import Ids
from clarion.protocol.codes import CloseCode
from clarion.settings import Limits
from clarion.telemetry import (
    Tasks,
    get_logger,
    limit_exceeded,
    publications,
    recoveries,
)
from clarion.topics import answers
from clarion.topics.answers import Subscribed
from clarion.topics.arguments import Rewind, SubscribeArgs, check_json
from clarion.topics.books import Books, channel
from clarion.topics.filters import compile_filter
from clarion.topics.fitting import read_newest, read_oldest
from clarion.topics.kinds import Kind, Kinds, Paged, Snapshot, Timed, Topic, check_wish, parse
from clarion.topics.live import Feed, Peer, Prepare, Subscription
from clarion.topics.repairs import Repairs
from clarion.topics.staying import Staying
from clarion.topics.stream import Entry, Position, Reason, Recovered, recover

_log = get_logger(__name__)

CATCH_UP_S = 0.5  # until a client hears of what was skipped
SPREAD = 0.2  # of the time between two checks: nodes and their timers must not beat together


class Frame(Struct, frozen=True, array_like=True):
    """What nodes tell each other of a topic."""

    epoch: str
    entries: list[Entry]


# Floats are read by Python: see protocol.jsontext.
_decode_frame = msgspec.json.Decoder(Frame, float_hook=float).decode


class Occupancy(Struct, frozen=True):
    """How many subscriptions a topic has, and whose they are: the keys of principals."""

    subscriptions: int
    callers: list[tuple[str, str, str]]

    @property
    def users(self) -> int:
        """How many callers."""
        return len(self.callers)


class _Undecided:
    """A wish to subscribe to what has this name, before there is a subscription."""

    __slots__ = ("is_called_off", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_called_off = False


class TopicEngine:
    """Subscriptions of this node's sockets.

    Args:
        prepare: Encodes an event once for many sockets (`namespace.prepare`).
        kinds: What there is to subscribe to.
        bus: Carries announcements between nodes, and back to this one.
        limits: `topics`, `recovery_publications`, `position_check_s`.
        clock: For the end of credentials.
        ids: For the spread of the timer.
    """

    def __init__(
        self,
        prepare: Prepare,
        kinds: Kinds,
        bus: Bus,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        # Fixed at creation
        self._prepare = prepare
        self._kinds = kinds
        self._bus = bus
        self._limits = limits
        self._ids = ids
        # Changes while open
        self._books = Books(bus, prepare, self._receive)
        self._tasks = Tasks()
        self._staying = Staying(self._books, clock, self._end, self._tasks)
        self._repairs = Repairs(self._books, limits.recovery_publications, self._end, self._tasks)
        # By socket. Nothing empty stays.
        self._undecided: dict[str, list[_Undecided]] = {}
        bus.on_gap(self._repairs.on_gap)

    def start(self) -> None:
        """Begin to check positions now and then, and to send what slow or choosy subscribers have skipped."""
        self._tasks.spawn_forever(self._check_forever, name="topics: position check")
        self._tasks.spawn_forever(self._catch_up_forever, name="topics: what was skipped")

    async def close(self) -> None:
        """End every task. Subscriptions end with their sockets."""
        await self._tasks.close()

    async def subscribe(
        self,
        socket: Peer,
        principal: Principal | None,
        wish: SubscribeArgs,
        *,
        unless_there: bool = False,
    ) -> tuple[Subscribed, Subscription]:
        """Subscribe a socket to a topic; a former subscription of it to the same topic is replaced.

        Args:
            socket: Who gets the publications.
            principal: Whose rights count, and whose tenant the topic is in.
            wish: Which topic, what the client already knows of it, and what it wants of it.
            unless_there: Whether a former subscription stays instead: then this is a conflict.

        Returns:
            The answer, and the subscription: publications wait in it until `go` is called, after the answer was sent.

        Raises:
            Invalid, NotFound, Unauthenticated, Forbidden: There is no such topic for them.
            TooMany: The socket has `limits.topics` subscriptions.
            Conflict: A later `subscribe` or an `unsubscribe` of the same socket came in between.
            ServerError: The log cannot be read now.
        """
        topic = asked = parse("" if principal is None else principal.tenant, wish.topic)
        kind = self._kinds.find(topic.kind)
        matches = None if wish.filter is None else compile_filter(wish.filter)
        check_json("params", wish.params)
        with self.deciding(socket, wish.topic):
            await kind.admit("subscribe", principal, topic)
            check_wish(kind, wish)
            if kind.open is not None:
                topic = await kind.open(topic, principal, wish.params or {})
        name, mine = topic.wire, self._books.of(socket.id)
        if name not in mine and len(mine) >= self._limits.topics:
            limit_exceeded.labels("topics").inc()
            raise TooMany(
                f"this socket has {self._limits.topics} subscriptions (limits.topics)",
                limit=self._limits.topics,
            )
        if name in mine:
            if unless_there:
                raise Conflict("the client has subscribed by itself")
            self._books.remove(mine[name])
        subscription = Subscription(
            socket, self._books.feed(topic, kind), principal, matches, asked
        )
        self._books.add(subscription)
        try:
            if kind.began is not None:
                kind.began(topic, socket, principal, wish.params or {})
            await self._bus.settle(channel(topic))
            answer = await self._read(subscription, wish)
        except BaseException:
            self._books.remove(subscription, may_return=True)
            raise
        if subscription.has_ended:
            raise Conflict(
                "another subscribe, an unsubscribe or the end of the socket came between"
            )
        if wish.token is not None and principal is not None:
            self._staying.ending.add(subscription, principal.expires_ms)
        return answer, subscription

    @contextmanager
    def deciding(self, socket: Peer, name: str) -> Iterator[None]:
        """While something is waited for before a subscription begins: an `unsubscribe` that comes then calls it off.

        Raises:
            Conflict: It did, or the socket has gone.
        """
        undecided = _Undecided(name)
        mine = self._undecided.setdefault(socket.id, [])
        mine.append(undecided)
        try:
            yield
        finally:
            mine.remove(undecided)
            if not mine:
                del self._undecided[socket.id]
        if undecided.is_called_off or not socket.connected:
            raise Conflict("an unsubscribe or the end of the socket came between")

    def go(self, subscription: Subscription) -> None:
        """Deliver what has waited, and from now on what comes."""
        self._repairs.go(subscription)

    def tell(self, socket: Peer, event: str, data: Any) -> None:
        """Send a socket an event."""
        socket.deliver(self._prepare(event, data))

    def unsubscribe(self, socket: Peer, name: str) -> None:
        """End a subscription at the socket's wish, or call off one that is being decided about; nothing happens if there is neither."""
        for undecided in self._undecided.get(socket.id, ()):
            undecided.is_called_off |= undecided.name == name
        subscription = self._books.of(socket.id).get(name)
        if subscription is not None:
            self._books.remove(subscription)

    def leave(self, socket: Peer) -> None:
        """End all subscriptions of a socket that is gone."""
        for undecided in self._undecided.get(socket.id, ()):
            undecided.is_called_off = True
        for subscription in list(self._books.of(socket.id).values()):
            self._books.remove(subscription, may_return=True)

    @property
    def feeds(self) -> Collection[Topic]:
        """The topics that somebody on this process is subscribed to."""
        return self._books.feeds

    def occupancy(self, topic: Topic) -> Occupancy:
        """Who is subscribed to a topic on this node."""
        feed = self._books.feeds.get(topic)
        mine = {} if feed is None else feed.subscriptions
        principals = [each.principal for each in mine.values()]
        callers = dict.fromkeys(each.key for each in principals if each is not None)
        return Occupancy(len(mine), list(callers))

    def end_of_user(self, tenant: str, user: str, name: str | None = None) -> int:
        """End a user's subscriptions to a topic (None: to all) on this node, with 3500; returns how many."""
        ended = 0
        for subscription in self._books.all():
            who = subscription.principal
            is_theirs = who is not None and who.key == (tenant, "user", user)
            if is_theirs and name in {None, subscription.feed.topic.wire}:
                self._end(subscription, CloseCode.REVOKED)
                ended += 1
        return ended

    def end_of_topic(self, topic: Topic, code: CloseCode) -> int:
        """End all subscriptions to a topic on this node; returns how many."""
        feed = self._books.feeds.get(topic)
        mine = [] if feed is None else list(feed.subscriptions.values())
        for subscription in mine:
            self._end(subscription, code)
        return len(mine)

    async def page(self, socket: Peer, name: str, after: str) -> dict[str, Any]:
        """What follows a key in the state of a map that the socket is subscribed to: `{epoch, offset, mark, items, more}`.

        Raises:
            NotFound: It is not subscribed to that topic.
            Invalid: The topic has no keys.
        """
        subscription = self._books.of(socket.id).get(name)
        if subscription is None:
            raise NotFound("this socket is not subscribed to that topic")
        log = subscription.feed.kind.log
        if subscription.feed.kind.shape != "map" or not isinstance(log, Paged):
            raise Invalid("this topic has no keys")
        found = await log.page(subscription.feed.topic, after)
        at = found.position
        page = answers.filtered(found.state, subscription.filter)
        return {"epoch": at.epoch, "offset": at.offset, "mark": at.mark, **page}

    async def announce(self, topic: Topic, epoch: str, entries: Sequence[Entry]) -> None:
        """Tell subscribers, on whatever node, what was appended to a topic's log. Writes nothing.

        To be called after the commit. A notice that cannot be sent is only logged: the position check finds what it was about.
        """
        publications.labels(topic.kind).inc(len(entries))
        try:
            await self._bus.publish(
                channel(topic), msgspec.json.encode(Frame(epoch, list(entries)))
            )
        except ClarionError as exc:
            _log.warning("announcement lost", kind=topic.kind, error=exc.code)

    def announce_here(self, topic: Topic, epoch: str, entries: Sequence[Entry]) -> None:
        """Tell this node's subscribers alone: of a log that each node keeps for itself, or where each is told to tell its own."""
        publications.labels(topic.kind).inc(len(entries))
        if (feed := self._books.feeds.get(topic)) is not None:
            self._deliver(feed, epoch, entries)

    async def recheck(self) -> None:
        """End the subscriptions whose credential has run out or whose right was taken back."""
        await self._staying.recheck()

    def expire(self) -> None:
        """End the subscriptions whose own token has run out."""
        self._staying.expire()

    async def check_positions(self, topics: Sequence[Topic] | None = None) -> None:
        """Compare subscribers' positions with the logs, and read what they lack. None: of all topics.

        Raises:
            ServerError: A log cannot be read now.
        """
        await self._repairs.check(topics)

    # ── subscribing ──

    async def _read(self, subscription: Subscription, wish: SubscribeArgs) -> Subscribed:
        kind, topic, since = subscription.feed.kind, subscription.feed.topic, wish.since
        matches = subscription.filter
        answer: Subscribed | None = None
        reason: Reason | None = None
        if since is not None:
            most = self._limits.recovery_publications
            read, is_cut = await read_oldest(kind.log, topic, since.offset, most)
            found = recover(since, read.top, read.entries, most, is_cut=is_cut)
            if isinstance(found, Recovered):
                answer = answers.recovered(kind, topic, since.offset, found, matches)
            else:
                reason = found.reason
            recoveries.labels("false" if reason else "true", reason or "").inc()
        if answer is None:
            snapshot = await self._snapshot(kind, topic)
            answer = answers.anew(kind, topic, snapshot, reason, matches)
            if wish.rewind is not None:
                entries = await self._rewind(kind, topic, wish.rewind, snapshot.position)
                answer = answers.rewound(answer, topic, entries, matches)
        subscription.position = answer.position
        return answer

    async def _snapshot(self, kind: Kind, topic: Topic) -> Snapshot:
        if kind.shape == "stream":
            return Snapshot((await kind.log.top([topic]))[0], None)
        return await kind.log.snapshot(topic)

    async def _rewind(
        self, kind: Kind, topic: Topic, rewind: Rewind, top: Position
    ) -> Sequence[Entry]:
        """The entries that are asked for up to a position, all in a row; fewer where fewer are kept, or fit."""
        most = self._limits.recovery_publications
        begin = top.offset - min(most, rewind.count or most)
        if rewind.since_ms is not None and isinstance(kind.log, Timed):
            begin = max(begin, await kind.log.since(topic, rewind.since_ms))
        return await read_newest(kind.log, topic, max(0, begin), top)

    def _end(self, subscription: Subscription, code: CloseCode) -> None:
        if not self._books.remove(subscription, may_return=code is not CloseCode.REVOKED):
            return
        told = {
            "topic": subscription.feed.topic.wire,
            "code": code.value,
            "reason": code.reason,
        }
        subscription.socket.deliver(self._prepare("unsubscribed", told))
        _log.info("unsubscribed", kind=subscription.feed.topic.kind, reason=code.reason)

    # ── what comes, and what does not ──

    def _receive(self, feed: Feed, data: bytes) -> None:
        frame = _decode_frame(data)
        self._deliver(feed, frame.epoch, frame.entries)

    def _deliver(self, feed: Feed, epoch: str, entries: Sequence[Entry]) -> None:
        behind = feed.deliver(epoch, entries, self._limits.recovery_publications)
        if behind:
            self._repairs.begin_soon(behind)

    async def _check_forever(self) -> None:
        while True:
            pause = self._limits.position_check_s * self._ids.uniform(1 - SPREAD, 1 + SPREAD)
            await asyncio.sleep(pause)
            await self.recheck()
            await self._repairs.try_check()

    async def _catch_up_forever(self) -> None:
        while True:
            await asyncio.sleep(CATCH_UP_S)
            for subscription in list(self._books.lagging):
                subscription.catch_up()
            self.expire()
