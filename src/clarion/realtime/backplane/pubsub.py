"""The format of @socket.io/redis-adapter 8 over Redis' Pub/Sub: servers of Clarion and of Node, and emitters of both, are one server.

Each namespace is subscribed to once, and answers every kind of request. What is published while the connection to Redis is broken is lost, as it is
in Node: who must not miss anything subscribes to a topic.
"""

from typing import Final

from clarion.bus.redis_bus import RedisBus
from clarion.errors import ProtocolError
from clarion.ids import Ids
from clarion.protocol.redis_adapter import Classic, Message
from clarion.realtime.backplane.others import Others
from clarion.realtime.namespace import Namespace
from clarion.telemetry import backplane_messages, get_logger

log = get_logger(__name__)

UID_CHARS: Final = 6  # of a server's name in a namespace, and of a request's, as in Node


class PubSub:
    """The backplane of a server.

    Args:
        bus: To Redis, without a prefix, and for this alone.
        ids: Names this server and its requests.
        prefix: As all servers have it: `key` in Node.
    """

    def __init__(self, bus: RedisBus, ids: Ids, prefix: str = "socket.io") -> None:
        self._bus, self._ids, self._prefix = bus, ids, prefix
        self._entered: dict[str, _OnPubSub] = {}

    def enter(self, namespace: Namespace) -> Others:
        """Be heard and told from now on."""
        wire = _OnPubSub(self._bus, self._ids, Classic(namespace.name, self._prefix))
        others = Others(namespace, wire, namespace.hub.wheel)
        self._entered[namespace.name] = wire
        wire.listen(namespace, others)
        return others

    def leave(self, namespace: Namespace) -> None:
        """Be neither heard nor told any more."""
        if (wire := self._entered.pop(namespace.name, None)) is not None:
            wire.leave()

    async def settle(self) -> None:
        """Return when this server counts for the others."""
        for wire in list(self._entered.values()):
            await wire.settle()


class _OnPubSub:
    """One namespace's way."""

    def __init__(self, bus: RedisBus, ids: Ids, format: Classic) -> None:
        self._bus, self._ids, self._format = bus, ids, format
        self.uid = ids.token(UID_CHARS)

    def listen(self, namespace: Namespace, others: Others) -> None:
        """Subscribe."""
        hub, format = namespace.hub, self._format

        def broadcast(channel: str, data: bytes) -> None:
            room = format.room(channel)
            # Rooms of clients that are away count, too, where recovery is on.
            if room is None or hub.recovery is not None or hub.has_room(room):
                take(channel, data)

        def take(channel: str, data: bytes) -> None:
            try:
                message = format.read(channel, data)
            except ProtocolError as exc:
                backplane_messages.labels("malformed").inc()
                log.warning("what came over Redis is no message", channel=channel, why=exc.message)
                return
            if message is not None:
                others.hear(message)

        def request(data: bytes) -> None:
            take(format.requests, data)

        def answer(data: bytes) -> None:
            take(format.answers, data)

        self._receivers = {
            format.requests: request,
            format.answers: answer,
            format.answers_to(self.uid): answer,
        }
        self._bus.subscribe_all(format.broadcasts, broadcast)
        for channel, receiver in self._receivers.items():
            self._bus.subscribe(channel, receiver)

    def leave(self) -> None:
        """Subscribe no more."""
        self._bus.unsubscribe_all(self._format.broadcasts)
        for channel, receiver in self._receivers.items():
            self._bus.unsubscribe(channel, receiver)

    async def settle(self) -> None:
        """Return when the others count this one."""
        for channel in self._receivers:
            await self._bus.settle(channel)

    # ── see `Wire` ──
    def request(self) -> str:
        """A fresh id."""
        return self._ids.token(UID_CHARS)

    def send(self, message: Message) -> None:
        """To all others."""
        self._bus.say(self._format.channel(message), self._format.write(message))

    def answer(self, to: str, message: Message) -> None:
        """Where all hear it: servers of Node that are set otherwise hear that channel, too."""
        self._bus.say(self._format.answers, self._format.write(message))

    async def count(self) -> int:
        """Those that are subscribed, but this one."""
        return max(0, await self._bus.subscribers(self._format.requests) - 1)
