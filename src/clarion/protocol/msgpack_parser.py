"""Socket.IO v5 packets as `socket.io-msgpack-parser` 3 has them: one MessagePack map for each, bytes inside.

    packet = {type: 0-4, nsp, data?, id?}                     one binary message; other keys are ignored

It is the dialect of notepack.io 2.2, which differs from the MessagePack specification in what it does with extension 0:
`d4 00` is `undefined`, `d7 00` a Date (signed milliseconds), `c7`-`c9` with type 0 the bytes of a typed array.

Values mean what they mean with the text parser, so that handlers need not know which of the two is spoken: see
docs/explanation/protocol.md. Source: socket.io-msgpack-parser 3.0, and the MessagePack specification.
"""

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clarion.errors import ProtocolError, UsageError
from clarion.protocol.jsontext import MAX_DEPTH, MAX_SAFE_INTEGER, Rewriter, date_text, epoch_ms
from clarion.protocol.socketio import (
    DecoderLimits,
    Encoded,
    Packet,
    PacketType,
    check_event_name,
    has_controls,
)

_CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR = PacketType

# ---- Encoding ----


def encode(packet: Packet) -> Encoded:
    """A packet as its one message.

    Raises:
        UsageError: See `encode_event`.
    """
    match packet.type:
        case PacketType.EVENT:
            return encode_event(packet.namespace, packet.data, packet.id)
        case PacketType.ACK:
            return encode_ack(packet.namespace, packet.data, packet.id)
        case _:
            fields: dict[str, Any] = {"type": int(packet.type.value)}
            # nil instead of an absent key makes the Node peer throw.
            if packet.data is not None:
                fields["data"] = _sendable(packet.data)
            if packet.id is not None:
                fields["id"] = packet.id
            fields["nsp"] = packet.namespace
            return _pack(fields)


def encode_event(namespace: str, event: Sequence[Any], id: int | None = None) -> Encoded:
    """An EVENT; a broadcast calls this once for all its recipients.

    Args:
        namespace: Such as `/clarion`.
        event: The name (text that is not reserved, or a number), then the arguments: as for `jsontext.write`. Bytes stay where
            they are, datetimes become Dates, NaN and the infinities are sent as such.
        id: Asks for an ack.

    Raises:
        UsageError: A reserved or bad name; an integer beyond 2^53; text with a lone surrogate; or as `jsontext.write`.
    """
    if not event:
        raise UsageError("an event needs a name")
    check_event_name(event[0], UsageError)
    data = _sendable(event if type(event) is list else list(event))
    if id is None:
        return _pack({"type": 2, "data": data, "nsp": namespace})
    return _pack({"type": 2, "data": data, "id": id, "nsp": namespace})


def encode_ack(namespace: str, arguments: Sequence[Any], id: int | None) -> Encoded:
    """An ACK: the answer to the event with this id. Arguments and errors as in `encode_event`."""
    data = _sendable(arguments if type(arguments) is list else list(arguments))
    if id is None:
        return _pack({"type": 3, "data": data, "nsp": namespace})
    return _pack({"type": 3, "id": id, "data": data, "nsp": namespace})


# Its integers and lengths are the smallest, its floats 64 bits, as notepack's. One difference: an integral float stays a float,
# where notepack makes an integer of it and writes 1e21 as another number.
_to_bytes: Final = msgspec.msgpack.Encoder().encode


def _pack(fields: dict[str, Any]) -> Encoded:
    try:
        return [_to_bytes(fields)]
    except UnicodeEncodeError as exc:
        raise UsageError("text with a lone surrogate cannot be sent as UTF-8") from exc


def _sendable(value: Any) -> Any:
    return value if is_plain(value, 1) else _Rewriter(None).value(value)


def is_plain(value: Any, depth: int) -> bool:
    """Whether msgspec writes the value as notepack would; see `jsontext`."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif kind is not list:
        return False
    for item in value:
        kind = type(item)
        if kind is str or kind is bool or kind is float or kind is bytes or item is None:
            continue
        if kind is int:
            if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                return False
        elif depth >= MAX_DEPTH or not is_plain(item, depth + 1):
            return False
    return True


class _Rewriter(Rewriter):
    def on_bytes(self, value: bytes) -> Any:
        return value

    def on_float(self, value: float) -> Any:
        return value

    def on_date(self, value: datetime) -> Any:
        # Not the timestamp of the specification (extension -1), of which a notepack 2.2 peer makes a pair.
        return msgspec.msgpack.Ext(0, struct.pack(">q", epoch_ms(value)))


# ---- Decoding ----


class _Fields(Struct):
    """A packet's map."""

    type: int
    nsp: str
    data: Any = UNSET
    id: int | UnsetType = UNSET


class Decoder:
    """Makes packets of the messages of one session; keeps nothing from one to the next.

    After an error the session must be closed, as with the text parser's.
    """

    __slots__ = ("_limits",)

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits

    @property
    def is_waiting(self) -> bool:
        """Never: a packet is one message."""
        return False

    def clear(self) -> None:
        """Nothing is kept."""

    def add(self, message: str | bytes, start: int = 0) -> Packet:
        """Take one message; `start` means something only to the text parser.

        Raises:
            ProtocolError: It is no packet, or beyond a limit. `facts["name"]` is `wrong_parser` for text.
        """
        if isinstance(message, str):
            raise ProtocolError("text, where packets are MessagePack", name="wrong_parser")
        limits = self._limits
        fields = _quickly(message, limits) or _exactly(message, limits)
        kind = _TYPES.get(fields.type)
        if kind is None:
            raise ProtocolError("unknown packet type")
        namespace, data, id = fields.nsp, fields.data, fields.id
        if namespace != "/":
            _check_namespace(namespace, limits.namespace_bytes)
        if id is not UNSET and not 0 <= id <= MAX_SAFE_INTEGER:
            raise ProtocolError("packet id is negative or beyond 2^53")
        if type(data) not in _PAYLOADS[kind]:
            raise ProtocolError(f"{kind.name} with a wrong payload")
        if kind is _EVENT:
            if not data:
                raise ProtocolError("EVENT without a name")
            check_event_name(data[0], ProtocolError)
        return Packet(kind, namespace, None if data is UNSET else data, None if id is UNSET else id)


_TYPES: Final = {int(kind.value): kind for kind in PacketType}
_PAYLOADS: Final = {
    _CONNECT: (UnsetType, dict),
    _DISCONNECT: (UnsetType,),
    _EVENT: (list,),
    _ACK: (list,),
    _CONNECT_ERROR: (UnsetType, str, dict),
}


def _check_namespace(name: str, limit: int) -> None:
    if len(name) > limit or len(name.encode()) > limit:
        raise ProtocolError("namespace too long", limit=limit)
    # The text parser ends a name at the comma: nobody can offer such a namespace.
    if not name.startswith("/") or "," in name or has_controls(name):
        raise ProtocolError("no name of a namespace")


def _quickly(message: bytes, limits: DecoderLimits) -> _Fields | None:
    """The packet, if it is one of the usual, in a tenth of the time of `_exactly`; None: that must say.

    A message holds at most as many values as bytes, so that a short one needs no counting.
    """
    if len(message) > limits.members:
        return None
    try:
        fields = _decode(message)
    except (ValueError, RecursionError):
        return None
    data = fields.data
    if data is UNSET or type(data) is str or _is_usual(data, 1, limits.depth):
        return fields
    return None


_decode: Final = msgspec.msgpack.Decoder(_Fields).decode


def _is_usual(value: Any, depth: int, limit: int) -> bool:
    """Whether it is what JSON has, and bytes, and not too deep: no extension, no key but text."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif kind is not list:
        return False
    for item in value:
        kind = type(item)
        if (
            kind is str
            or kind is int
            or kind is float
            or kind is bool
            or kind is bytes
            or item is None
        ):
            continue
        if depth >= limit or not _is_usual(item, depth + 1, limit):
            return False
    return True


def _exactly(message: bytes, limits: DecoderLimits) -> _Fields:
    """The packet, counted as it is read."""
    reader = _Reader(message, limits)
    packet = reader.packet()
    kind, namespace = packet.get("type"), packet.get("nsp")
    if type(kind) is not int or type(namespace) is not str:
        raise ProtocolError("a packet without type or namespace")
    id = packet.get("id", UNSET)
    if id is not UNSET and type(id) is not int:
        raise ProtocolError("packet id is no integer")
    return _Fields(kind, namespace, packet.get("data", UNSET), id)


class _Reader:
    """MessagePack, value by value. Lengths are compared with what is left before anything is made of them."""

    __slots__ = ("_at", "_data", "_depth", "_members")

    def __init__(self, data: bytes, limits: DecoderLimits) -> None:
        self._data, self._at = data, 0
        self._members, self._depth = limits.members, limits.depth

    def packet(self) -> dict[str, Any]:
        """The only value, which must be a map."""
        # The packet's own map is no level of its data.
        packet = self._value(-1)
        if self._at != len(self._data):
            raise ProtocolError("bytes behind the packet", position=self._at)
        if type(packet) is not dict:
            raise ProtocolError("a packet is a map")
        return packet

    def _value(self, depth: int) -> Any:
        first = self._uint(1)
        if first < 0x80:
            return first
        if first < 0x90:
            return self._map(first & 0x0F, depth)
        if first < 0xA0:
            return self._array(first & 0x0F, depth)
        if first < 0xC0:
            return self._text(first & 0x1F)
        if first >= 0xE0:
            return first - 0x100
        return self._tagged(first, depth)

    def _tagged(self, first: int, depth: int) -> Any:
        match first:
            case 0xC0:
                return None
            case 0xC2 | 0xC3:
                return first == 0xC3
            case 0xC4 | 0xC5 | 0xC6:
                return self._take(self._uint(1 << first - 0xC4))
            case 0xC7 | 0xC8 | 0xC9:
                return self._extension(self._uint(1 << first - 0xC7), is_fixed=False)
            case 0xCA:
                return struct.unpack(">f", self._take(4))[0]
            case 0xCB:
                return struct.unpack(">d", self._take(8))[0]
            case 0xCC | 0xCD | 0xCE | 0xCF:
                return self._uint(1 << first - 0xCC)
            case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                return int.from_bytes(self._take(1 << first - 0xD0), "big", signed=True)
            case 0xD4 | 0xD5 | 0xD6 | 0xD7 | 0xD8:
                return self._extension(1 << first - 0xD4, is_fixed=True)
            case 0xD9 | 0xDA | 0xDB:
                return self._text(self._uint(1 << first - 0xD9))
            case 0xDC | 0xDD:
                return self._array(self._uint(2 << first - 0xDC), depth)
            case 0xDE | 0xDF:
                return self._map(self._uint(2 << first - 0xDE), depth)
            case _:
                raise ProtocolError("0xc1 means nothing", position=self._at - 1)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ProtocolError("truncated", position=self._at)
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _uint(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as exc:
            raise ProtocolError("text is not UTF-8", position=self._at - size) from exc

    def _array(self, count: int, depth: int) -> list[Any]:
        depth = self._enter(count, count, depth)
        # In an array undefined is null, as in JSON.
        items = (self._value(depth) for _ in range(count))
        return [None if item is UNSET else item for item in items]

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        depth = self._enter(count, 2 * count, depth)
        made: dict[str, Any] = {}
        for _ in range(count):
            key, value = self._key(depth), self._value(depth)
            if value is UNSET:
                made.pop(key, None)
            else:
                made[key] = value
        return made

    def _key(self, depth: int) -> str:
        key = self._value(depth)
        if type(key) is int:
            return str(key)
        if type(key) is not str:
            raise ProtocolError("a key is text or an integer", position=self._at)
        return key

    def _enter(self, count: int, least_bytes: int, depth: int) -> int:
        """One level deeper, where `count` values are announced in at least so many bytes."""
        if least_bytes > len(self._data) - self._at:
            raise ProtocolError("truncated", position=self._at)
        self._members -= count
        if self._members < 0:
            raise ProtocolError("too many values in the packet")
        if depth >= self._depth:
            raise ProtocolError("packet nested too deeply", limit=self._depth)
        return depth + 1

    def _extension(self, size: int, *, is_fixed: bool) -> Any:
        code = int.from_bytes(self._take(1), "big", signed=True)
        data = self._take(size)
        if code == 0:
            if not is_fixed:
                return data
            if size == 1:
                return UNSET
            if size == 8:
                return date_text(int.from_bytes(data, "big", signed=True))
        return [code, data]
