"""All that we know of picows beyond its public names, in one place.

picows only reads here: it parses frames and checks what is cheapest in C (masks, opcodes, lengths, control frames). What goes out is
written by us alone, in one order, the 101 and the close frame included; what picows would write goes nowhere.

`WSProtocol` and its constructor are no promise of picows: the version is pinned, and tests/realtime/transports/test_attacks.py is
the contract. Its type stub leaves the class out and types enumerations as no numbers, hence the ignores, which are only here.
"""

import base64
import hashlib
import sys
from asyncio import Protocol, Transport
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from picows import (
    WSAutoPingStrategy,
    WSListener,
    WSProtocolError,
    WSTransport,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from clarion.protocol.codes import CloseCode
from clarion.telemetry import get_logger

log = get_logger(__name__)

# RFC 6455 §4.2.2
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# We have judged the request already; picows gets a plain one to answer, because its own check refuses Firefox's.
_REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_NOBODY: Final = Protocol()


# picows doubles its read buffer whenever a read has filled it, and never gives it back: after 6 MB of tiny frames in one go 2.4 MB a
# connection were kept (measured). With smaller bites it stays at 14 KB, but for larger frames, whose buffer is renewed.
READ_BYTES: Final = 12 * 1024


class _Parser(WSProtocol):  # type: ignore[misc]
    """picows, taking smaller bites."""

    __slots__ = ()

    def get_buffer(self, size_hint: int) -> Any:
        """Where the next bytes are to be put."""
        room = _get_buffer(self, size_hint)
        return room if len(room) <= READ_BYTES else room[:READ_BYTES]


_get_buffer: Final = WSProtocol.get_buffer


class Listener(WSListener):
    """Whom picows calls: its own hooks, and two that it lacks."""

    __slots__ = ()

    def on_wire_failed(self, code: int, why: str) -> None:
        """The library reads no more, because of the peer's bytes or of an exception in a hook of ours.

        It looks one frame ahead: the frame before the bad one may still be delivered, in this turn of the loop.
        """

    def on_wire_lost(self) -> None:
        """TCP has ended after `deafen`, where `on_ws_disconnected` is not called."""


def begin(
    socket: Listener,
    transport: Transport,
    max_bytes: int,
    key: bytes,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    """Answer 101 with `headers`, and put picows on the transport."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Accept: " + accept,
        *(f"{name}: {value}".encode("latin-1") for name, value in headers),
    ]
    transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
    # uvloop keeps the last `data_received`, and with it the HTTP protocol, beside a buffered protocol: 6 KB a connection (measured).
    transport.set_protocol(_NOBODY)
    read(socket, transport, max_bytes)


def read(socket: Listener, transport: Transport, max_bytes: int) -> None:
    """Put a new picows on the transport."""
    inner = _make(socket, max_bytes)
    transport.set_protocol(inner)
    _feed(inner, _REQUEST)


def feed(transport: Transport, data: bytes) -> None:
    """Let the picows on a transport read bytes that had come before it was there; nothing if it has stopped."""
    inner = transport.get_protocol()
    if isinstance(inner, _Parser):
        _feed(inner, data)


def deafen(socket: Listener, transport: Transport) -> None:
    """Throw away what still comes: picows has stopped at a bad frame, and would only collect it."""
    transport.set_protocol(_Deaf(socket))


def forget_head(transport: WSTransport) -> None:
    """Free the head that picows keeps: 1.1 KB a connection (measured)."""
    del transport.request.headers


def as_int(code: Any) -> int:
    """A close code as the number that it is."""
    return int(code)


def _make(socket: Listener, max_bytes: int) -> _Parser:
    inner = _Parser(
        None,  # host
        None,  # path
        False,  # this is the server's side
        lambda _request: WSUpgradeResponseWithListener(_SAID, socket),  # type: ignore[arg-type]
        _Voice(socket),
        True,  # an exception of ours closes the connection
        None,  # no time limit for the handshake: it is already here
        False,  # Engine.IO has its own heartbeat
        10,
        10,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # it would answer pings without bound: see WebSocket.on_ws_frame
        max_bytes,
        None,  # headers of a request
        2048,  # first size of the read buffer, and the least that it takes
    )
    inner.connection_made(_NOWHERE)
    return inner


def _feed(inner: _Parser, data: bytes) -> None:
    """Bytes that were not read by picows itself, in pieces of its buffer."""
    view = memoryview(data)
    while view:
        room = inner.get_buffer(-1)
        size = min(len(room), len(view))
        room[:size] = view[:size]
        inner.buffer_updated(size)
        view = view[size:]


class _Nowhere:
    """The transport, and its socket, that every picows believes to have.

    It would set two options that both loops have set, and ask six more things for a line of the log that is never written. Each
    cost a socket object: 28 us of the 340 that a connection took from its first byte to its last (measured).
    """

    def get_extra_info(self, name: str) -> Any:
        """A socket, and nothing else."""
        return self if name == "socket" else None

    def fileno(self) -> int:
        """None that exists."""
        return -1

    def setsockopt(self, *_: Any) -> None:
        """TCP_NODELAY and TCP_QUICKACK: the first is set, the second lasts for one segment."""

    def getsockopt(self, *_: Any) -> int:
        """For the log."""
        return 0

    def get_write_buffer_size(self) -> int:
        """Never empty: else picows would send(2) by itself."""
        return 1

    def write(self, _data: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing: we close, when the peer could read why."""

    writelines = write
    abort = close


_NOWHERE: Final = _Nowhere()


class _Said:
    """The answer that picows believes to send: the peer has had ours. Made once, where picows would make one a connection."""

    status = HTTPStatus.SWITCHING_PROTOCOLS

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def to_bytes(self) -> bytearray:
        """Nothing."""
        return bytearray()


_SAID: Final = _Said()


class _Deaf(Protocol):
    """Reads and forgets, until the connection ends."""

    def __init__(self, socket: Listener) -> None:
        self._socket = socket

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the socket."""
        self._socket.on_wire_lost()


class _Voice:
    """The logger of one picows connection.

    A real logger would cost a child logger and three lines a connection. This one is silent but for errors: they are the only
    sign that picows stops by itself, because of the peer's bytes or of an exception in one of our hooks.
    """

    __slots__ = ("_socket",)

    def __init__(self, socket: Listener) -> None:
        self._socket = socket

    def isEnabledFor(self, _level: int) -> bool:
        """Nothing is."""
        return False

    def log(self, *_args: Any) -> None:
        """Nothing."""

    debug = info = warning = log

    def error(self, *_args: Any) -> None:
        """The library calls this in its `except`, just before it would close."""
        exc = sys.exception()
        if isinstance(exc, WSProtocolError):
            self._socket.on_wire_failed(as_int(exc.args[0]), str(exc.args[1]))
        else:
            log.error("websocket hook failed", exc_info=exc)
            self._socket.on_wire_failed(CloseCode.INTERNAL, "internal error")

    exception = error
