"""Acting on sockets from a process that has none, such as a worker or a script.

As @socket.io/redis-emitter does:

    async with Emitter("redis://cache.internal") as emitter:
        emitter.to("room").emit("news", {"n": 1})
        emitter.of("/admin").in_("user:ann").disconnect_sockets()

Servers of Clarion and of Node on that Redis do what it says, if they speak the same format. Nobody answers; what is said while Redis is away is refused.
"""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from clarion.bus.redis_bus import RedisBus
from clarion.bus.sharded_bus import ShardedBus
from clarion.bus.stream import Stream
from clarion.errors import UsageError
from clarion.ids import Ids
from clarion.protocol.redis_adapter import (
    Broadcast,
    Classic,
    Cluster,
    Disconnect,
    Entry,
    Join,
    Leave,
    Message,
    Options,
    ServerSide,
)
from clarion.protocol.redis_adapter.classic import EMITTER
from clarion.protocol.redis_adapter.cluster import Mode
from clarion.protocol.socketio import check_event_name, check_namespace
from clarion.realtime.operators import NOBODY
from clarion.realtime.rooms import Rooms, chosen

Format = Literal["pubsub", "sharded", "streams"]
"""See `backplane.format`."""


class Chosen(Struct, frozen=True):
    """A choice of sockets of a namespace. Each step gives another.

    Every act raises `Unavailable` where Redis is away, `Overloaded` where it is too slow, and `UsageError` for what can't be sent.
    """

    say: Callable[[Message], None]
    options: Options = Options()

    # ── choosing ──
    def to(self, *rooms: Rooms) -> Self:
        """Also those in these rooms; an empty list means nobody."""
        named = (*self.options.rooms, *chosen(rooms)) or NOBODY
        return self._with(rooms=tuple(dict.fromkeys(named)))

    def in_(self, *rooms: Rooms) -> Self:
        """The same as `to`."""
        return self.to(*rooms)

    def except_(self, *rooms: Rooms) -> Self:
        """But none of those in these rooms."""
        named = (*self.options.excluded, *chosen(rooms))
        return self._with(excluded=tuple(dict.fromkeys(named)))

    @property
    def volatile(self) -> Self:
        """Drop the event for those who are behind in reading."""
        return self._with(is_volatile=True)

    def compress(self, wanted: bool) -> Self:
        """Whether connections that compress may do it with this event."""
        return self._with(compress=wanted)

    # ── acting ──
    def emit(self, event: str, *args: Any) -> None:
        """Send an event to each of them."""
        check_event_name(event, UsageError)
        self.say(Broadcast(EMITTER, [event, *args], self.options))

    def sockets_join(self, *rooms: Rooms) -> None:
        """Put them into rooms."""
        self.say(Join(EMITTER, self.options, tuple(chosen(rooms))))

    def sockets_leave(self, *rooms: Rooms) -> None:
        """Take them out of rooms."""
        self.say(Leave(EMITTER, self.options, tuple(chosen(rooms))))

    def disconnect_sockets(self, *, close: bool = False) -> None:
        """Put them out of the namespace; with `close` end their sessions."""
        self.say(Disconnect(EMITTER, self.options, close))

    def server_side_emit(self, event: str, *args: Any) -> None:
        """Call the `on_server_side` listeners of the namespace on all servers."""
        self.say(ServerSide(EMITTER, [event, *args]))

    def _with(self, **changed: Any) -> Self:
        return replace(self, options=replace(self.options, **changed))


class Emitter:
    """Speaks to the servers on a Redis. Use it as an async context manager; `to`, `emit` … are those of `Chosen` in `/`.

    Args:
        url: Of Redis, as `redis_url`.
        prefix: As `backplane.prefix` of the servers: `key` in Node.
        format: As `backplane.format` of the servers.
        mode: As their `backplane.mode`, in the format `sharded`.

    Raises:
        SettingsError: The URL is none.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "socket.io",
        *,
        format: Format = "pubsub",
        mode: Mode = "dynamic",
    ) -> None:
        self._prefix, self._format, self._mode, ids = prefix, format, mode, Ids()
        self._bus = (
            ShardedBus(url, ids=ids) if format == "sharded" else RedisBus(url, ids=ids, prefix="")
        )
        self._stream = Stream(url, prefix, None, ids=ids) if format == "streams" else None

    async def __aenter__(self) -> Self:
        """Connect, and stay connected; raises `Unavailable`."""
        await self._bus.start()
        if self._stream is not None:
            await self._stream.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            await self._stream.close()
        await self._bus.close()

    def of(self, namespace: str) -> Chosen:
        """Everybody in a namespace; raises UsageError where there can be none of this name."""
        name = namespace if namespace.startswith("/") else f"/{namespace}"
        check_namespace(name)
        return Chosen(partial(self._say, self._named(name)))

    def _named(self, namespace: str) -> Classic | Cluster:
        if self._format == "pubsub":
            return Classic(namespace, self._prefix)
        mode: Mode = self._mode if self._format == "sharded" else "static"
        return Cluster(namespace, EMITTER, self._prefix, mode)

    def _say(self, format: Classic | Cluster, message: Message) -> None:
        if self._stream is None or isinstance(format, Classic):
            self._bus.say(format.channel(message), format.write(message))
        elif isinstance(message, ServerSide):
            self._bus.say(format.common, format.write(message, is_packed=True))
        else:
            self._stream.add(Entry(format.namespace, EMITTER, message).write())

    def to(self, *rooms: Rooms) -> Chosen:
        """Those of `/` who are in these rooms."""
        return self.of("/").to(*rooms)

    def in_(self, *rooms: Rooms) -> Chosen:
        """The same as `to`."""
        return self.to(*rooms)

    def except_(self, *rooms: Rooms) -> Chosen:
        """Those of `/` who are in none of these rooms."""
        return self.of("/").except_(*rooms)

    def emit(self, event: str, *args: Any) -> None:
        """Send an event to everybody in `/`."""
        self.of("/").emit(event, *args)

    def server_side_emit(self, event: str, *args: Any) -> None:
        """Call the listeners of `/` on all servers."""
        self.of("/").server_side_emit(event, *args)
