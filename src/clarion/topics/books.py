"""Who is subscribed to what: the books of one node, kept from both sides.

A topic is listened to on the bus as long as somebody here is subscribed to it.
"""

from collections.abc import Callable, Mapping

from clarion.bus.base import Bus
from clarion.topics.kinds import Kind, Topic
from clarion.topics.live import Feed, Prepare, Subscription

Receive = Callable[[Feed, bytes], None]
"""Takes what is announced on a topic."""


class Books:
    """Subscriptions by topic and by socket.

    Args:
        bus: Where topics are announced.
        prepare: Encodes an event once for many sockets.
        receive: Called with each announcement.
    """

    def __init__(self, bus: Bus, prepare: Prepare, receive: Receive) -> None:
        self._bus = bus
        self._prepare = prepare
        self._receive = receive
        # Invariant: a subscription is in both, or it has ended. Nothing empty stays in either.
        self._feeds: dict[Topic, Feed] = {}
        self._sockets: dict[str, dict[str, Subscription]] = {}
        # Those that have skipped something.
        self.lagging: dict[Subscription, None] = {}

    @property
    def feeds(self) -> Mapping[Topic, Feed]:
        """The topics that somebody is subscribed to."""
        return self._feeds

    def of(self, socket_id: str) -> Mapping[str, Subscription]:
        """A socket's subscriptions, by the topic's name on the wire."""
        return self._sockets.get(socket_id, {})

    def all(self) -> list[Subscription]:
        """Every subscription; the list stays as it is while they end."""
        return [found for mine in self._sockets.values() for found in mine.values()]

    def feed(self, topic: Topic, kind: Kind) -> Feed:
        """The topic's feed, to be used in a subscription that is added at once."""
        found = self._feeds.get(topic)
        if found is None:
            found = feed = Feed(topic, kind, self._prepare, self.lagging)
            feed.receiver = lambda data: self._receive(feed, data)
        return found

    def add(self, subscription: Subscription) -> None:
        """Count a subscription in, and hear of its topic from now on."""
        feed, sid = subscription.feed, subscription.socket.id
        if feed.topic not in self._feeds:
            self._feeds[feed.topic] = feed
            self._bus.subscribe(channel(feed.topic), feed.receiver)
            if feed.kind.watched is not None:
                feed.kind.watched(feed.topic, True)
        feed.subscriptions[sid] = subscription
        self._sockets.setdefault(sid, {})[feed.topic.wire] = subscription

    def remove(self, subscription: Subscription, *, may_return: bool = False) -> bool:
        """End a subscription. Returns False if it had ended before.

        Args:
            subscription: Which.
            may_return: Whether its client may come back to it, see `kinds.Ended`.
        """
        if subscription.has_ended:
            return False
        subscription.end()
        feed, sid = subscription.feed, subscription.socket.id
        del feed.subscriptions[sid]
        if not feed.subscriptions:
            del self._feeds[feed.topic]
            self._bus.unsubscribe(channel(feed.topic), feed.receiver)
            if feed.kind.watched is not None:
                feed.kind.watched(feed.topic, False)
        if feed.kind.ended is not None:
            feed.kind.ended(feed.topic, subscription.socket, subscription.principal, may_return)
        mine = self._sockets[sid]
        del mine[feed.topic.wire]
        if not mine:
            del self._sockets[sid]
        return True


def channel(topic: Topic) -> str:
    """Where a topic is announced. A tenant's name has no `|`, a kind's no `:`: no two topics share one."""
    return f"topic:{topic.tenant}|{topic.kind}:{topic.name}"
