"""One client's session: the shell around the protocol's state machine.

It owns the transports, feeds what they receive to the machine and does what that answers; hands packets to the sockets of
the namespaces; and is the one place where errors become closes. It decides nothing that `protocol.session` can decide.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, assert_never

from clarion.errors import PeerError, ProtocolError, TooMany, UnknownNamespace
from clarion.protocol import engineio, socketio
from clarion.protocol.codes import CloseCode, Reason
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.parser import Parser
from clarion.protocol.session import (
    DELIVER,
    Closed,
    Deliver,
    Events,
    ProbeClosed,
    ReleasePoll,
    Send,
    State,
    Timing,
    Upgraded,
)
from clarion.protocol.session import Session as Machine
from clarion.protocol.socketio import DecoderLimits, PacketType
from clarion.realtime.admission import Ingress, spend
from clarion.realtime.conn import Details
from clarion.realtime.egress import Egress, Flusher
from clarion.realtime.handshake import Handshake
from clarion.realtime.heartbeat import Timed, Wheel
from clarion.realtime.namespace import Namespace
from clarion.realtime.namespaces import Found
from clarion.realtime.socket import Socket
from clarion.realtime.transports.base import Transport, prepared_engine, prepared_messages
from clarion.settings import Limits
from clarion.telemetry import (
    get_logger,
    limit_exceeded,
    packet_bytes,
    packets,
    session_closed,
    sessions,
)

log = get_logger(__name__)

ATTACHMENTS_S: Final = 10.0  # for the attachments of a packet to come
# Of a session, let in or not: each costs a check of a token. A page that joins and leaves all day stays below.
CONNECTS_PER_S: Final = 1.0
CONNECTS_AT_ONCE: Final = 100
# Names of namespaces that a session was in last: where clients make them up, there is no end to them.
LEFT_NAMESPACES: Final = 100


# An Enum's members are looked up in Python before 3.12: 0.1 us each, for every packet.
_CONNECT, _DISCONNECT, _EVENT, _ACK, _ = PacketType


class Shared(Protocol):
    """What all sessions of a server share."""

    limits: Limits
    timing: Timing
    decoding: DecoderLimits
    parser: Parser
    connect_timeout_s: float
    upgrades: Sequence[str]
    ingress: Ingress
    wheel: Wheel
    flusher: Flusher
    bare_errors: bool

    def aged_by(self, now: float) -> float | None:
        """When a session that begins now has lived long enough; None: never."""
        ...

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """Those that clients can join."""
        ...

    def find_namespace(self, name: str, auth: Mapping[str, Any], found: Found) -> None:
        """Say what a client meant that asked for a namespace that is not there: at once, or later."""
        ...

    def ended(self, session: "Session") -> None:
        """Forget a session."""
        ...


class Session(Timed):
    """A client, whatever transport it is on.

    Args:
        id: Its id.
        shared: The server's part.
        handshake: What it said.
        transport: On which it begins; `open` follows.
    """

    __slots__ = (
        "_aged_by",
        "_connect_by",
        "_connects_until",
        "_credit",
        "_decoder",
        "_drained",
        "_left",
        "_machine",
        "_probe",
        "_refilled_at",
        "_shared",
        "_sockets",
        "_sought",
        "_transport",
        "_whole_by",
        "egress",
        "handshake",
        "id",
    )  # fmt: skip

    def __init__(self, id: str, shared: Shared, handshake: Handshake, transport: Transport) -> None:
        super().__init__()
        # Fixed at creation
        self.id: Final = id
        self.handshake: Final = handshake
        self.egress: Final = Egress(self, shared.flusher, transport)
        self._shared = shared
        self._machine = Machine(shared.timing)
        self._decoder = shared.parser.Decoder(shared.decoding)
        # Changes while open
        self._transport = transport
        self._sockets: dict[str, Socket] = {}
        self._left: dict[str, None] | None = None  # namespaces that it was in and is not any more
        self._sought: dict[str, socketio.Packet] | None = None  # asked for, and not found yet
        # What it may still send before the clock is asked, and when that was done last: see `admission.Ingress`.
        self._credit = shared.ingress.burst
        self._refilled_at = 0.0
        self._connects_until = 0.0  # of their rate: see `admission.spend`
        # Deadlines; None: not running
        self._connect_by: float | None = None
        self._whole_by: float | None = None  # not None  =>  attachments are due
        self._aged_by: float | None = None
        # Only while upgrading
        self._probe: Transport | None = None
        # Only while somebody waits for the client to read
        self._drained: asyncio.Future[None] | None = None

    # ── what it is ──
    @property
    def transport(self) -> Transport:
        """Where its messages go now."""
        return self._transport

    @property
    def transport_name(self) -> str:
        """`polling` or `websocket`."""
        return self._transport.kind.value

    @property
    def expects(self) -> Kind | None:
        """The transport that requests with its id must name; None once it has ended."""
        return self._machine.transport

    @property
    def is_open(self) -> bool:
        """Whether messages come and go."""
        return self._machine.is_open

    # ── beginning ──
    def open(self) -> None:
        """Say hello on the transport; the session exists for the client from now on."""
        now, shared = self._shared.wheel.now(), self._shared
        kind = self._transport.kind
        self._refilled_at = now
        self._connect_by = now + shared.connect_timeout_s
        self._aged_by = shared.aged_by(now)
        self._machine.open(kind, now)
        hello = engineio.handshake(
            self.id,
            upgrades=shared.upgrades if kind is Kind.POLLING else (),
            ping_interval_s=shared.timing.ping_interval_s,
            ping_timeout_s=shared.timing.ping_timeout_s,
            max_payload_bytes=shared.limits.max_payload_bytes,
        )
        self.egress.push(prepared_engine(hello))
        sessions.labels(kind.value).inc()
        self._wake()

    def probe(self, transport: Transport) -> bool:
        """Let a second transport try to take over; False: it must be closed."""
        if not self._machine.begin_probe(self._shared.wheel.now()):
            return False
        self._probe = transport
        self._wake()
        return True

    # ── from the network ──
    def receive(self, message: str | bytes, via: Transport) -> None:
        """One message came in."""
        if via is not self._transport and via is not self._probe:
            return  # a WebSocket that was not let probe, or polling after the upgrade
        self._credit -= len(message) + self._shared.ingress.message_bytes
        if self._credit < 0:
            self._took_too_much(via)
        # The hot path: what is for the application needs neither an Engine.IO packet nor the machine's events.
        if message[:1] == "4" or type(message) is bytes:
            if self._machine.hears(via.kind, self._shared.wheel.now):
                self._feed(message, via, 1)
                return
        try:
            self._take(engineio.decode(message), via)
        except ProtocolError as exc:
            self._broke(exc, Reason.PARSE_ERROR, via)

    def receive_payload(self, body: bytes, via: Transport) -> bool:
        """A polling body came in; False if there was something wrong with it: then the session has ended."""
        self._credit -= len(body)
        try:
            for packet in engineio.decode_payload(body, self._shared.limits.packets_per_payload):
                self._credit -= self._shared.ingress.message_bytes
                self._take(packet, via)
        except ProtocolError as exc:
            if exc.facts.get("name") == "too_many_packets":
                limit_exceeded.labels("packets_per_payload").inc()
            self._broke(exc, Reason.PARSE_ERROR, via)
            return False
        if self._credit < 0:
            self._took_too_much(via)
        return True

    def _took_too_much(self, via: Transport) -> None:
        """The client has used up what it may send, unless time has brought more."""
        now = self._shared.wheel.now()
        self._credit, hold_s = self._shared.ingress.refill(self._credit, self._refilled_at, now)
        self._refilled_at = now
        if hold_s:
            limit_exceeded.labels("bytes_per_s").inc()
            via.throttle(hold_s)

    def polled(self, via: Transport) -> None:
        """A GET is held: give it what waits, and `6` where the client must be let go of polling."""
        if self._machine.releases_polls and self.egress.is_empty:
            self.egress.push(prepared_engine(engineio.NOOP))
        self.writable(via)
        self._fetched()

    def writable(self, via: Transport) -> None:
        """The peer can take more."""
        if via is self._transport:
            self.egress.resumed()
            self.egress.flush()
            self._tell_drained()

    async def drained(self) -> None:
        """Wait until at most the soft mark waits to be sent, or the session has ended."""
        await asyncio.sleep(0)  # what was sent in this turn leaves with its end
        while self._machine.is_open and self.egress.waiting > self._shared.limits.egress_soft_bytes:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _tell_drained(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def full(self, via: Transport) -> None:
        """The peer takes no more for now."""
        if via is self._transport:
            self.egress.full()

    def lost(self, via: Transport, reason: Reason = Reason.TRANSPORT_CLOSE) -> None:
        """A transport has ended, or its peer broke the rules."""
        if via is self._transport or via is self._probe:
            self._execute(self._machine.lost(via.kind, reason))
            self._fetched()

    # ── to the network ──
    def close(self, reason: Reason, code: int | None = None, text: str = "") -> None:
        """End it; what was sent before still goes out.

        Args:
            reason: What its sockets are told.
            code: Close code on a WebSocket. One of 3500-3999 ("stop") puts the sockets out first: clients of other libraries
                read no code, but they do not come back after DISCONNECT.
            text: For people.
        """
        is_final = reason is Reason.SERVER_DISCONNECT or (code is not None and 3500 <= code < 4000)
        if is_final and self._machine.is_open:
            for socket in self._sockets.values():
                socket.dismiss()
        events = self._machine.close(reason, self._shared.wheel.now(), code=code, text=text)
        self._execute(events)

    def drain(self) -> None:
        """The server stops, and it is this session's turn: its client comes back, elsewhere or later."""
        self.close(Reason.SHUTTING_DOWN, CloseCode.DRAINING, "draining")

    def overflowed(self, waiting: int) -> None:
        """More waits than may."""
        log.info("session is too slow", sid=self.id, queued_bytes=waiting)
        self.close(Reason.TRANSPORT_ERROR, CloseCode.SLOW, "slow")

    # ── time ──
    def on_time(self, now: float) -> float | None:
        """Something may be due."""
        if self._connect_by is not None and now >= self._connect_by:
            self._connect_by = None
            if not self._left and not any(each.connected for each in self._sockets.values()):
                self.close(Reason.FORCED_SERVER_CLOSE, CloseCode.UNAUTHENTICATED, "unauthenticated")
        if self._whole_by is not None and now >= self._whole_by:
            self.close(Reason.FORCED_CLOSE, CloseCode.POLICY, "attachments did not come")
        if self._aged_by is not None and now >= self._aged_by:
            limit_exceeded.labels("connection_age_s").inc()
            self.close(Reason.FORCED_SERVER_CLOSE, CloseCode.AGED, "aged")
        self._execute(self._machine.expire(now))
        self._fetched()
        return self._deadline()

    def _deadline(self) -> float | None:
        when = self._machine.deadline
        for other in (self._connect_by, self._whole_by, self._aged_by):
            if other is not None and (when is None or other < when):
                when = other
        return when

    def _wake(self) -> None:
        """Have the wheel call in time."""
        when = self._deadline()
        if when is not None:
            self._shared.wheel.set(self, when)

    # ── packets ──
    def _take(self, packet: engineio.Packet, via: Transport) -> None:
        events = self._machine.receive(packet, self._shared.wheel.now(), via.kind)
        if events is DELIVER:
            self._feed(packet.data, via, 0)
        else:
            self._execute(events)

    def _feed(self, message: str | bytes, via: Transport, start: int) -> None:
        """A message for the application: with its last part a packet is whole."""
        _bytes_in.value += len(message)
        try:
            packet = self._decoder.add(message, start)
        except ProtocolError as exc:
            self._broke(exc, Reason.FORCED_CLOSE, via)
            return
        if packet is not None:
            _packets_in.value += 1
            self._whole_by = None
            self._handle(packet)
        elif self._whole_by is None:
            self._await_attachments()

    def _await_attachments(self) -> None:
        # CVE-2026-48804: who is in no namespace may not make us keep anything.
        if not self._sockets:
            self._out_of_turn("attachments before CONNECT")
            return
        self._whole_by = self._shared.wheel.now() + ATTACHMENTS_S
        self._wake()

    def _handle(self, packet: socketio.Packet) -> None:
        kind, socket = packet.type, self._sockets.get(packet.namespace)
        if kind is _EVENT and socket is not None and not socket.is_joining:
            socket.received(packet)  # nearly all
        elif kind is _CONNECT:
            # Node takes a second CONNECT while a middleware runs, and one of the two sockets is nobody's.
            if socket is not None or (self._sought and packet.namespace in self._sought):
                self._out_of_turn("a second CONNECT")
            else:
                self._connect(packet)
        elif socket is None or (socket.is_joining and kind is not _DISCONNECT):
            if kind is _DISCONNECT and self._sought and packet.namespace in self._sought:
                del self._sought[packet.namespace]
            # Late packets of a namespace that was left are on their way in good faith.
            elif self._left is None or packet.namespace not in self._left:
                self._out_of_turn(f"{kind.name} in a namespace that was not joined")
        elif kind is _ACK:
            socket.answered(packet)
        elif kind is _DISCONNECT:
            socket.left(Reason.CLIENT_DISCONNECT)
        else:
            self._out_of_turn("CONNECT_ERROR from a client")

    def _connect(self, packet: socketio.Packet) -> None:
        now = self._shared.wheel.now()
        self._connects_until, wait_s = spend(
            self._connects_until, now, CONNECTS_PER_S, burst=CONNECTS_AT_ONCE
        )
        if wait_s:
            self._out_of_turn("too many CONNECTs")
            return
        limit = self._shared.limits.namespaces
        namespace = self._shared.namespaces.get(packet.namespace)
        if len(self._sockets) + len(self._sought or ()) >= limit:
            limit_exceeded.labels("namespaces").inc()
            why = f"a session has at most {limit} namespaces (limits.namespaces)"
            self._refuse(packet.namespace, TooMany(why, limit=limit))
        elif namespace is None:
            self._seek(packet)
        else:
            self._enter(packet, namespace)

    def _enter(self, packet: socketio.Packet, namespace: Namespace) -> None:
        socket = namespace.make_socket(self, packet.data or {})
        self._sockets[packet.namespace] = socket
        namespace.admit(socket)

    def _seek(self, packet: socketio.Packet) -> None:
        """Perhaps a parent makes this namespace."""
        self._sought = {**(self._sought or {}), packet.namespace: packet}
        name, auth = packet.namespace, packet.data or {}
        self._shared.find_namespace(name, auth, lambda found: self._found(packet, found))

    def _found(self, packet: socketio.Packet, found: Namespace | PeerError) -> None:
        name = packet.namespace
        if self._sought is None or self._sought.get(name) is not packet:
            return  # the client left meanwhile
        del self._sought[name]
        if not isinstance(found, PeerError):
            self._enter(packet, found)
        else:
            is_bare = isinstance(found, UnknownNamespace) and self._shared.bare_errors
            self._refuse(name, found, is_bare=is_bare)

    def _refuse(self, namespace: str, why: PeerError, *, is_bare: bool = False) -> None:
        told = {"message": why.message} | ({} if is_bare else {"data": why.as_answer()})
        packet = socketio.Packet(PacketType.CONNECT_ERROR, namespace, told)
        self.egress.push(prepared_messages(self._shared.parser.encode(packet)))

    def forget(self, namespace: str, *, was_in: bool) -> None:
        """A socket has left, or was not let in."""
        self._sockets.pop(namespace, None)
        if was_in:
            left = {} if self._left is None else self._left
            left.pop(namespace, None)
            left[namespace] = None
            if len(left) > LEFT_NAMESPACES:
                del left[next(iter(left))]
            self._left = left

    def unwanted(self) -> None:
        """Its user has too many already: end it, unless it is in another namespace."""
        if not self._sockets:
            code = CloseCode.TOO_MANY_CONNECTIONS
            self.close(Reason.SERVER_DISCONNECT, code, code.reason)

    # ── errors: the one place where they become closes ──
    def _broke(self, exc: ProtocolError, reason: Reason, via: Transport) -> None:
        """A packet does not parse: on Engine.IO's level the transport is at fault, on Socket.IO's the session is closed."""
        if not self._machine.is_open:
            return  # it has ended by what came before
        log.debug("packet refused", sid=self.id, reason=reason.text, why=str(exc))
        if reason is Reason.PARSE_ERROR:
            self._execute(self._machine.lost(via.kind, reason), str(exc))
        elif exc.facts.get("name") == "wrong_parser" and not self._sockets:
            log.info("the client speaks the other parser: see realtime.parser", sid=self.id)
            self.close(reason, CloseCode.WRONG_PARSER, "wrong parser")
        else:
            self._execute(self._machine.close(reason, self._shared.wheel.now()), str(exc))

    def _out_of_turn(self, why: str) -> None:
        """A packet that may not come now."""
        log.debug("packet out of turn", sid=self.id, why=why)
        events = self._machine.close(Reason.FORCED_SERVER_CLOSE, self._shared.wheel.now())
        self._execute(events, why)

    # ── doing what the machine says ──
    def _execute(self, events: Events, why: str = "") -> None:
        for event in events:
            match event:
                case Send(packet, via):
                    self._send(packet, via)
                case ReleasePoll():
                    if self._transport.is_writable and self.egress.is_empty:
                        self.egress.push(prepared_engine(engineio.NOOP))
                case Upgraded():
                    self._upgrade()
                case ProbeClosed():
                    self._end_probe()
                case Closed(reason, code, text):
                    self._end(reason, code, text, why)
                case Deliver():
                    raise AssertionError("DELIVER is compared with `is`")
                case _:
                    assert_never(event)

    def _send(self, packet: engineio.Packet, via: Kind) -> None:
        if via is self._transport.kind:
            self.egress.push(prepared_engine(packet))
        elif self._probe is not None:
            self._probe.write(prepared_engine(packet))

    def _upgrade(self) -> None:
        assert self._probe is not None, "only a probe upgrades"
        old, self._transport, self._probe = self._transport, self._probe, None
        sessions.labels(old.kind.value).dec()
        sessions.labels(self._transport.kind.value).inc()
        if old.is_writable:
            old.write(prepared_engine(engineio.NOOP))
        self.egress.attach(self._transport)
        self._tell_drained()

    def _end_probe(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close(None, "")

    def _end(self, reason: Reason, code: int | None, text: str, why: str) -> None:
        """The session's end; on polling its last packets may still wait to be fetched.

        Args:
            reason: What its sockets are told.
            code: For the close frame.
            text: For the close frame.
            why: For the application alone.
        """
        self._connect_by = self._whole_by = self._aged_by = self._sought = None
        self._decoder.clear()
        self.egress.finish(keep=self._machine.state is State.CLOSING)
        self._transport.close(code, text)
        self._tell_drained()
        session_closed.labels(reason.name.lower()).inc()
        sessions.labels(self._transport.kind.value).dec()
        details = Details(code, text or why) if code or text or why else None
        for socket in list(self._sockets.values()):
            socket.left(reason, details)
        self._fetched()
        self._wake()

    def _fetched(self) -> None:
        """Forget the session once nothing of it waits any more."""
        if self._machine.state is State.CLOSING and self.egress.is_empty:
            self._machine.flushed()
        if self._machine.state is State.CLOSED:
            self._shared.ended(self)


_packets_in, _bytes_in = packets.labels("in"), packet_bytes.labels("in")
