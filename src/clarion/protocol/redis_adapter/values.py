"""Values in JSON and MessagePack as Node's adapters write them, and taking apart what comes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from clarion.errors import ProtocolError, UsageError
from clarion.protocol import jsontext, msgpack_parser
from clarion.protocol.redis_adapter.messages import Options

DEPTH: Final = jsontext.MAX_DEPTH + 8  # a value of a socket, inside of a message
MEMBERS: Final = 1_000_000  # sockets of a whole server are one message


def pack(value: Any) -> bytes:
    """MessagePack as notepack.io 3 and @msgpack/msgpack write it.

    Raises:
        UsageError: See `msgpack_parser.encode_event`.
    """
    try:
        return _pack(value)
    except UnicodeEncodeError as exc:
        raise UsageError("text with a lone surrogate cannot be sent as UTF-8") from exc


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode


def unpack(data: bytes) -> Any:
    """What MessagePack says.

    Raises:
        ProtocolError: It is none.
    """
    try:
        return _unpack(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError(f"bad MessagePack: {exc}") from exc


def packable(value: Any) -> Any:
    """A value of the application as `pack` takes it; None stands for undefined, too."""
    return value if msgpack_parser.is_plain(value, 1) else _Rewriter(None).value(value)


class _Rewriter(jsontext.Rewriter):
    def on_bytes(self, value: bytes) -> Any:
        return value

    def on_float(self, value: float) -> Any:
        return value

    def on_date(self, value: datetime) -> Any:
        return value


def has_bytes(value: Any) -> bool:
    """Whether there are bytes in a packable value."""
    if isinstance(value, dict):
        return has_bytes(value.values())
    if isinstance(value, bytes):
        return True
    return not isinstance(value, str) and isinstance(value, Iterable) and any(map(has_bytes, value))


def read(data: bytes) -> dict[str, Any]:
    """An object, in JSON or MessagePack: the first byte tells.

    Raises:
        ProtocolError: It is none.
    """
    value = read_json(data) if data[:1] == b"{" else unpack(data)
    found: dict[str, Any] = taken(value, dict)
    return found


def read_json(data: bytes) -> Any:
    """What JSON says.

    Raises:
        ProtocolError: It is none.
    """
    try:
        return jsontext.read(data.decode(), DEPTH, MEMBERS)
    except UnicodeDecodeError as exc:
        raise ProtocolError("bad UTF-8", position=exc.start) from exc


# ── taking apart ──


def taken(value: Any, kind: type) -> Any:
    """The value, if it is of this type.

    Raises:
        ProtocolError: It is not.
    """
    if type(value) is not kind:
        raise ProtocolError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Names of rooms or ids; numbers, as untyped programs use them, become text.

    Raises:
        ProtocolError: They are none.
    """
    found = taken(value, list)
    if not all(type(item) in (str, int) for item in found):
        raise ProtocolError("a room's name is text")
    return tuple(map(str, found))


def event(value: Any) -> list[Any]:
    """An event: its name, then its arguments.

    Raises:
        ProtocolError: It has no name.
    """
    found = taken(value, list)
    if not found or type(found[0]) not in (str, int, float):
        raise ProtocolError("an event without a name")
    return list(found)


def options(value: Any) -> Options:
    """Whom a message is about.

    Raises:
        ProtocolError: It does not say.
    """
    said = taken(value, dict)
    flags = taken(said.get("flags", {}), dict)
    timeout = flags.get("timeout")
    return Options(
        texts(said.get("rooms", [])),
        texts(said.get("except", [])),
        flags.get("volatile") is True,
        compress if type(compress := flags.get("compress")) is bool else None,
        flags.get("expectSingleResponse") is True,
        timeout if type(timeout) in (int, float) and timeout > 0 else None,
    )


def flags(of: Options) -> dict[str, Any]:
    """What is said beside whom it is for."""
    said: dict[str, Any] = {}
    if of.is_volatile:
        said["volatile"] = True
    if of.compress is not None:
        said["compress"] = of.compress
    if of.expects_one:
        said["expectSingleResponse"] = True
    if of.timeout_ms is not None:
        said["timeout"] = of.timeout_ms
    return said
