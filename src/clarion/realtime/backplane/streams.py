"""The format of @socket.io/redis-streams-adapter: what is done to sockets goes through a stream, so that a node whose connection to Redis breaks
misses nothing of it; what wants answers goes over Pub/Sub.
"""

import asyncio
from typing import Final

from clarion.bus.pump import Pump
from clarion.bus.redis_bus import RedisBus
from clarion.bus.stream import Stream
from clarion.errors import ProtocolError
from clarion.ids import Ids
from clarion.protocol.redis_adapter import Broadcast, Cluster, Entry, Fetch, Message, ServerSide
from clarion.realtime.backplane.others import Others
from clarion.realtime.backplane.sessions import REFRESHES, Sessions
from clarion.realtime.namespace import Namespace
from clarion.telemetry import backplane_messages, get_logger, spawn_forever

log = get_logger(__name__)

UID_BYTES: Final = (
    12  # of a server's name in a namespace, and of a request's: 16 characters, as in Node
)


class Streams:
    """The backplane of a server.

    Args:
        url: Of Redis, as `redis_url`.
        ids: Names this server and its requests.
        prefix: As all servers have it: `streamName` and `channelPrefix` in Node.
    """

    def __init__(self, url: str, ids: Ids, prefix: str = "socket.io") -> None:
        self._ids, self._prefix = ids, prefix
        self.bus = RedisBus(url, ids=ids, prefix="")
        self.stream = Stream(url, prefix, self._read, ids=ids)
        self._entered: dict[str, _OnStreams] = {}
        self._sessions: dict[str, Sessions] = {}
        self._pump = Pump(self.stream.redis, "recovery: write")
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; raises `Unavailable`."""
        await self.bus.start()
        await self.stream.start()
        self._pump.start()
        self._refreshing = spawn_forever(self._refresh, name="recovery: refresh")

    async def close(self) -> None:
        """Hear nothing more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        for sessions in self._sessions.values():
            await sessions.finish()
        await self._pump.flush()
        await self._pump.close()
        await self.stream.close()
        await self.bus.close()

    def enter(self, namespace: Namespace) -> Others:
        """Be heard and told from now on."""
        format = Cluster(namespace.name, self._ids.token(UID_BYTES), self._prefix)
        wire = _OnStreams(self.bus, self.stream, self._ids, format)
        wire.others = Others(namespace, wire, namespace.hub.wheel)
        self._entered[namespace.name] = wire
        alone = namespace.hub.recovery
        if alone is not None:
            namespace.hub.recovery = self._sessions[namespace.name] = Sessions(
                namespace.hub, alone, wire.others, self.stream, wire.uid, self._pump
            )
        for channel in (format.common, format.own):
            self.bus.subscribe(channel, wire.hear)
        return wire.others

    def leave(self, namespace: Namespace) -> None:
        """Be neither heard nor told any more."""
        if (wire := self._entered.pop(namespace.name, None)) is not None:
            for channel in (wire.format.common, wire.format.own):
                self.bus.unsubscribe(channel, wire.hear)
            self._sessions.pop(namespace.name, None)

    async def settle(self) -> None:
        """Return when this server counts for the others."""
        for wire in list(self._entered.values()):
            await self.bus.settle(wire.format.common)
            await self.bus.settle(wire.format.own)

    def _read(self, id: bytes, fields: dict[bytes, bytes]) -> None:
        for sessions in self._sessions.values():
            sessions.read(id.decode())
        name = fields.get(b"nsp", b"").decode(errors="replace")
        wire = self._entered.get(name)
        if wire is None:
            return
        is_own = fields.get(b"uid") == wire.uid.encode()
        if is_own and name not in self._sessions:
            return
        try:
            entry = Entry.read(fields)
        except ProtocolError as exc:
            _malformed(exc)
            return
        if not is_own:
            wire.others.hear(entry.message)
        elif isinstance(entry.message, Broadcast) and not entry.message.options.is_volatile:
            wire.others.take(entry.message)  # nobody has had it yet

    async def _refresh(self) -> None:
        while True:
            away_s = min((each.shelf.seconds for each in self._sessions.values()), default=4.0)
            await asyncio.sleep(away_s / REFRESHES)
            for each in list(self._sessions.values()):
                await each.refresh()


class _OnStreams:
    """One namespace's way."""

    others: Others

    def __init__(self, bus: RedisBus, stream: Stream, ids: Ids, format: Cluster) -> None:
        self._bus, self._stream, self._ids, self.format = bus, stream, ids, format
        self.uid = format.uid

    def hear(self, data: bytes) -> None:
        """Something came over Pub/Sub."""
        try:
            message = self.format.read(data)
        except ProtocolError as exc:
            _malformed(exc)
            return
        if message is not None:
            self.others.hear(message)

    # ── see `Wire` ──
    def request(self) -> str:
        """A fresh id."""
        return self._ids.token(UID_BYTES)

    def send(self, message: Message) -> None:
        """To all others: kept, unless it wants answers or is for servers."""
        wants_answers = isinstance(message, Broadcast) and message.request is not None
        if wants_answers or isinstance(message, Fetch | ServerSide):
            self._bus.say(self.format.common, self.format.write(message, is_packed=True))
        else:
            self._stream.add(Entry(self.format.namespace, self.uid, message).write())

    def answer(self, to: str, message: Message) -> None:
        """Where that server alone hears it."""
        self._bus.say(self.format.answers_to(to), self.format.write(message, is_packed=True))

    async def count(self) -> int:
        """Those that are subscribed, but this one."""
        return max(0, await self._bus.subscribers(self.format.common) - 1)


def _malformed(exc: ProtocolError) -> None:
    backplane_messages.labels("malformed").inc()
    log.warning("what came over Redis is no message", why=exc.message)
