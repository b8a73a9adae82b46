"""One client in one namespace.

A socket is made when the client asks to come in, is seen by the middlewares, becomes connected or is refused, and leaves once.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from msgspec.structs import replace

from clarion.errors import Disconnected, Invalid, UsageError
from clarion.protocol import socketio
from clarion.protocol.codes import CloseCode, Reason
from clarion.protocol.socketio import PacketType
from clarion.realtime.acks import DEFAULT_TIMEOUT_S, Acks, Pending, checked_timeout
from clarion.realtime.addressing import Addressing
from clarion.realtime.conn import Connection, Details, Session
from clarion.realtime.egress import Sent
from clarion.realtime.events import Events
from clarion.realtime.handlers import Listener
from clarion.realtime.handshake import Handshake
from clarion.realtime.history import Stays
from clarion.realtime.hub import Hub
from clarion.realtime.listening import Listening
from clarion.realtime.outgoing import Outgoing
from clarion.realtime.peers import Selection
from clarion.realtime.recovery import Restored
from clarion.realtime.rooms import check_room, flat
from clarion.realtime.shelf import Recoverable
from clarion.realtime.transports.base import Prepared, prepared_messages
from clarion.telemetry import events, packet_bytes, packets


class _State(Enum):
    JOINING = 1
    CONNECTED = 2
    LEAVING = 3  # its `disconnecting` listeners run: it is still there
    GONE = 4


# An Enum's members are looked up in Python before 3.12: 0.1 us each, on paths that ask several times.
_JOINING, _CONNECTED, _LEAVING, _GONE = _State


class Socket(Listening, Addressing["Socket"]):
    """A client in a namespace: middlewares and handlers get it, the application listens to it and sends by it."""

    __slots__ = (
        "_acks", "_auth", "_data", "_events", "_hub", "_session", "_state", "_user",
        "egress", "id", "principal", "recoverable", "starts_in", "user_room",
    )  # fmt: skip

    def __init__(
        self, id: str, session: Session, hub: "Hub[Socket]", auth: Mapping[str, Any]
    ) -> None:
        # Fixed at creation
        self.id = id
        """20 characters that nobody can guess; also the name of a room with only this socket. A socket that is recovered gets that of
        the former one when it connects, after the middlewares."""
        self.egress: Final = session.egress
        self._session, self._hub = session, hub
        # Set by middlewares
        self._user: str | None = None
        self.user_room: str | None = None
        """The room of all sockets of its user, by which limits and recovery tell users apart: `user:<id>` where `user` is set."""
        self.starts_in: tuple[str, ...] = ()
        """Further rooms that it is in from the start."""
        self.principal: Any = None
        """What the application's authentication made of the client; this floor never looks at it."""
        # Changes while open; what many sockets never use is made when it is first needed
        self._state = _JOINING
        self._auth = auth or None
        self._data: dict[str, Any] | None = None
        self._events: Events | None = None
        self._acks: Acks | None = None
        self.recoverable: Recoverable | None = None  # None: recovery is off
        hub.guests += 1

    def __repr__(self) -> str:
        return f"<Socket {self.id} {self._hub.name} {self._state.name.lower()}>"

    # ── what it is ──
    @property
    def connected(self) -> bool:
        """Whether it is in the namespace: not yet in middlewares, no more after it left."""
        return self._state is _CONNECTED or self._state is _LEAVING

    @property
    def namespace(self) -> str:
        """Such as `/` or `/clarion`."""
        return self._hub.name

    @property
    def nsp(self) -> Any:
        """The namespace itself: `socket.nsp.emit(…)` reaches everybody, this client included."""
        return self._hub.namespace

    @property
    def user(self) -> str | None:
        """Who it is; a socket with a user is in the room `user:<id>` from the start.

        Raises:
            UsageError: It is set after the middlewares: limits and recovery have gone by what it was.
        """
        return self._user

    @user.setter
    def user(self, user: str | None) -> None:
        if self._state is _GONE:
            return  # it left while a middleware was finding out
        if self._state is not _JOINING:
            raise UsageError(
                "a socket's user is set by a middleware, before the socket is connected"
            )
        self._user = user
        self.user_room = None if user is None else f"user:{user}"

    @property
    def recovered(self) -> bool:
        """Whether it is a former socket that has come back, with its rooms and data; False in middlewares."""
        return self.recoverable is not None and self.recoverable.recovered

    @property
    def unanswered_s(self) -> float:
        """For how long its client has not answered a ping, nor said anything else (s); 0: it has."""
        return self._session.unanswered_s

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
    def conn(self) -> Connection:
        """What the session runs on, as it is now."""
        session = self._session
        return Connection(session.id, session.transport_name, session.handshake.address)

    @property
    def transport(self) -> str:
        """`polling` or `websocket`, as it is now."""
        return self._session.transport_name

    def drop_auth(self) -> None:
        """Forget `handshake.auth`: a token that was checked need not lie in memory for the socket's life."""
        self._auth = None

    # ── sending ──
    def emit(self, event: str, *args: Any) -> Sent:
        """Send an event to this client: at most once, in order.

        Args:
            event: Its name.
            args: What JSON has, bytes, structs: see `protocol.jsontext.write`.

        Returns:
            What became of it. `NOW`: it leaves with this turn of the loop. `QUEUED`: the client is behind, and it waits: whoever
            has much to send should `await socket.drained()`. `REFUSED`: the client is gone, or is being closed because more
            than `limits.egress_hard_bytes` waited. Of `socket.volatile.emit` also `DROPPED`: the client is behind.

        Raises:
            UsageError: A reserved name, or a value that can't be sent.
        """
        return self.send_event(event, args, is_volatile=False)

    async def drained(self) -> None:
        """Wait until the client has taken what was sent, but for `limits.egress_soft_bytes`: at once where it keeps up.

        Raises:
            Disconnected: The client left, or had left before.
        """
        if self.connected or self.is_joining:
            await self._session.drained()
        if not (self.connected or self.is_joining):
            raise Disconnected("the client left before it took all")

    async def emit_with_ack(
        self,
        event: str,
        *args: Any,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        all_args: bool = False,
    ) -> Any:
        """Send an event and wait for the client's answer.

        Args:
            event: As for `emit`.
            args: As for `emit`.
            timeout_s: How long to wait.
            all_args: Want all arguments of the answer, as a tuple.

        Returns:
            The first argument of the answer; None if it has none.

        Raises:
            AckTimeout: No answer in time, or more than `limits.pending_acks` were awaited and this was the oldest.
            Disconnected: The client left, or had left before.
            UsageError: As for `emit`, or the time-out is no number above 0.
        """
        timeout_s = checked_timeout(timeout_s)
        return await self.ask(event, args, timeout_s=timeout_s, all_args=all_args, compress=True)

    async def ask(
        self, event: str, args: tuple[Any, ...], *, timeout_s: float, all_args: bool, compress: bool
    ) -> Any:
        """As `emit_with_ack`, with everything said."""
        hub, id = self._hub, self._hub.next_ack()
        prepared = hub.prepare(event, args, id, compress=compress)
        pending = Pending(hub.wheel, 1, timeout_s, only_one=True, all_args=all_args)
        if self._state is _GONE:
            pending.left()
        else:
            self.acks.expect(id, pending, hub.limits.pending_acks)
            self.deliver(prepared)
        try:
            return pending.told((await pending.wait())[0])
        finally:
            self.acks.forget(id)

    def send_event(
        self, event: str, args: tuple[Any, ...], *, is_volatile: bool, compress: bool = True
    ) -> Sent:
        """As `emit`; volatile ones are dropped while the client is behind."""
        hub = self._hub
        if hub.recovery is None:
            prepared = hub.prepare(event, args, compress=compress)
        else:
            # Before it is let in nothing is kept for it, and after it has gone nothing more is sent to it.
            is_kept = self.connected and not is_volatile
            own = Selection((self.id,))
            if is_kept and hub.hand_over(own, event, args, compress=compress):
                return Sent.QUEUED
            prepared = hub.prepare_kept(
                hub.recovery, own, event, args, is_volatile=not is_kept, compress=compress
            )
        return self.deliver(prepared, is_volatile=is_volatile)

    @property
    def is_slow(self) -> bool:
        """Whether more waits for this client than `limits.egress_soft_bytes`."""
        return self.egress.is_past_soft

    def deliver(self, prepared: Prepared, /, *, is_volatile: bool = False) -> Sent:
        """Send an event that was encoded by `prepare` of this socket's namespace; never raises."""
        if self._state is _GONE:
            # Node sends it: the client would get it after it comes back.
            return Sent.REFUSED
        if self._hub.outgoing.is_heard:
            self._hub.outgoing.tell((self,), prepared.event)
        _events_out.value += 1
        _count_out(prepared)
        return self.egress.push_volatile(prepared) if is_volatile else self.egress.push(prepared)

    # ── rooms ──
    def join(self, *rooms: str | Iterable[str]) -> None:
        """Go into rooms, named one by one or in a list; does nothing before it is connected and after it left.

        Raises:
            Invalid: A name is no text, empty, longer than `limits.name_bytes`, or has control characters. An error of the peer,
                since names come from clients: raised through a handler it is what the client is answered.
        """
        named = list(flat(rooms))
        for room in named:
            check_room(room, self._hub.limits.name_bytes)
        if self._state is _CONNECTED:
            for room in named:
                self._hub.join(self, room)

    def leave(self, room: str) -> None:
        """Leave a room; its own, too.

        Raises:
            Invalid: The name is no text, as for `join`.
        """
        if not isinstance(room, str):
            raise Invalid(f"a room's name is text, not {type(room).__name__}")
        if self._state is _CONNECTED:
            self._hub.leave(self, room)

    # ── leaving ──
    def disconnect(self, *, close: bool = False) -> None:
        """Put the client out of the namespace; it does not come back by itself.

        Args:
            close: Out of all namespaces, and end the session.
        """
        if close:
            self._session.close(Reason.SERVER_DISCONNECT, CloseCode.NORMAL)
        elif self._state is _CONNECTED or self._state is _JOINING:
            self.send_packet(PacketType.DISCONNECT)
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
        return self._state is _JOINING

    @property
    def acks(self) -> Acks:
        """The questions that it has not answered."""
        if self._acks is None:
            self._acks = Acks()
        return self._acks

    @property
    def stays(self) -> Stays | None:
        """The rooms that it was in, for as long as its client may come back to it."""
        return None if self.recoverable is None else self.recoverable.stays

    def joined(self, restored: Restored | None = None) -> None:
        """Let it in: it is in its rooms, and its client is told. With `restored` it is the socket that its client was."""
        self._state = _CONNECTED
        recovery, was_in = self._hub.recovery, None
        if restored is not None:
            was_in = restored.parked.stays.rooms
            self._become(restored)
        told = {"sid": self.id}
        if recovery is not None:
            told["pid"] = recovery.began(self, restored)
        self._hub.add(self)
        if self.user_room is not None:
            self._hub.join(self, self.user_room)
        for room in self.starts_in:
            self._hub.join(self, room)
        if was_in is not None:
            self._rejoin(was_in)
        self.send_packet(PacketType.CONNECT, told)

    def _become(self, restored: Restored) -> None:
        was = restored.parked
        self.id = was.id
        # What middlewares have just set is newer.
        self._data = was.data | (self._data or {})
        for item in restored.items:
            self.egress.push(item)

    def _rejoin(self, rooms: tuple[str, ...]) -> None:
        for room in rooms:
            self._hub.join(self, room)
        if self.id not in rooms:
            self._hub.leave(self, self.id)

    def refused(self, why: dict[str, Any]) -> None:
        """Do not let it in, and tell its client why; the session goes on."""
        self.send_packet(PacketType.CONNECT_ERROR, {"message": why["message"], "data": why})
        self._go(was_in=False)
        self._forget()

    def one_too_many(self, why: dict[str, Any]) -> None:
        """Do not let it in because its user has too many, and have the session end that is good for nothing else."""
        self.refused(why)
        self._session.unwanted()

    def greet(self, listener: Listener, event: str) -> None:
        """Call a handler of new sockets; the client's events wait until it has begun, since it may listen to them."""
        self._made_events().start(listener, event)

    def left(self, reason: Reason, details: Details | None = None) -> None:
        """It goes, whoever wanted that; listeners are told once."""
        if self._state is _CONNECTED:
            self._state = _LEAVING
            self._tell("disconnecting", reason, details)
            if self._hub.recovery is not None:
                self._hub.recovery.ended(self, may_return=reason.recoverable)
            self._hub.discard(self)
            self._go(was_in=True)
            self._tell("disconnect", reason, details)
            self._forget()
        elif self._state is _JOINING:
            self._go(was_in=False)
            self._forget()

    def _go(self, *, was_in: bool) -> None:
        self._state = _GONE
        self._session.forget(self._hub.name, was_in=was_in)
        if self._acks is not None:
            self._acks.left()

    def _forget(self) -> None:
        """Keep nothing of what was registered, and nothing alive that is over."""
        if self._events is not None:
            self._events.clear()
            self._events = None
        self._hub.outgoing.remove(self)
        self._hub.departed()

    def received(self, packet: socketio.Packet) -> None:
        """An EVENT came in."""
        self._made_events().received(packet, self._hub.wheel.now())

    def answered(self, packet: socketio.Packet) -> None:
        """An ACK came in."""
        if self._acks is not None and packet.id is not None:
            self._acks.answered(packet.id, packet.data)

    def send_packet(self, kind: PacketType, data: Any = None) -> None:
        """Send a packet that is neither event nor answer."""
        encoded = self._hub.parser.encode(socketio.Packet(kind, self._hub.name, data))
        self.egress.push(_count_out(prepared_messages(encoded)))

    def send_ack(self, id: int, args: tuple[Any, ...]) -> None:
        """Answer an event of the client."""
        if self._state is not _GONE:
            encoded = self._hub.parser.encode_ack(self._hub.name, args, id)
            self.egress.push(_count_out(prepared_messages(encoded)))

    def dismiss(self) -> None:
        """Tell its client not to come back; the session is about to end."""
        self.send_packet(PacketType.DISCONNECT)
        if self._hub.recovery is not None:
            self._hub.recovery.ended(self, may_return=False)

    def superseded(self) -> None:
        """Its client is back on another connection: this one is dead, though nobody has told us."""
        self._session.close(Reason.TRANSPORT_CLOSE, CloseCode.GOING_AWAY, "superseded")

    def too_fast(self) -> None:
        """The client has sent more events than it may for too long."""
        self._session.close(Reason.FORCED_SERVER_CLOSE, CloseCode.RATE, "rate")

    def _tell(self, event: str, reason: Reason, details: Details | None) -> None:
        if self._events is not None or event in self._hub.listeners.by_event:
            self._made_events().tell(event, reason.text, details)

    def _outgoing(self) -> "Outgoing[Socket]":
        return self._hub.outgoing

    def _whose(self) -> "Socket":
        return self

    def _made_events(self) -> Events:
        if self._events is None:
            self._events = Events(self, self._hub.listeners, self._hub.limits, self._hub.runner)
        return self._events


def _count_out(prepared: Prepared) -> Prepared:
    _packets_out.value += 1
    _bytes_out.value += prepared.size
    return prepared


_events_out = events.labels("out")
_packets_out, _bytes_out = packets.labels("out"), packet_bytes.labels("out")
