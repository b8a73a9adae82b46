"""One node's subscribers of a topic, and how far each of them has come.

A subscription takes entries in one of two ways: live, each entry goes to the socket at once; or waiting, while its log is
being read: entries are kept, and merged by offset when it goes live. Nothing here reads a log.

A live one may skip: what its filter does not want; and, on a map, what a slow socket has no room for: of each key only the newest
value waits then, or all that the item has grown by. What it sends after having skipped says `after` which offset the client has been told last.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from clarion.auth.principal import Principal
from clarion.telemetry import publications_skipped
from clarion.topics.changes import APPEND, REMOVE
from clarion.topics.filters import Matches
from clarion.topics.growth import grown, joined
from clarion.topics.kinds import Kind, Topic
from clarion.topics.stream import Entry, Position, Verdict, after, judge

Prepare = Callable[[str, Any], Any]
"""Encodes an event once, for all sockets that it is delivered to (`namespace.prepare`)."""


class Peer(Protocol):
    """What a subscription needs of a socket."""

    @property
    def id(self) -> str:
        """Names it among all sockets."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it is still there."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether it has more waiting than it should (`limits.egress_soft_bytes`)."""
        ...

    def deliver(self, prepared: Any, /) -> object:
        """Send a prepared event; never waits, never fails because the socket is gone."""
        ...


def publication(topic: str, entry: Entry, told: int | None = None) -> dict[str, Any]:
    """An entry as clients get it: `{topic, offset, mark, after?, event, key?, data}`, or `patch` for `data`.

    A dict, not a struct: that the wire's codec takes as it is (2.6 us instead of 14).

    Args:
        topic: Its name.
        entry: What happened.
        told: The offset that this client was told last, where that is not the one before.
    """
    shown: dict[str, Any] = {"topic": topic, "offset": entry.offset, "mark": entry.mark}
    if told is not None and told != entry.offset - 1:
        shown["after"] = told
    shown["event"] = entry.event
    if entry.key is not None:
        shown["key"] = entry.key
    if entry.patch is None:
        shown["data"] = entry.data
    else:
        shown["patch"] = entry.patch
    return shown


def wanted(entry: Entry, matches: Matches) -> Entry | None:
    """What a filter makes of an entry: that entry, a removal where an item no longer matches, or nothing."""
    if matches(entry.tags or {}):
        return entry
    if entry.was is not None and entry.key is not None and matches(entry.was):
        return msgspec.structs.replace(entry, event=REMOVE, data={"reason": "filtered"}, patch=None)
    return None


def together(first: Entry, second: Entry) -> Entry:
    """The entry that stands for two of one key, the first of which is not sent."""
    if second.event != APPEND:
        return second
    if first.event == APPEND:
        return msgspec.structs.replace(second, data=joined(first.data, second.data))
    whole = grown(first.data, second.data)
    return msgspec.structs.replace(second, event=first.event, data=whole)


class Subscription:
    """One socket's subscription to one topic. It begins waiting, without a position."""

    __slots__ = (
        "_is_doubtful", "_skipped", "_told", "_waiting", "asked", "feed", "filter", "has_ended", "position", "principal", "socket",
    )  # fmt: skip

    def __init__(
        self,
        socket: Peer,
        feed: "Feed",
        principal: Principal | None,
        filter: Matches | None = None,
        asked: Topic | None = None,
    ) -> None:
        self.socket = socket
        # As the client named it: what it was given the right to; a kind may have taken it for another one (`Kind.open`).
        self.asked = asked or feed.topic
        self.feed = feed
        self.principal = principal
        self.filter = filter
        # How far the socket knows the log; None until it was read for the first time.
        self.position: Position | None = None
        self.has_ended = False
        # Entries and their epochs, while the log is being read; None: live.
        self._waiting: list[tuple[str, Entry]] | None = []
        # Something may have been lost while it waits.
        self._is_doubtful = False
        # Not None <=> entries up to the position were skipped since the client was told `_told`: by key, the newest that it still gets.
        self._skipped: dict[str, Entry] | None = None
        self._told = 0

    @property
    def is_live(self) -> bool:
        """Whether entries go to the socket at once."""
        return self._waiting is None and not self.has_ended

    @property
    def is_waiting(self) -> bool:
        """Whether entries are kept until `go`."""
        return self._waiting is not None and not self.has_ended

    @property
    def at(self) -> Position:
        """The position of a subscription whose log was read."""
        assert self.position is not None
        return self.position

    def wait(self) -> None:
        """Keep what comes, until `go`."""
        if self._waiting is None:
            self._waiting = []

    def keep(self, epoch: str, entries: Sequence[Entry], most: int) -> None:
        """Add to what waits. Of more than `most` only the newest stays: the gap makes the log be read again."""
        assert self._waiting is not None
        self._waiting.extend((epoch, entry) for entry in entries)
        if len(self._waiting) > most:
            del self._waiting[:-1]

    def doubt(self) -> None:
        """Something may be lost: if the log is being read just now, it is to be read again."""
        self._is_doubtful = self._waiting is not None

    def go(self) -> bool:
        """Deliver what has waited, in the order of the log, and go live.

        Returns whether nothing is missing. Otherwise the log must be read; what could not be delivered still waits.
        """
        waiting = sorted(self._waiting or (), key=lambda kept: kept[1].offset)
        is_doubtful, self._is_doubtful = self._is_doubtful, False
        for place, (epoch, entry) in enumerate(waiting):
            if not self.offer(epoch, entry, None):
                self._waiting = waiting[place:]
                return False
        self._waiting = None
        return not is_doubtful

    def stay(self) -> None:
        """Go live where it stands, without what has waited: the next entry or the next check shows the gap."""
        self._waiting = None

    def offer(
        self, epoch: str, entry: Entry, prepared: Any, behind: Position | None = None
    ) -> bool:
        """Deliver an entry if it is the next one. Returns False if something is missing before it.

        Args:
            epoch: Of the log.
            entry: What happened.
            prepared: As an event that is ready to send; None: made if it is needed.
            behind: The position behind it, to be shared; None: made if it is needed.
        """
        if epoch != self.at.epoch:
            return False
        match judge(self.at, entry):
            case Verdict.NEXT:
                self.give(entry, prepared, behind or after(self.at, entry))
                return True
            case Verdict.OLD:
                return True
            case _:
                return False

    def take(self, missed: Sequence[tuple[Entry, Any, Position]]) -> None:
        """Deliver entries that were read from the log behind this position, see `Feed.ready`."""
        for entry, prepared, behind in missed:
            self.give(entry, prepared, behind)

    def catch_up(self) -> None:
        """Send what was skipped, if the socket has room, and where the client stands then."""
        skipped = self._skipped
        if skipped is None or self.has_ended or self.socket.is_slow:
            return
        for entry in sorted(skipped.values(), key=lambda entry: entry.offset):
            self._send(entry)
        if self._told < self.at.offset:
            self.socket.deliver(self.feed.whereabouts(self.at, self._told))
        self._skipped = None
        self.feed.lagging.pop(self, None)

    def end(self) -> None:
        """Deliver nothing more."""
        self.has_ended = True
        self._waiting = None
        self.feed.lagging.pop(self, None)

    def give(self, entry: Entry, prepared: Any, behind: Position) -> None:
        """Deliver an entry that is the next one, or skip it."""
        told = entry.offset - 1
        self.position = behind
        if (
            self.filter is None
            and self._skipped is None
            and not (self.feed.kind.shape == "map" and self.socket.is_slow)
        ):
            self.socket.deliver(prepared or self.feed.prepared(entry))
            return
        if self._skipped is None:
            self._skipped, self._told = {}, told
            self.feed.lagging[self] = None
        shown = entry if self.filter is None else wanted(entry, self.filter)
        if shown is None:
            return
        if entry.key is not None and (self._skipped or self.socket.is_slow):
            if (before := self._skipped.get(entry.key)) is not None:
                publications_skipped.inc()
                shown = together(before, shown)
            self._skipped[entry.key] = shown
            return
        self._send(shown)
        if self._told == self.at.offset:
            self._skipped = None
            self.feed.lagging.pop(self, None)

    def _send(self, entry: Entry) -> None:
        # A patch is of the value before, which this client may not have.
        if entry.patch is not None:
            entry = msgspec.structs.replace(entry, patch=None)
        self.socket.deliver(self.feed.prepared(entry, self._told))
        self._told = entry.offset


class Feed:
    """The subscriptions of this node to one topic, by socket.

    Args:
        topic: Its name.
        kind: What it is.
        prepare: Encodes an event once for many sockets.
        lagging: Subscriptions that have skipped something, of all feeds: `catch_up` is due.
    """

    def __init__(
        self, topic: Topic, kind: Kind, prepare: Prepare, lagging: dict[Subscription, None]
    ) -> None:
        self.topic = topic
        self.kind = kind
        self._prepare = prepare
        self.lagging = lagging
        self.subscriptions: dict[str, Subscription] = {}
        self.receiver: Callable[[bytes], None] = lambda data: None
        # Behind the newest entry that was delivered: the very object that all have who have had everything.
        self._newest: Position | None = None

    def prepared(self, entry: Entry, told: int | None = None) -> Any:
        """The entry as an event that is ready to send, to clients who were told the offset `told` last; None: the one before."""
        return self._prepare("publication", publication(self.topic.wire, entry, told))

    def ready(self, epoch: str, entries: Sequence[Entry]) -> list[tuple[Entry, Any, Position]]:
        """Entries that were read, each as an event that is ready to send, with the position behind it: made once for all who lack them."""
        return [
            (entry, self.prepared(entry), Position(epoch, entry.offset, entry.mark))
            for entry in entries
        ]

    def whereabouts(self, position: Position, told: int) -> Any:
        """A publication without an event: nothing up to this position concerns the client."""
        at = {"topic": self.topic.wire, "offset": position.offset, "mark": position.mark}
        return self._prepare("publication", {**at, "after": told})

    def deliver(self, epoch: str, entries: Sequence[Entry], most: int) -> list[Subscription]:
        """Give entries to every subscriber; encoded once for all. Returns those who miss something before them: from then on they wait."""
        live = []
        for subscription in self.subscriptions.values():
            if subscription.is_live:
                live.append(subscription)
            else:
                subscription.keep(epoch, entries, most)
        behind: dict[Subscription, None] = {}
        for entry in entries if live else ():
            prepared = self.prepared(entry)
            newest, now = self._newest, Position(epoch, entry.offset, entry.mark)
            follows = (
                newest is not None
                and newest.epoch == epoch
                and judge(newest, entry) is Verdict.NEXT
            )
            self._newest = now
            for subscription in live:
                if follows and subscription.position is newest:
                    subscription.give(entry, prepared, now)  # judged once for all of them
                elif subscription in behind:
                    subscription.keep(epoch, [entry], most)
                elif not subscription.offer(epoch, entry, prepared, now):
                    behind[subscription] = None
                    subscription.wait()
                    subscription.keep(epoch, [entry], most)
        return list(behind)
