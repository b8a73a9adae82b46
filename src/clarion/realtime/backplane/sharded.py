"""The format of @socket.io/redis-adapter's sharded adapter: over Redis' sharded Pub/Sub, where in a Cluster each message goes to one server alone.

Each namespace has a channel for all, one for answers to each server, and in the dynamic modes one for each room that somebody is in here, so that
a server does not even get what is for rooms of others. All servers must have the same mode.
"""

from typing import Final

from clarion.bus.sharded_bus import ShardedBus
from clarion.errors import ProtocolError
from clarion.ids import Ids
from clarion.protocol.redis_adapter import Cluster, Message
from clarion.protocol.redis_adapter.cluster import Mode
from clarion.realtime.backplane.others import Others
from clarion.realtime.heartbeat import Timed
from clarion.realtime.namespace import Namespace
from clarion.realtime.peers import EVERYBODY
from clarion.telemetry import backplane_messages, get_logger

log = get_logger(__name__)

UID_BYTES: Final = (
    12  # of a server's name in a namespace, and of a request's: 16 characters, as in Node
)
LINGER_S: Final = 30.0  # between two looks for rooms that nobody can come back to


class Sharded:
    """The backplane of a server.

    Args:
        bus: To Redis.
        ids: Names this server and its requests.
        prefix: As all servers have it: `channelPrefix` in Node.
        mode: Likewise: `subscriptionMode`.
    """

    def __init__(
        self, bus: ShardedBus, ids: Ids, prefix: str = "socket.io", mode: Mode = "dynamic"
    ) -> None:
        self._bus, self._ids, self._prefix, self._mode = bus, ids, prefix, mode
        self._entered: dict[str, _OnSharded] = {}

    def enter(self, namespace: Namespace) -> Others:
        """Be heard and told from now on."""
        format = Cluster(namespace.name, self._ids.token(UID_BYTES), self._prefix, self._mode)
        wire = self._entered[namespace.name] = _OnSharded(self._bus, self._ids, format, namespace)
        return wire.others

    def leave(self, namespace: Namespace) -> None:
        """Be neither heard nor told any more."""
        if (wire := self._entered.pop(namespace.name, None)) is not None:
            wire.leave()

    async def settle(self) -> None:
        """Return when this server counts for the others, and hears what is for its rooms."""
        for wire in list(self._entered.values()):
            await wire.settle()


class _OnSharded(Timed):
    """One namespace's way. Its time comes while rooms are kept for clients that may come back."""

    __slots__ = ("_bus", "_format", "_hub", "_ids", "_lingering", "_rooms", "others", "uid")

    def __init__(self, bus: ShardedBus, ids: Ids, format: Cluster, namespace: Namespace) -> None:
        super().__init__()
        self._bus, self._ids, self._format, self._hub = bus, ids, format, namespace.hub
        self.uid = format.uid
        self.others = Others(namespace, self, namespace.hub.wheel)
        # By name the channels of rooms; and of them those that nobody is in now.
        self._rooms: dict[str, str] = {}
        self._lingering: dict[str, None] = {}
        bus.subscribe(format.common, self._hear)
        bus.subscribe(format.own, self._hear)
        if format.mode != "static":
            self._hub.adapter.on("create_room", self._opened)
            self._hub.adapter.on("delete_room", self._emptied)

    def leave(self) -> None:
        """Subscribe no more."""
        if self._format.mode != "static":
            self._hub.adapter.off("create_room", self._opened)
            self._hub.adapter.off("delete_room", self._emptied)
        for channel in (self._format.common, self._format.own, *self._rooms.values()):
            self._bus.unsubscribe(channel, self._hear)
        self._rooms.clear()
        self._lingering.clear()

    async def settle(self) -> None:
        """Return when the others count this one."""
        for channel in (self._format.common, self._format.own, *self._rooms.values()):
            await self._bus.settle(channel)

    def _hear(self, data: bytes) -> None:
        try:
            message = self._format.read(data)
        except ProtocolError as exc:
            backplane_messages.labels("malformed").inc()
            log.warning("what came over Redis is no message", why=exc.message)
            return
        if message is not None:
            self.others.hear(message)

    # ── rooms ──
    def _opened(self, room: str) -> None:
        self._lingering.pop(room, None)
        channel = self._format.room(room)
        # A room that is named like a server would be its answers.
        if channel is not None and channel != self._format.own and room not in self._rooms:
            self._rooms[room] = channel
            self._bus.subscribe(channel, self._hear)

    def _emptied(self, room: str) -> None:
        if room not in self._rooms:
            return
        if self._hub.recovery is None:
            self._close(room)
            return
        # Clients that are away may come back to it, and must have missed nothing.
        self._lingering[room] = None
        if not self.bucket:
            self._hub.wheel.set(self, self._hub.wheel.now() + LINGER_S)

    def on_time(self, now: float) -> float | None:
        """See to the rooms that were left."""
        wanted = {room for parked in self._hub.away(EVERYBODY) for room in parked.stays.rooms}
        for room in [room for room in self._lingering if room not in wanted]:
            del self._lingering[room]
            self._close(room)
        return now + LINGER_S if self._lingering else None

    def _close(self, room: str) -> None:
        self._bus.unsubscribe(self._rooms.pop(room), self._hear)

    # ── see `Wire` ──
    def request(self) -> str:
        """A fresh id."""
        return self._ids.token(UID_BYTES)

    def send(self, message: Message) -> None:
        """To all others; to those with somebody in a room."""
        self._bus.say(self._format.channel(message), self._format.write(message))

    def answer(self, to: str, message: Message) -> None:
        """Where that server alone hears it."""
        self._bus.say(self._format.answers_to(to), self._format.write(message))

    async def count(self) -> int:
        """Those that are subscribed, but this one."""
        return max(0, await self._bus.subscribers(self._format.common) - 1)
