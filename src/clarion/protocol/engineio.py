"""Engine.IO v4: packets, polling payloads, the handshake, and which requests are refused.

    packet   = type digit, text            one WebSocket text message
             | bytes                       one WebSocket binary message: all of it is data, there is no type
    payload  = packet *( 0x1e packet )     one polling body; binary is "b", base64

JSON escapes 0x1e, so the separator never stands inside a Socket.IO packet.
Source: the Engine.IO protocol, revision 4, and what engine.io 6.6 does on the wire.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Collection, Iterator, Sequence
from enum import Enum
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from clarion.errors import ProtocolError
from clarion.protocol.codes import EngineError

SEPARATOR = "\x1e"


class PacketType(Enum):
    """The seven types of packets; the value is the digit on the wire."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class Transport(Enum):
    """How a session's packets travel; the value is the name in the query."""

    POLLING = "polling"
    WEBSOCKET = "websocket"


class Packet(Struct, frozen=True, gc=False):
    """One packet; `data` is bytes only in a binary message."""

    type: PacketType
    data: str | bytes = ""


CLOSE = Packet(PacketType.CLOSE)
PING = Packet(PacketType.PING)
PONG = Packet(PacketType.PONG)
PING_PROBE = Packet(PacketType.PING, "probe")
PONG_PROBE = Packet(PacketType.PONG, "probe")
UPGRADE = Packet(PacketType.UPGRADE)
NOOP = Packet(PacketType.NOOP)

# ---- One packet ----


def encode(packet: Packet) -> str | bytes:
    """A packet as one WebSocket message: str for a text message, bytes for a binary one."""
    if isinstance(packet.data, bytes):
        return packet.data
    return packet.type.value + packet.data


def decode(message: str | bytes) -> Packet:
    """A WebSocket message, or one part of a payload, as a packet.

    Raises:
        ProtocolError: An empty text, an unknown type, or bad base64 after `b`.
    """
    if isinstance(message, bytes):
        return Packet(_MESSAGE, message)
    kind = _TYPES.get(message[:1])
    if kind is not None:
        return Packet(kind, message[1:])
    if message[:1] == "b":
        return Packet(_MESSAGE, _decode_base64(message[1:]))
    raise ProtocolError("unknown packet type" if message else "empty packet", position=0)


_MESSAGE = PacketType.MESSAGE
_TYPES = {kind.value: kind for kind in PacketType}

# ---- Payloads of polling ----


def encode_payload(messages: Sequence[str | bytes]) -> str:
    """Encoded packets as one body, in order."""
    return SEPARATOR.join(
        message if isinstance(message, str) else "b" + b2a_base64(message, newline=False).decode()
        for message in messages
    )


def decode_payload(body: str | bytes, limit: int) -> Iterator[Packet]:
    """A polling body as packets, one after the other, so that those before a bad one can be served.

    Args:
        body: Bytes must be UTF-8.
        limit: Packets that one body may hold; the separators are counted before anything is split.

    Raises:
        ProtocolError: At once where the body is not UTF-8 or holds too many packets, while iterating at a bad packet.
    """
    if isinstance(body, bytes):
        try:
            body = body.decode()
        except UnicodeDecodeError as exc:
            raise ProtocolError("payload is not UTF-8", position=exc.start) from exc
    count = body.count(SEPARATOR) + 1
    if count > limit:
        raise ProtocolError(
            f"payload of {count} packets exceeds {limit}",
            name="too_many_packets",
            size=count,
            limit=limit,
        )
    return map(decode, body.split(SEPARATOR))


def _decode_base64(text: str) -> bytes:
    """Both alphabets, with or without padding, as Node; but a foreign character is refused, where Node skips it.

    Skipping would hand on bytes that nobody sent.
    """
    try:
        padded = text.translate(_TO_STANDARD) + "=" * (-len(text) % 4)
        return a2b_base64(padded, strict_mode=True)
    except (Base64Error, ValueError) as exc:
        raise ProtocolError("bad base64 in a binary packet", position=1) from exc


_TO_STANDARD = str.maketrans("-_", "+/")

# ---- Handshake ----


class Handshake(Struct, frozen=True, rename="camel"):
    """What the open packet tells the client: exactly these five keys; times in milliseconds, size in bytes."""

    sid: str
    upgrades: Sequence[str]
    ping_interval: int
    ping_timeout: int
    max_payload: int


def handshake(
    sid: str,
    *,
    upgrades: Sequence[str],
    ping_interval_s: float,
    ping_timeout_s: float,
    max_payload_bytes: int,
) -> Packet:
    """The open packet.

    Args:
        sid: The session's id.
        upgrades: `("websocket",)` on polling, `()` on WebSocket.
        ping_interval_s: Between two pings; the client needs it to notice a dead server.
        ping_timeout_s: For the pong.
        max_payload_bytes: The client splits its polling bodies by it.
    """
    facts = Handshake(
        sid,
        upgrades,
        round(ping_interval_s * 1000),
        round(ping_timeout_s * 1000),
        max_payload_bytes,
    )
    return Packet(PacketType.OPEN, msgspec.json.encode(facts).decode())


# ---- Requests ----


class Refused(ProtocolError):
    """A request that Engine.IO answers with an error; `error` is its row in the table.

    Args:
        error: Why.
        message: Own words instead of the table's.
        context: What it was about, with Node's names, for `connection_error` and the log; texts are cut at 200 characters.
    """

    def __init__(self, error: EngineError, message: str = "", /, **context: str | int) -> None:
        super().__init__(message or error.message, engine_code=error.value)
        self.error = error
        self.context = {
            key: value[:200] if isinstance(value, str) else value for key, value in context.items()
        }

    def body(self) -> bytes:
        """The answer's JSON body on polling (`application/json`), with `error.status`."""
        return msgspec.json.encode({"code": self.error.value, "message": self.message})

    def bare(self) -> bytes:
        """The answer's body on an upgrade (`text/html`), always with status 400."""
        return self.message.encode()


class Query(Struct, frozen=True):
    """What the query of a request says; a key that is missing is empty, one that is repeated is invalid."""

    revision: str
    transport: str
    sid: str
    is_jsonp: bool = False
    """Whether the answer is wanted as a script, for browsers before 2012 (`j=`)."""


# More keys than a client sends (EIO, transport, sid, t, and what the application adds) are not worth parsing.
MAX_QUERY_KEYS = 100


def parse_query(query: str) -> Query:
    """Read the query string of a request; unknown keys are the application's.

    Raises:
        Refused: More than 100 keys.
    """
    found = {"EIO": "", "transport": "", "sid": ""}
    seen: set[str] = set()
    is_jsonp = False
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_KEYS)
    except ValueError as exc:
        raise Refused(EngineError.BAD_REQUEST, name="TOO_MANY_KEYS") from exc
    for key, value in pairs:
        if key in found:
            # Two values are no value that is known: `transport=polling&transport=websocket` names no transport.
            found[key] = value if key not in seen else f"{found[key]},{value}"
            seen.add(key)
        elif key == "j":
            is_jsonp = True
    return Query(found["EIO"], found["transport"], found["sid"], is_jsonp)


ALL_TRANSPORTS = frozenset(transport.value for transport in Transport)


def check_request(
    query: Query,
    *,
    method: str,
    upgrade: bool,
    session: Transport | None = None,
    origin: str = "",
    transports: Collection[str] = ALL_TRANSPORTS,
) -> None:
    """Refuse a request that Engine.IO does not serve. Everything is checked before the 101 of an upgrade goes out.

    Args:
        query: The request's.
        method: HTTP method.
        upgrade: Whether it asks for a WebSocket.
        session: Transport of the session that `query.sid` names; None where there is no such session.
        origin: The Origin header, if any. Whether it is allowed is for the caller to decide (code 4).
        transports: Names of those that are switched on.

    Raises:
        Refused: The first of the table's checks that failed, in its order: 0, 3 (Origin), 1, 3 (mismatch), 2, 5, 3.
            The application's own check (code 4) comes after these.
    """
    transport = query.transport
    if transport not in transports or transport not in ALL_TRANSPORTS or query.is_jsonp:
        named = {"transport": transport} if transport else {}
        raise Refused(EngineError.TRANSPORT_UNKNOWN, **named)
    if not (origin.isascii() and origin.isprintable()):
        raise Refused(EngineError.BAD_REQUEST, name="INVALID_ORIGIN", origin=origin)
    if query.sid:
        if session is None:
            raise Refused(EngineError.UNKNOWN_SID, sid=query.sid)
        if not upgrade and transport != session.value:
            raise Refused(
                EngineError.BAD_REQUEST,
                name="TRANSPORT_MISMATCH",
                transport=transport,
                previousTransport=session.value,
            )
        # GHSA-2gc4-cqfq-p2gv: an upgrade without EIO must not turn a session into one of revision 3.
        if query.revision != "4":
            raise Refused(EngineError.BAD_REQUEST, name="PROTOCOL_MISMATCH")
    elif method != "GET":
        raise Refused(EngineError.BAD_HANDSHAKE_METHOD, method=method)
    elif query.revision != "4":
        # Node takes whatever is not 4 for 3.
        raise Refused(EngineError.UNSUPPORTED_PROTOCOL_VERSION, protocol=3)
    if upgrade != (transport == Transport.WEBSOCKET.value):
        raise Refused(EngineError.BAD_REQUEST, name="TRANSPORT_HANDSHAKE_ERROR")
