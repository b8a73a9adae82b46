"""One client in one namespace.

A socket is made when the client asks to come in, is seen by the middlewares, becomes connected or is refused, and leaves once.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Protocol, TypeVar, overload

from msgspec.structs import replace

from clarion.errors import Invalid
from clarion.protocol import socketio
from clarion.protocol.codes import CloseCode, Reason
from clarion.protocol.socketio import PacketType
from clarion.realtime.acks import DEFAULT_TIMEOUT_S, Acks, Pending
from clarion.realtime.egress import Egress, Sent
from clarion.realtime.events import Events
from clarion.realtime.handlers import Handler, Listener
from clarion.realtime.handshake import Handshake
from clarion.realtime.hub import Hub, Selection
from clarion.realtime.operators import Operator, SocketOperator
from clarion.realtime.transports.base import prepared_messages
from clarion.telemetry import events

H = TypeVar("H", bound=Handler)


class Session(Protocol):
    """What a socket needs of its session."""

    @property
    def id(self) -> str:
        """The session's id."""
        ...

    @property
    def egress(self) -> Egress:
        """Where bytes go."""
        ...

    @property
    def handshake(self) -> Handshake:
        """What the client said when it opened the session."""
        ...

    @property
    def transport_name(self) -> str:
        """`polling` or `websocket`."""
        ...

    def forget(self, namespace: str, *, was_in: bool) -> None:
        """The socket of a namespace has left, or was not let in."""
        ...

    def close(self, reason: Reason, code: int | None = None, text: str = "") -> None:
        """End the session."""
        ...


class _State(Enum):
    JOINING = 1
    CONNECTED = 2
    LEAVING = 3  # its `disconnecting` listeners run: it is still there
    GONE = 4


class Socket:
    """A client in a namespace: middlewares and handlers get it, the application listens to it and sends by it."""

    __slots__ = (
        "_acks", "_auth", "_data", "_events", "_hub", "_session", "_state",
        "egress", "id", "principal", "starts_in", "user",
    )  # fmt: skip

    def __init__(
        self, id: str, session: Session, hub: "Hub[Socket]", auth: Mapping[str, Any]
    ) -> None:
        # Fixed at creation
        self.id: Final = id
        """20 characters that nobody can guess; also the name of a room with only this socket."""
        self.egress: Final = session.egress
        self._session, self._hub = session, hub
        # Set by middlewares
        self.user: str | None = None
        """Who it is; a socket with a user is in the room `user:<id>` from the start."""
        self.starts_in: tuple[str, ...] = ()
        """Further rooms that it is in from the start."""
        self.principal: Any = None
        """What the application's authentication made of the client; this floor never looks at it."""
        # Changes while open; what many sockets never use is made when it is first needed
        self._state = _State.JOINING
        self._auth = auth or None
        self._data: dict[str, Any] | None = None
        self._events: Events | None = None
        self._acks: Acks | None = None

    def __repr__(self) -> str:
        return f"<Socket {self.id} {self._hub.name} {self._state.name.lower()}>"

    # ── what it is ──
    @property
    def connected(self) -> bool:
        """Whether it is in the namespace: not yet in middlewares, no more after it left."""
        return self._state is _State.CONNECTED or self._state is _State.LEAVING

    @property
    def namespace(self) -> str:
        """Such as `/` or `/clarion`."""
        return self._hub.name

    @property
    def rooms(self) -> tuple[str, ...]:
        """Rooms that it is in, its own first; none after it left."""
        return self._hub.rooms_of(self)

    @property
    def data(self) -> dict[str, Any]:
        """The application's own, for as long as the socket lives."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def handshake(self) -> Handshake:
        """The session's first request, and the `auth` with which this socket came."""
        return replace(self._session.handshake, auth=self._auth or {})

    @property
    def session_id(self) -> str:
        """Id of the session, which it shares with the client's sockets in other namespaces."""
        return self._session.id

    @property
    def transport(self) -> str:
        """`polling` or `websocket`, as it is now."""
        return self._session.transport_name

    def drop_auth(self) -> None:
        """Forget `handshake.auth`: a token that was checked need not lie in memory for the socket's life."""
        self._auth = None

    # ── listening ──
    @overload
    def on(self, event: str | float) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str | float, handler: H) -> H: ...
    def on(self, event: str | float, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with the arguments of each such event; a decorator, or with the handler.

        `disconnecting` (still in its rooms) and `disconnect` tell the reason, one of `protocol.codes.Reason` as text. What a handler
        returns is the answer: see `clarion.realtime.handlers`. Where several listen, the first that ends answers.
        """
        if handler is None:
            return lambda given: self.on(event, given)
        self._made_events().on(event, handler)
        return handler

    def on_any(self, handler: H) -> H:
        """Call a handler with name and arguments of every event, before the event's own; it answers nothing."""
        self._made_events().on_any(handler)
        return handler

    # ── sending ──
    def emit(self, event: str, *args: Any) -> Sent:
        """Send an event to this client: at most once, in order.

        Args:
            event: Its name.
            args: What JSON has, bytes, structs: see `protocol.jsontext.write`.

        Returns:
            What became of it: `NOW`, `QUEUED` while the client does not read, `REFUSED` when it is gone or too slow.

        Raises:
            UsageError: A reserved name, or a value that can't be sent.
        """
        return self.send_event(event, args, is_volatile=False)

    async def emit_with_ack(
        self, event: str, *args: Any, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Any:
        """Send an event and wait for the client's answer.

        Args:
            event: As for `emit`.
            args: As for `emit`.
            timeout_s: How long to wait.

        Returns:
            The first argument of the answer; None if it has none.

        Raises:
            AckTimeout: No answer in time, or more than `limits.pending_acks` were awaited and this was the oldest.
            Disconnected: The client left, or had left before.
            UsageError: As for `emit`.
        """
        hub, id = self._hub, self._hub.next_ack()
        prepared = hub.prepare(event, args, id)
        pending = Pending(hub.wheel, 1, timeout_s, only_one=True)
        if self._state is _State.GONE:
            pending.left()
        else:
            self.acks.expect(id, pending, hub.limits.pending_acks)
            self.deliver(prepared)
        try:
            answer = (await pending.wait())[0]
        finally:
            self.acks.forget(id)
        return answer[0] if answer else None

    def send_event(self, event: str, args: tuple[Any, ...], *, is_volatile: bool) -> Sent:
        """As `emit`; volatile ones are dropped while the client is behind."""
        return self.deliver(self._hub.prepare(event, args), is_volatile=is_volatile)

    def deliver(self, prepared: Any, /, *, is_volatile: bool = False) -> Sent:
        """Send an event that was encoded by `prepare` of this socket's namespace; never raises."""
        if self._state is _State.GONE:
            # Node sends it: the client would get it after it comes back.
            return Sent.REFUSED
        _went_out.inc()
        return self.egress.push_volatile(prepared) if is_volatile else self.egress.push(prepared)

    @property
    def volatile(self) -> SocketOperator:
        """For events that are dropped while the client is behind."""
        return SocketOperator(self, is_volatile=True)

    def timeout(self, seconds: float) -> SocketOperator:
        """For `emit_with_ack`: how long to wait."""
        return SocketOperator(self, timeout_s=seconds)

    @property
    def broadcast(self) -> "Operator[Socket]":
        """Everybody else in the namespace."""
        return Operator(self._hub, Selection((), (self.id,)))

    def to(self, *rooms: str) -> "Operator[Socket]":
        """Everybody else in these rooms."""
        return self.broadcast.to(*rooms)

    def in_(self, *rooms: str) -> "Operator[Socket]":
        """The same as `to`."""
        return self.broadcast.to(*rooms)

    def except_(self, *rooms: str) -> "Operator[Socket]":
        """Everybody else in the namespace who is not in these rooms."""
        return self.broadcast.except_(*rooms)

    # ── rooms ──
    def join(self, *rooms: str) -> None:
        """Go into rooms; does nothing before it is connected and after it left.

        Raises:
            Invalid: A name is no text, empty, longer than `limits.name_bytes`, or has control characters. An error of the peer,
                since names come from clients: raised through a handler it is what the client is answered.
        """
        for room in rooms:
            check_room(room, self._hub.limits.name_bytes)
        if self._state is _State.CONNECTED:
            for room in rooms:
                self._hub.join(self, room)

    def leave(self, room: str) -> None:
        """Leave a room; its own, too."""
        if self._state is _State.CONNECTED:
            self._hub.leave(self, room)

    # ── leaving ──
    def disconnect(self, *, close: bool = False) -> None:
        """Put the client out of the namespace; it does not come back by itself.

        Args:
            close: Out of all namespaces, and end the session.
        """
        if close:
            self._session.close(Reason.SERVER_DISCONNECT, CloseCode.NORMAL)
        elif self._state is _State.CONNECTED or self._state is _State.JOINING:
            self.send(PacketType.DISCONNECT)
            self.left(Reason.SERVER_DISCONNECT)

    def end(self, code: CloseCode) -> None:
        """End the session, for a reason that its client can read, such as `CloseCode.TOKEN_EXPIRED`.

        With a code of 3500-3999 ("stop") the client is put out of all namespaces first, so that it does not come back.
        """
        self._session.close(Reason.FORCED_SERVER_CLOSE, code, code.reason)

    # ── for the session, the namespace and operators ──
    @property
    def is_joining(self) -> bool:
        """Whether its middlewares still run."""
        return self._state is _State.JOINING

    @property
    def acks(self) -> Acks:
        """The questions that it has not answered."""
        if self._acks is None:
            self._acks = Acks()
        return self._acks

    def joined(self) -> None:
        """Let it in: it is in its rooms, and its client is told."""
        self._state = _State.CONNECTED
        self._hub.add(self)
        if self.user is not None:
            self._hub.join(self, f"user:{self.user}")
        for room in self.starts_in:
            self._hub.join(self, room)
        self.send(PacketType.CONNECT, {"sid": self.id})

    def refused(self, why: dict[str, Any]) -> None:
        """Do not let it in, and tell its client why; the session goes on."""
        self.send(PacketType.CONNECT_ERROR, {"message": why["message"], "data": why})
        self._go(was_in=False)

    def greet(self, listener: Listener, event: str) -> None:
        """Call a handler of new sockets; the client's events wait until it has begun, since it may listen to them."""
        self._made_events().start(listener, event)

    def left(self, reason: Reason) -> None:
        """It goes, whoever wanted that; listeners are told once."""
        if self._state is _State.CONNECTED:
            self._state = _State.LEAVING
            self._tell("disconnecting", reason)
            self._hub.discard(self)
            self._go(was_in=True)
            self._tell("disconnect", reason)
            self._events = None  # its handlers and the socket would otherwise keep each other until the garbage is collected
        elif self._state is _State.JOINING:
            self._go(was_in=False)

    def _go(self, *, was_in: bool) -> None:
        self._state = _State.GONE
        self._session.forget(self._hub.name, was_in=was_in)
        if self._acks is not None:
            self._acks.left()

    def received(self, packet: socketio.Packet) -> None:
        """An EVENT came in."""
        self._made_events().received(packet, self._hub.wheel.now())

    def answered(self, packet: socketio.Packet) -> None:
        """An ACK came in."""
        if self._acks is not None and packet.id is not None:
            self._acks.answered(packet.id, packet.data)

    def send(self, kind: PacketType, data: Any = None) -> None:
        """Send a packet that is neither event nor answer."""
        encoded = self._hub.parser.encode(socketio.Packet(kind, self._hub.name, data))
        self.egress.push(prepared_messages(encoded))

    def send_ack(self, id: int, args: tuple[Any, ...]) -> None:
        """Answer an event of the client."""
        if self._state is not _State.GONE:
            encoded = self._hub.parser.encode_ack(self._hub.name, args, id)
            self.egress.push(prepared_messages(encoded))

    def too_fast(self) -> None:
        """The client has sent more events than it may for too long."""
        self._session.close(Reason.FORCED_SERVER_CLOSE, CloseCode.RATE, "rate")

    def _tell(self, event: str, reason: Reason) -> None:
        if self._events is not None or event in self._hub.listeners:
            self._made_events().tell(event, reason.text)

    def _made_events(self) -> Events:
        if self._events is None:
            self._events = Events(self, self._hub.listeners, self._hub.limits, self._hub.runner)
        return self._events


def check_room(name: Any, limit: int) -> None:
    """Raise Invalid unless this can be a room's name."""
    if not isinstance(name, str) or not name:
        raise Invalid("a room's name is text, and not empty")
    if len(name.encode(errors="replace")) > limit:
        raise Invalid(f"a room's name has at most {limit} bytes (limits.name_bytes)")
    if not name.isprintable() and _CONTROL.search(name):
        raise Invalid("a room's name has no control characters")


_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_went_out = events.labels("out")
