"""One node's subscribers of a topic, and how far each of them has come.

A subscription takes entries in one of two ways: live, each entry goes to the socket at once; or waiting, while its log is
being read: entries are kept, and merged by offset when it goes live. Nothing here reads a log.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import asdict

from clarion.auth.principal import Principal
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

    def deliver(self, prepared: Any, /) -> object:
        """Send a prepared event; never waits, never fails because the socket is gone."""
        ...


class Publication(Struct, frozen=True):
    """An entry as clients get it."""

    topic: str
    offset: int
    mark: int
    event: str
    data: Any

    @classmethod
    def of(cls, topic: str, entry: Entry) -> "Publication":
        """The entry, of that topic."""
        return cls(topic, entry.offset, entry.mark, entry.event, entry.data)


class Subscription:
    """One socket's subscription to one topic. It begins waiting, without a position."""

    __slots__ = ("_waiting", "feed", "has_ended", "position", "principal", "socket")

    def __init__(self, socket: Peer, feed: "Feed", principal: Principal | None) -> None:
        self.socket = socket
        self.feed = feed
        self.principal = principal
        # How far the socket knows the log; None until it was read for the first time.
        self.position: Position | None = None
        self.has_ended = False
        # Entries and their epochs, while the log is being read; None: live.
        self._waiting: list[tuple[str, Entry]] | None = []

    @property
    def is_live(self) -> bool:
        """Whether entries go to the socket at once."""
        return self._waiting is None and not self.has_ended

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

    def go(self) -> bool:
        """Go live with what has waited. Returns whether something is missing: then the log must be read."""
        waiting, self._waiting = self._waiting or [], None
        return any(not self.offer(epoch, entry, None) for epoch, entry in waiting)

    def stay(self) -> None:
        """Go live where it stands, without what has waited: the next entry or the next check shows the gap."""
        self._waiting = None

    def offer(self, epoch: str, entry: Entry, prepared: Any) -> bool:
        """Deliver an entry if it is the next one. Returns False if something is missing before it."""
        if epoch != self.at.epoch:
            return False
        match judge(self.at, entry):
            case Verdict.NEXT:
                self.position = after(self.at, entry)
                self.socket.deliver(prepared or self.feed.prepared(entry))
                return True
            case Verdict.OLD:
                return True
            case _:
                return False

    def take(self, entries: Sequence[Entry]) -> None:
        """Deliver entries that were read from the log behind this position."""
        for entry in entries:
            self.position = after(self.at, entry)
            self.socket.deliver(self.feed.prepared(entry))

    def end(self) -> None:
        """Deliver nothing more."""
        self.has_ended = True
        self._waiting = None


class Feed:
    """The subscriptions of this node to one topic, by socket."""

    def __init__(self, topic: Topic, kind: Kind, prepare: Prepare) -> None:
        self.topic = topic
        self.kind = kind
        self._prepare = prepare
        self.subscriptions: dict[str, Subscription] = {}
        self.receiver: Callable[[bytes], None] = lambda data: None

    def prepared(self, entry: Entry) -> Any:
        """The entry as an event that is ready to send."""
        # A dict, not the struct: that the wire's codec takes as it is (2.6 us instead of 14).
        return self._prepare("publication", asdict(Publication.of(self.topic.wire, entry)))

    def deliver(self, epoch: str, entries: Sequence[Entry], most: int) -> list[Subscription]:
        """Give entries to every subscriber; encoded once for all. Returns those who miss something before them."""
        live = []
        for subscription in self.subscriptions.values():
            if subscription.is_live:
                live.append(subscription)
            else:
                subscription.keep(epoch, entries, most)
        behind: dict[Subscription, None] = {}
        for entry in entries if live else ():
            prepared = self.prepared(entry)
            for subscription in live:
                if subscription not in behind and not subscription.offer(epoch, entry, prepared):
                    behind[subscription] = None
        return list(behind)
