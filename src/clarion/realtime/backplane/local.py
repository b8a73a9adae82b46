"""Between the workers of one host, over the bus of the process that owns the data: each namespace has a channel, and each worker one for answers.

What is said is written as over Redis' Pub/Sub, so that there is one format to be right about, and carries who says it: the own echo is passed over
unread, as are broadcasts to rooms that nobody here is in.
"""

from typing import Final

import msgspec

from clarion.bus.unix import UnixBus
from clarion.errors import ProtocolError
from clarion.ids import Ids
from clarion.protocol.redis_adapter import Classic, Message
from clarion.realtime.backplane.others import Others
from clarion.realtime.namespace import Namespace
from clarion.telemetry import backplane_messages, get_logger

log = get_logger(__name__)

UID_CHARS: Final = 6  # of a server's name in a namespace, and of a request's

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, bytes]).decode


class Local:
    """The backplane of a worker.

    Args:
        bus: To the other workers.
        ids: Names this server and its requests.
    """

    def __init__(self, bus: UnixBus, ids: Ids) -> None:
        self._bus, self._ids = bus, ids
        self._entered: dict[str, _OnBus] = {}

    def enter(self, namespace: Namespace) -> Others:
        """Be heard and told from now on."""
        wire = _OnBus(self._bus, self._ids, namespace)
        self._entered[namespace.name] = wire
        return wire.others

    def leave(self, namespace: Namespace) -> None:
        """Be neither heard nor told any more."""
        if (wire := self._entered.pop(namespace.name, None)) is not None:
            wire.leave()


class _OnBus:
    """One namespace's way."""

    def __init__(self, bus: UnixBus, ids: Ids, namespace: Namespace) -> None:
        self._bus, self._ids, self._hub = bus, ids, namespace.hub
        self._format = Classic(namespace.name)
        self.uid = ids.token(UID_CHARS)
        self.others = Others(namespace, self, namespace.hub.wheel)
        self._channel = f"backplane:{namespace.name}"
        bus.subscribe(self._channel, self._hear)
        bus.subscribe(self._answers(self.uid), self._hear)

    def leave(self) -> None:
        """Subscribe no more."""
        self._bus.unsubscribe(self._channel, self._hear)
        self._bus.unsubscribe(self._answers(self.uid), self._hear)

    def _hear(self, data: bytes) -> None:
        try:
            uid, place, body = _decode(data)
            if uid == self.uid:
                return  # the own echo
            if place.startswith(self._format.broadcasts) and not self._concerns(place):
                return
            message = self._format.read(place, body)
        except (msgspec.DecodeError, ProtocolError) as exc:
            backplane_messages.labels("malformed").inc()
            log.warning("what came from another worker is no message", why=str(exc))
            return
        if message is not None:
            self.others.hear(message)

    def _concerns(self, place: str) -> bool:
        room, hub = self._format.room(place), self._hub
        # Rooms of clients that are away count, too, where recovery is on.
        return room is None or hub.recovery is not None or hub.has_room(room)

    def _answers(self, uid: str) -> str:
        # A namespace's name begins with a slash.
        return f"backplane:{uid}{self._format.namespace}"

    # ── see `Wire` ──
    def request(self) -> str:
        """A fresh id."""
        return self._ids.token(UID_CHARS)

    def send(self, message: Message) -> None:
        """To all others."""
        self._say(self._channel, message)

    def answer(self, to: str, message: Message) -> None:
        """To one of them alone."""
        self._say(self._answers(to), message)

    async def count(self) -> int:
        """Those that are subscribed, but this one."""
        return max(0, await self._bus.subscribers(self._channel) - 1)

    def _say(self, channel: str, message: Message) -> None:
        place = self._format.channel(message)
        self._bus.say(channel, _encode((self.uid, place, self._format.write(message))))
