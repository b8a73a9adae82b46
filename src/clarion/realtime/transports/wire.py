"""All that we know of picows beyond its public names, in one place.

`WSProtocol` and its constructor are no promise of picows: the version is pinned, and tests/realtime/transports/test_attacks.py is
the contract. Its type stub leaves the class out and types enumerations as no numbers, hence the ignores, which are only here.
"""

import sys
from asyncio import Protocol, Transport
from collections.abc import Sequence
from typing import Any

from picows import (
    WSAutoPingStrategy,
    WSListener,
    WSProtocolError,
    WSTransport,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from clarion.protocol.frames import MAX_CLOSE_REASON
from clarion.telemetry import get_logger

log = get_logger(__name__)

# We have judged the request already; picows gets a plain one to answer, because its own check refuses Firefox's.
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)
_ANY_KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="
_NOBODY = Protocol()


class Listener(WSListener):
    """Whom picows calls: its own hooks, and one that it lacks."""

    __slots__ = ()

    def on_wire_failed(self, *, is_too_big: bool) -> None:
        """The library is about to close, because of the peer's bytes or of an exception in a hook of ours."""


def begin(
    socket: Listener,
    transport: Transport,
    max_bytes: int,
    key: bytes,
    tail: bytes,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    """Put picows on the transport, which then answers 101 with `headers` and reads `tail`."""
    inner = _make(socket, _Below(transport, is_answered=False), max_bytes, headers)
    # uvloop keeps the last `data_received`, and with it the HTTP protocol, beside a buffered protocol: 6 KB a connection (measured).
    transport.set_protocol(_NOBODY)
    transport.set_protocol(inner)
    _feed(inner, _REQUEST % key + tail)


def replace(socket: Listener, transport: Transport, max_bytes: int) -> None:
    """The same on a connection that is open: nothing is sent."""
    inner = _make(socket, _Below(transport, is_answered=True), max_bytes)
    transport.set_protocol(inner)
    _feed(inner, _REQUEST % _ANY_KEY)


def forget_heads(transport: WSTransport) -> None:
    """Free the heads that picows keeps: 2.2 KB a connection (measured)."""
    for head in (transport.request, transport.response):
        if hasattr(head, "headers"):
            del head.headers


def send_close(transport: WSTransport, code: int, reason: str) -> None:
    """A close frame with any code; ignored when one is already out. Longer reasons are cut, not refused (RFC 6455 §5.5)."""
    reason = reason.encode()[:MAX_CLOSE_REASON].decode(errors="ignore")
    transport.send_close(code, reason)  # type: ignore[arg-type]


def as_int(code: Any) -> int:
    """A close code as the number that it is."""
    return int(code)


def _make(
    socket: Listener,
    transport: Any,
    max_bytes: int,
    headers: Sequence[tuple[str, str]] = (),
) -> WSProtocol:
    inner = WSProtocol(
        None,  # host
        None,  # path
        False,  # this is the server's side
        lambda _request: _answered(socket, headers),
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
    inner.connection_made(transport)
    return inner


def _answered(socket: Listener, headers: Sequence[tuple[str, str]]) -> Any:
    """What picows is to do with the upgrade: go on with `socket`, and say `headers` in the 101."""
    if not headers:
        return socket
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), socket)


def _feed(inner: WSProtocol, data: bytes) -> None:
    """Bytes that were not read by picows itself, in pieces of its buffer."""
    view = memoryview(data)
    while view:
        room = inner.get_buffer(-1)
        size = min(len(room), len(view))
        room[:size] = view[:size]
        inner.buffer_updated(size)
        view = view[size:]


class _Below:
    """What picows sees of a transport.

    Args:
        transport: The connection.
        is_answered: The peer has had its 101 already: swallow the one that picows writes first.
    """

    __slots__ = ("_swallows", "_transport")

    def __init__(self, transport: Transport, *, is_answered: bool) -> None:
        self._transport, self._swallows = transport, is_answered

    def write(self, data: Any) -> None:
        """Pass it on, unless it is the 101 that nobody waits for."""
        if self._swallows:
            self._swallows = False
        else:
            self._transport.write(data)

    def get_extra_info(self, name: str) -> Any:
        """What the connection says of itself, as far as picows needs it.

        It sets two options that both loops have set, and asks six more things for a line of the log that is never written. Each
        costs a socket object: 28 us of the 340 that a connection takes from its first byte to its last (measured).
        """
        if name == "socket":
            return _Descriptor(self._transport.get_extra_info("socket").fileno())
        return self._transport.get_extra_info(name) if name == "ssl_object" else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Descriptor:
    """A socket that knows its number and nothing else."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """The number."""
        return self._number

    def setsockopt(self, *_: Any) -> None:
        """TCP_NODELAY and TCP_QUICKACK: the first is set, the second lasts for one segment."""

    def getsockopt(self, *_: Any) -> int:
        """For the log."""
        return 0


class _Voice:
    """The logger of one picows connection.

    A real logger would cost a child logger and three lines a connection. This one is silent but for errors: they are the only
    sign that picows closes by itself, because of the peer's bytes or of an exception in one of our hooks.
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
        """The library calls this in its `except`, just before it closes."""
        exc = sys.exception()
        is_peers = isinstance(exc, WSProtocolError)
        if not is_peers:
            log.error("websocket hook failed", exc_info=exc)
        is_too_big = is_peers and exc is not None and as_int(exc.args[0]) == 1009
        self._socket.on_wire_failed(is_too_big=is_too_big)

    exception = error
