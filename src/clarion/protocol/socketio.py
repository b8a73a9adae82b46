"""Socket.IO v5 packets, default ("text") parser: encode and decode, with binary attachments both ways.

    packet  = type [count "-"] [namespace ","] [id] [JSON]        followed by `count` binary messages
    type    = 0 CONNECT / 1 DISCONNECT / 2 EVENT / 3 ACK / 4 CONNECT_ERROR / 5 BINARY_EVENT / 6 BINARY_ACK

The namespace is left out for `/`. In the JSON of types 5 and 6 `{"_placeholder":true,"num":k}` stands for attachment k.
Types 5 and 6 exist on the wire only: decoded, they are EVENT and ACK whose data holds bytes.

Where Node's parser takes what looks wrong, this one is stricter; docs/explanation/protocol.md lists and explains it.
Source: the Socket.IO protocol, revision 5; socket.io-parser 4.2 for what it leaves open.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from clarion.errors import ClarionError, ProtocolError, UsageError
from clarion.protocol import jsontext
from clarion.protocol.jsontext import MAX_DEPTH, MAX_SAFE_INTEGER

RESERVED_EVENTS: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
"""Names that mean something to the programs on either side: no peer may send an event of such a name."""


class PacketType(Enum):
    """What a packet is for; the value is the digit on the wire."""

    CONNECT = "0"
    DISCONNECT = "1"
    EVENT = "2"
    ACK = "3"
    CONNECT_ERROR = "4"

    # Enum's own is written in Python and takes longer than the lookup that it is for.
    __hash__ = object.__hash__


class Packet(Struct, frozen=True):
    """One packet.

    `data` is, for EVENT, a list that begins with the event's name; for ACK, the list of arguments; for CONNECT, an
    object or None; for CONNECT_ERROR, text, an object or None; for DISCONNECT, None. It may hold bytes in EVENT and ACK.
    """

    type: PacketType
    namespace: str = "/"
    data: Any = None
    id: int | None = None


_CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR = PacketType
_TYPES: Final = {kind.value: kind for kind in PacketType} | {"5": _EVENT, "6": _ACK}

# ---- Encoding ----

Encoded = list[str | bytes]
"""The text, without the Engine.IO digit, then the attachments in order."""


def encode(packet: Packet) -> Encoded:
    """A packet as messages.

    Raises:
        UsageError: See `encode_event`.
    """
    match packet.type:
        case PacketType.EVENT:
            return encode_event(packet.namespace, packet.data, packet.id)
        case PacketType.ACK:
            return encode_ack(packet.namespace, packet.data, packet.id)
        case _:
            head = packet.type.value + _prefix(packet.namespace)
            if packet.id is not None:
                head += str(packet.id)
            return [head if packet.data is None else head + jsontext.write(packet.data)]


def encode_event(namespace: str, event: Sequence[Any], id: int | None = None) -> Encoded:
    """An EVENT; a broadcast calls this once for all its recipients.

    Args:
        namespace: Such as `/clarion`.
        event: The name (text that is not reserved, or a number), then the arguments: see `jsontext.write`.
        id: Asks for an ack.

    Raises:
        UsageError: A reserved or bad name, or a value that cannot be sent.
    """
    if not event:
        raise UsageError("an event needs a name")
    check_event_name(event[0], UsageError)
    return _encode_arguments("2", "5", namespace, event, id)


def encode_ack(namespace: str, arguments: Sequence[Any], id: int | None) -> Encoded:
    """An ACK: the answer to the event with this id. Arguments and errors as in `encode_event`."""
    return _encode_arguments("3", "6", namespace, arguments, id)


def _encode_arguments(
    plain: str, binary: str, namespace: str, arguments: Sequence[Any], id: int | None
) -> Encoded:
    attachments: list[bytes] = []
    text = jsontext.write(arguments if type(arguments) is list else list(arguments), attachments)
    if id is not None:
        text = f"{id}{text}"
    if namespace != "/":
        text = f"{namespace},{text}"
    if not attachments:
        return [plain + text]
    return [f"{binary}{len(attachments)}-{text}", *attachments]


def _prefix(namespace: str) -> str:
    return "" if namespace == "/" else namespace + ","


# ---- Decoding ----

# How a payload begins; "" where it may be absent. The protocol's text makes it mandatory for EVENT and ACK.
_BEGINNINGS: Final = {
    _CONNECT: ("", "{"),
    _DISCONNECT: ("",),
    _EVENT: ("[",),
    _ACK: ("[",),
    _CONNECT_ERROR: ("", '"', "{"),
}


class DecoderLimits(Struct, frozen=True):
    """What one packet may hold; shared by all decoders of a server."""

    attachments: int = 10
    # Node bounds each message, not their sum; ten messages of 1 MB are the most that its defaults let through.
    attachment_bytes: int = 10_000_000
    depth: int = MAX_DEPTH
    members: int = 10_000
    namespace_bytes: int = 128


class _Pending(Struct):
    """A packet whose attachments are still to come."""

    packet: Packet
    count: int
    slots: list[tuple[Any, Any, int]]  # container, key, number of the attachment
    attachments: list[bytes] = []
    size: int = 0


class Decoder:
    """Makes packets of the messages of one session, in order.

    After an error the session must be closed: what was pending is dropped, and the position in the stream is unknown.
    """

    __slots__ = ("_limits", "_pending")

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        self._pending: _Pending | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether attachments are due; a shell should not wait for ever."""
        return self._pending is not None

    def add(self, message: str | bytes, start: int = 0) -> Packet | None:
        """Take one message: text, or an attachment.

        Args:
            message: As it came.
            start: Where in a text the packet begins: 1 where Engine.IO's digit is still before it.

        Returns:
            A packet, or None while attachments are due.

        Raises:
            ProtocolError: For anything else.
        """
        if type(message) is bytes:
            return self._add_attachment(message)
        assert type(message) is str
        if self._pending is not None:
            self._pending = None
            raise ProtocolError("text while attachments are due")
        return self._add_text(message, start)

    def clear(self) -> None:
        """Drop a packet that still waits for attachments."""
        self._pending = None

    def _add_text(self, text: str, start: int) -> Packet | None:
        digit = text[start : start + 1]
        kind = _TYPES.get(digit)
        if kind is None:
            raise ProtocolError("unknown packet type" if digit else "empty packet", position=start)
        limits = self._limits
        start += 1
        count = 0
        if digit == "5" or digit == "6":
            count, start = self._read_count(text, start)
        namespace = "/"
        if text[start : start + 1] == "/":
            namespace, start = self._read_namespace(text, start)
        rest = text[start:]
        # `lstrip` stays in C and knows only these ten digits, where str.isdigit would take those of every script.
        payload = rest.lstrip("0123456789")
        id = None if len(payload) == len(rest) else _read_id(rest, len(rest) - len(payload), start)
        if payload[:1] not in _BEGINNINGS[kind]:
            position = len(text) - len(payload)
            raise ProtocolError(f"{kind.name} with a wrong payload", position=position)
        data = jsontext.read(payload, limits.depth, limits.members) if payload else None
        if kind is _EVENT:
            if not data:
                raise ProtocolError("EVENT without a name")
            check_event_name(data[0], ProtocolError)
        packet = Packet(kind, namespace, data, id)
        if not count:
            return packet
        slots: list[tuple[Any, Any, int]] = []
        _find_placeholders(data, count, slots)
        self._pending = _Pending(packet, count, slots)
        return None

    def _read_count(self, text: str, start: int) -> tuple[int, int]:
        # CVE-2026-33151: digits only, and no number is made of more digits than the limit has.
        limit = self._limits.attachments
        dash = text.find("-", start, start + 1 + len(str(limit)))
        digits = text[start : max(dash, start)]
        count = int(digits) if digits.isascii() and digits.isdigit() else 0
        if not 1 <= count <= limit:
            why = f"the number of attachments is not 1 to {limit} (limits.attachments)"
            raise ProtocolError(why, position=start, limit=limit, name="attachments")
        return count, dash + 1

    def _read_namespace(self, text: str, start: int) -> tuple[str, int]:
        comma = text.find(",", start)
        end = len(text) if comma < 0 else comma
        namespace = text[start:end]
        limit = self._limits.namespace_bytes
        # A character is at least a byte: the first comparison keeps `encode` off a megabyte.
        if len(namespace) > limit or len(namespace.encode(errors="replace")) > limit:
            raise ProtocolError("namespace too long", position=start, limit=limit)
        if has_controls(namespace):
            raise ProtocolError("control characters in a namespace", position=start)
        return namespace, end + 1

    def _add_attachment(self, data: bytes) -> Packet | None:
        pending = self._pending
        if pending is None:
            # The first byte of a map of two to six keys: as msgpack_parser packets begin, and hardly anything else does.
            if b"\x82" <= data[:1] <= b"\x86":
                raise ProtocolError("MessagePack, where packets are text", name="wrong_parser")
            raise ProtocolError("a binary message that no packet announced")
        pending.attachments.append(data)
        pending.size += len(data)
        limit = self._limits.attachment_bytes
        if pending.size > limit:
            self._pending = None
            raise ProtocolError("attachments too large", size=pending.size, limit=limit)
        if len(pending.attachments) < pending.count:
            return None
        self._pending = None
        for container, key, number in pending.slots:
            container[key] = pending.attachments[number]
        return pending.packet


def _read_id(rest: str, digits: int, position: int) -> int:
    # 16 digits hold 2^53; more are refused unread, so that a megabyte of them costs nothing.
    if digits > 16 or (id := int(rest[:digits])) > MAX_SAFE_INTEGER:
        raise ProtocolError("packet id beyond 2^53", position=position)
    return id


def _find_placeholders(data: Any, count: int, slots: list[tuple[Any, Any, int]]) -> None:
    """Note where attachments belong; each may be used once, so that an echo cannot grow what was sent."""
    used: set[int] = set()
    left: list[Any] = [data]
    while left:
        container = left.pop()
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in pairs:
            if isinstance(value, dict) and value.get("_placeholder") is True:
                number = value.get("num")
                if type(number) is not int or not 0 <= number < count or number in used:
                    raise ProtocolError("a placeholder with a wrong number")
                used.add(number)
                slots.append((container, key, number))
            elif isinstance(value, dict | list):
                left.append(value)


def check_event_name(name: Any, error: type[ClarionError] = UsageError) -> None:
    """Raise `error` unless the name is text, not empty, not reserved and without controls; or a number, as in Node."""
    if type(name) is str:
        if name in RESERVED_EVENTS:
            raise error(f'"{name}" is a reserved event name')
        if not name or has_controls(name):
            raise error("an event's name is empty or has control characters")
    elif type(name) is not int and type(name) is not float:
        raise error("an event's name is text or a number")


def check_namespace(name: str) -> None:
    """Raise UsageError unless a server may offer a namespace of this name: `/…`, no comma, no control characters."""
    if not name.startswith("/") or "," in name or has_controls(name):
        raise UsageError(f"{name!r} cannot be a namespace: it begins with / and has no comma")


def has_controls(name: str) -> bool:
    """C0, DEL, C1 and surrogates: names stand in logs, labels and keys. `isprintable` is the quick first look."""
    return not name.isprintable() and _CONTROL.search(name) is not None


_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
