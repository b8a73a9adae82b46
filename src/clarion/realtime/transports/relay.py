"""Requests for sessions on other hosts: passed on to the process that has them, whose bytes come back the same way.

A relayed connection carries one request: a poll, and then both sides are closed; or an upgrade, and then the WebSocket for as long as it lives.
A header says who asks, signed with a secret that the processes share: whoever can write it can pretend to be any address, and nothing else.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Final, cast
from urllib.parse import urlsplit

from clarion.clock import Clock
from clarion.errors import ClarionError
from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.elsewhere import Moving
from clarion.realtime.transports.head import Address, Headers, Refused, joined, wants_websocket
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded

_log = get_logger(__name__)

HEADER: Final = b"clarion-relay"
CONNECT_S: Final = 5.0  # until the other process must have answered the connection
VALID_S: Final = 60  # a signature's age, at most: clocks of hosts may differ
_OWN: Final = frozenset({HEADER, b"connection", b"keep-alive", b"proxy-connection"})

Find = Callable[[str], Awaitable[str]]
"""The address (`http://10.0.0.5:8000`) of a process, by its name; '': it is not known."""


class Signing:
    """Says and checks who asks.

    Args:
        secret: The same in all processes.
        clock: Signatures age by it.
    """

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret, self._clock = secret.encode(), clock

    def header(self, request: Moving) -> bytes:
        """The header's value."""
        host, port = request.client or ("", 0)
        scheme = b"https" if request.is_secure else b"http"
        said = b"%d;%b;%d;%b" % (self._clock.now_ms() // 1000, host.encode(), port, scheme)
        return said + b";" + self._mac(said, request.method, request.target)

    def read(self, value: bytes, method: bytes, target: bytes) -> tuple[Address | None, bool]:
        """Who asks, and whether over TLS.

        Raises:
            Refused: 403: it is not one of ours, or too old.
        """
        said, _, mac = value.rpartition(b";")
        if not hmac.compare_digest(mac, self._mac(said, method, target)):
            raise Refused(403, "Clarion-Relay is not signed by a process of this server")
        at, host, port, scheme = said.decode().split(";")
        if abs(self._clock.now_ms() // 1000 - int(at)) > VALID_S:
            raise Refused(403, "Clarion-Relay is too old: do the clocks of the hosts differ?")
        return ((host, int(port)) if host else None), scheme == "https"

    def _mac(self, said: bytes, method: bytes, target: bytes) -> bytes:
        text = b"\n".join((said, method, target))
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest().encode()


class Relay:
    """The way to processes on other hosts.

    Args:
        find: Where they are.
        signing: Signs what is passed on.
        connections: Where relayed connections are counted.
    """

    name: Final = "relay"
    is_last: Final = True

    def __init__(self, find: Find, signing: Signing, connections: Connections) -> None:
        self._find, self._signing, self._connections = find, signing, connections

    async def take(self, node: str, request: Moving, transport: asyncio.Transport) -> bool:
        """Pass a connection on."""
        try:
            async with asyncio.timeout(CONNECT_S):
                address = await self._find(node)
                if not address:
                    return False
                url = urlsplit(address)
                is_secure = url.scheme == "https"
                is_request = not wants_websocket(request.headers)
                pair = Relayed(self._connections, is_request=is_request)
                far, _ = await asyncio.get_running_loop().create_connection(
                    lambda: pair.far,
                    url.hostname or "",
                    url.port or (443 if is_secure else 80),
                    ssl=is_secure or None,
                )
        except (OSError, TimeoutError, ClarionError, ValueError) as exc:
            # ValueError: what is said of where it is is no address.
            _log.warning("a request could not be relayed", node=node, reason=str(exc))
            return False
        if transport.is_closing() or far.is_closing():
            far.abort()
            return False
        pair.begin(transport, far, request.as_bytes(self._headers(request)))
        return True

    def _headers(self, request: Moving) -> Headers:
        kept = [each for each in request.headers if each[0] not in _OWN]
        how = b"Upgrade" if wants_websocket(request.headers) else b"close"
        return [*kept, (b"connection", how), (HEADER, self._signing.header(request))]


class Relayed:
    """Two connections that are one: what comes on either goes out on the other; the end of one is the end of both.

    Args:
        connections: Where it is counted until both have ended, and swept while one side takes nothing.
        is_request: It carries one request, and ends with the answer; else a WebSocket.

    Attributes:
        far: The protocol of the connection to the other process.
    """

    def __init__(self, connections: Connections, *, is_request: bool = False) -> None:
        # Fixed at creation
        self._connections, self._is_request = connections, is_request
        self._near, self.far = _Side(self), _Side(self)
        self._near.other, self.far.other = self.far, self._near
        # Monotonic seconds; 0: the process does not stop
        self._ends_at = 0.0

    def begin(self, near: asyncio.Transport, far: asyncio.Transport, request: bytes) -> None:
        """Pass on what was read, and then everything."""
        self._connections.add(self)
        self._near.transport = near
        near.set_protocol(self._near)
        far.write(request)
        near.resume_reading()

    def sweep(self, now: float) -> None:
        """Once a second while one side takes nothing, or the process stops."""
        limits = self._connections.limits
        if self._ends_at and now > self._ends_at:
            self.abort()
        elif any(each.is_late(now, limits) for each in (self._near, self.far)):
            limit_exceeded.labels("stall_s").inc()
            self.abort()

    def abort(self) -> None:
        """Cut it off at once."""
        for side in (self._near, self.far):
            if side.transport is not None:
                side.transport.abort()

    def on_drain(self) -> None:
        """The process stops: the client comes back by another. A request is given time for its answer: without it its session would end, which is another's."""
        if self._is_request:
            self._ends_at = self._connections.now() + self._connections.limits.close_s
            self._connections.watch(self)
        else:
            self.abort()

    # ── from the sides ──
    def stalled(self, side: "_Side") -> None:
        """One side takes nothing: the other is not read meanwhile."""
        side.wait(self._connections.now())
        self._connections.watch(self)
        if (other := side.other.transport) is not None and not other.is_closing():
            other.pause_reading()

    def taking(self, side: "_Side") -> None:
        """It takes something again."""
        other = side.other.transport
        if other is None:
            return  # it is closing: watched until what it was sent has gone out
        side.stalled_since = 0.0
        if not side.other.stalled_since and not self._ends_at:
            self._connections.unwatch(self)
        if not other.is_closing():
            other.resume_reading()

    def ended(self, side: "_Side") -> None:
        """One side has ended: the other gets what was sent to it, if it takes it, and ends."""
        side.transport, side.stalled_since = None, 0.0
        other = side.other
        if other.transport is None:
            self._connections.discard(self)
            return
        if not other.stalled_since:
            other.wait(self._connections.now())
        self._connections.watch(self)
        other.transport.close()


class _Side(asyncio.Protocol):
    """One of the two connections."""

    def __init__(self, pair: Relayed) -> None:
        # Fixed at creation
        self._pair = pair
        self.other: _Side = self
        # Changes while open; None: it has not begun, or has ended
        self.transport: asyncio.Transport | None = None
        # Monotonic seconds, 0 where nothing waits, and how many bytes waited then
        self.stalled_since, self._stalled_with = 0.0, 0

    def wait(self, now: float) -> None:
        """From now on it is judged by what it takes."""
        assert self.transport is not None, "who has ended is sent nothing"
        self.stalled_since = now
        self._stalled_with = self.transport.get_write_buffer_size()

    def is_late(self, now: float, limits: Limits) -> bool:
        """Whether it takes less than it must; a slow one gets everything."""
        if self.transport is None or not self.stalled_since:
            return False
        taken = max(0, self._stalled_with - self.transport.get_write_buffer_size())
        return now > self.stalled_since + limits.stall_s + taken / limits.body_rate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        self._pair.stalled(self)

    def resume_writing(self) -> None:
        self._pair.taking(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.ended(self)


def relayed_by(headers: Headers) -> bytes:
    """The header that says who asks; `b""`: it was not relayed."""
    return joined(headers, HEADER)
