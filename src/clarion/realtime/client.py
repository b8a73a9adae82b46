"""One Socket.IO client: a session whose messages are packets, and its sockets, one for each namespace that it is in.

It hands events and answers to the sockets, lets the client into namespaces and out of them, and is the one place where a packet that
is wrong, or comes out of turn, becomes the session's end.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from clarion.errors import PeerError, ProtocolError, TooMany, UnknownNamespace
from clarion.protocol.codes import CloseCode, Reason
from clarion.protocol.parser import Parser
from clarion.protocol.socketio import DecoderLimits, Packet, PacketType
from clarion.realtime import session
from clarion.realtime.admission import spend
from clarion.realtime.conn import Details
from clarion.realtime.handshake import Handshake
from clarion.realtime.namespace import Namespace
from clarion.realtime.namespaces import Found
from clarion.realtime.session import Session, earliest
from clarion.realtime.socket import Socket
from clarion.realtime.transports.base import Transport, prepared_messages
from clarion.telemetry import get_logger, limit_exceeded, packet_bytes, packets

log = get_logger(__name__)

ATTACHMENTS_S: Final = 10.0  # for the attachments of a packet to come
# Of a session, let in or not: each costs a check of a token. A page that joins and leaves all day stays below.
CONNECTS_PER_S: Final = 1.0
CONNECTS_AT_ONCE: Final = 100
# Names of namespaces that a session was in last: where clients make them up, there is no end to them.
LEFT_NAMESPACES: Final = 100

# An Enum's members are looked up in Python before 3.12: 0.1 us each, for every packet.
_CONNECT, _DISCONNECT, _EVENT, _ACK, _ = PacketType


class Shared(session.Shared, Protocol):
    """What all clients of a server share."""

    decoding: DecoderLimits
    parser: Parser
    connect_timeout_s: float
    bare_errors: bool

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """Those that clients can join."""
        ...

    def find_namespace(self, name: str, auth: Mapping[str, Any], found: Found) -> None:
        """Say what a client meant that asked for a namespace that is not there: at once, or later."""
        ...


class Client(Session):
    """A client of the server. Arguments as for `Session`."""

    __slots__ = (
        "_connect_by", "_connects_until", "_decoder", "_left", "_sockets", "_sought", "_whole_by",
    )  # fmt: skip

    _shared: Shared

    def __init__(self, id: str, shared: Shared, handshake: Handshake, transport: Transport) -> None:
        super().__init__(id, shared, handshake, transport)
        # Fixed at creation
        self._decoder = shared.parser.Decoder(shared.decoding)
        # Changes while open
        self._sockets: dict[str, Socket] = {}
        self._left: dict[str, None] | None = None  # namespaces that it was in and is not any more
        self._sought: dict[str, Packet] | None = None  # asked for, and not found yet
        self._connects_until = 0.0  # of their rate: see `admission.spend`
        # Deadlines; None: not running
        self._connect_by: float | None = None
        self._whole_by: float | None = None  # not None  =>  attachments are due

    def open(self) -> None:
        """Say hello, and wait for the first CONNECT."""
        self._connect_by = self._shared.wheel.now() + self._shared.connect_timeout_s
        super().open()

    # ── packets ──
    def on_message(self, message: str | bytes, via: Transport, start: int) -> None:
        """A packet, or a part of one: with its last part it is whole."""
        _bytes_in.value += len(message)
        try:
            packet = self._decoder.add(message, start)
        except ProtocolError as exc:
            self._not_understood(exc)
            return
        if packet is not None:
            _packets_in.value += 1
            self._whole_by = None
            self._handle(packet)
        elif self._whole_by is None:
            self._await_attachments()

    def _handle(self, packet: Packet) -> None:
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

    def _await_attachments(self) -> None:
        # CVE-2026-48804: who is in no namespace may not make us keep anything.
        if not self._sockets:
            self._out_of_turn("attachments before CONNECT")
            return
        self._whole_by = self._shared.wheel.now() + ATTACHMENTS_S
        self._wake()

    # ── coming in, and leaving ──
    def _connect(self, packet: Packet) -> None:
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

    def _enter(self, packet: Packet, namespace: Namespace) -> None:
        socket = namespace.make_socket(self, packet.data or {})
        self._sockets[packet.namespace] = socket
        namespace.admit(socket)

    def _seek(self, packet: Packet) -> None:
        """Perhaps a parent makes this namespace."""
        self._sought = {**(self._sought or {}), packet.namespace: packet}
        name, auth = packet.namespace, packet.data or {}
        self._shared.find_namespace(name, auth, lambda found: self._found(packet, found))

    def _found(self, packet: Packet, found: Namespace | PeerError) -> None:
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
        packet = Packet(PacketType.CONNECT_ERROR, namespace, told)
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

    # ── errors become closes ──
    def _not_understood(self, exc: ProtocolError) -> None:
        """What comes next can't be understood either."""
        if not self.is_open:
            return  # it has ended by what came before
        log.debug("packet refused", sid=self.id, why=str(exc))
        if exc.facts.get("name") == "attachments":
            limit_exceeded.labels("attachments").inc()
        if exc.facts.get("name") == "wrong_parser" and not self._sockets:
            log.info("the client speaks the other parser: see realtime.parser", sid=self.id)
            self.close(Reason.FORCED_CLOSE, CloseCode.WRONG_PARSER, "wrong parser")
        else:
            self.close(Reason.FORCED_CLOSE, why=str(exc))

    def _out_of_turn(self, why: str) -> None:
        """A packet that may not come now."""
        log.debug("packet out of turn", sid=self.id, why=why)
        self.close(Reason.FORCED_SERVER_CLOSE, why=why)

    # ── time, and the end ──
    def on_time(self, now: float) -> float | None:
        """Something may be due."""
        if self._connect_by is not None and now >= self._connect_by:
            self._connect_by = None
            if not self._left and not any(each.connected for each in self._sockets.values()):
                self.close(Reason.FORCED_SERVER_CLOSE, CloseCode.UNAUTHENTICATED, "unauthenticated")
        if self._whole_by is not None and now >= self._whole_by:
            self.close(Reason.FORCED_CLOSE, CloseCode.POLICY, "attachments did not come")
        return super().on_time(now)

    def _deadline(self) -> float | None:
        return earliest(super()._deadline(), self._connect_by, self._whole_by)

    def on_last_words(self) -> None:
        """Put its sockets out: clients do not come back after DISCONNECT."""
        for socket in self._sockets.values():
            socket.dismiss()

    def on_end(self, reason: Reason, details: Details | None) -> None:
        """Its sockets leave with it."""
        self._connect_by = self._whole_by = self._sought = None
        self._decoder.clear()
        for socket in list(self._sockets.values()):
            socket.left(reason, details)


_packets_in, _bytes_in = packets.labels("in"), packet_bytes.labels("in")
