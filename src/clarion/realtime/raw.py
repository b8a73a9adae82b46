"""Raw endpoints: WebSockets for protocols that are not Socket.IO, with the same egress, limits and drain.

    @io.websocket("/echo")
    async def echo(ws: RawConnection) -> None:
        async for message in ws:
            ws.send(message)

An `async def` handler runs for as long as the connection, and its end closes that. One that is `def` only sets the connection up,
by `ws.on_message(…)`: ten thousand connections then have no tasks. What an `async def` handler has not taken yet is bounded: above
a mark nothing more is read, and TCP holds the peer back.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias

from clarion.errors import Disconnected, UsageError
from clarion.protocol.codes import CloseCode
from clarion.realtime.admission import Ingress
from clarion.realtime.egress import Egress, Flusher, Sent
from clarion.realtime.handshake import Handshake
from clarion.realtime.transports.base import Prepared, Transport
from clarion.realtime.transports.websocket import SessionSocket
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded, sessions

log = get_logger(__name__)

RawHandler: TypeAlias = Callable[["RawConnection"], Any]
"""Serves one connection: `async def` until its end, or `def` to set it up."""


class Shared(Protocol):
    """What the raw connections of a server share."""

    limits: Limits
    flusher: Flusher
    ingress: Ingress
    now: Callable[[], float]

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a handler."""
        ...

    def ended(self, connection: "RawConnection") -> None:
        """Forget a connection."""
        ...


class RawConnection:
    """A WebSocket that somebody opened on a raw endpoint.

    Args:
        shared: The server's part.
        handler: Serves it, from `open` on.
        request: The request that opened it: `path`, `query`, `headers`, `address`.
        transport: The WebSocket.
        subprotocol: The one that was agreed on; empty if none.
    """

    __slots__ = (
        "_credit", "_egress", "_handler", "_is_open", "_on_close", "_on_message", "_refilled_at", "_room", "_shared",
        "_transport", "_unread", "_unread_bytes", "_waiter", "close_code", "data", "request", "subprotocol",
    )  # fmt: skip

    def __init__(
        self,
        shared: Shared,
        handler: RawHandler,
        request: Handshake,
        transport: SessionSocket,
        subprotocol: str = "",
    ) -> None:
        # Fixed at creation
        self.request: Final = request
        self.subprotocol: Final = subprotocol
        self._shared, self._handler, self._transport = shared, handler, transport
        self._egress = Egress(self, shared.flusher, transport)
        # The application's own, as `socket.data`
        self.data: Any = None
        # Changes while open
        self._is_open = True
        # What it may still send before the clock is asked, and when that was done last: see `admission.Ingress`.
        self._credit = shared.ingress.burst
        self._refilled_at = 0.0
        self._on_message: Callable[[str | bytes], object] | None = None
        self._on_close: Callable[[int], object] | None = None
        # Once it has ended: the code of the peer's close frame, 1005 if that had none, 1006 if there was no such frame; 0 before
        self.close_code = 0
        # Only for an async handler. Invariant: _waiter is not None  =>  _unread is empty.
        self._unread: deque[str | bytes] | None = None
        self._unread_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        # Only while somebody waits for room
        self._room: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._is_open

    # ── to the peer ──
    def send(self, message: str | bytes, *, compress: bool = True) -> Sent:
        """Send one message, text for `str` and binary for `bytes`, behind all that was sent before.

        Args:
            message: Of any size: what waits counts against the marks of `limits.egress_hard_bytes`.
            compress: Whether it may be compressed where that was agreed.

        Returns:
            What became of it. `REFUSED`: the connection has ended, or is ending because the peer is too slow (3008).
        """
        item = Prepared([message])
        item.compress = compress
        return self._egress.push(item)

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was sent. A producer calls it after each `send`.

        Raises:
            Disconnected: The connection has ended.
        """
        # What was sent in this turn goes to the network at its end: before that nobody knows what the peer takes.
        await asyncio.sleep(0)
        while self._is_open and not self._transport.is_writable:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)
        if not self._is_open:
            raise Disconnected("the connection has ended")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close, behind what was sent; what came before can still be taken.

        Args:
            code: 1000, or one of the application's own (4000-4999).
            reason: For people; cut to 123 bytes.
        """
        if self._is_open:
            self._egress.finish(keep=False)
            self._end()
            self._transport.close(code, reason)

    # ── from the peer ──
    def on_message(self, handler: Callable[[str | bytes], object]) -> None:
        """Call this with each message, on the loop and at once: it must not block.

        While the peer takes nothing of what it is sent, nothing more is read of it.
        """
        self._on_message = handler

    def on_close(self, handler: Callable[[int], object]) -> None:
        """Call this with `close_code` when the connection has ended."""
        self._on_close = handler

    async def recv(self) -> str | bytes:
        """The next message.

        Raises:
            Disconnected: The connection has ended, and what came before was taken.
            UsageError: Somebody else waits already, or this is no connection of an async handler.
        """
        if self._unread is None:
            raise UsageError("messages are taken one by one only while an async handler runs")
        if self._waiter is not None:
            raise UsageError("two tasks wait for the next message of one connection")
        while not self._unread:
            if not self._is_open:
                raise Disconnected("the connection has ended")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._unread.popleft()
        self._unread_bytes -= len(message)
        limits = self._shared.limits
        if (
            len(self._unread) * 2 <= limits.unread_messages
            and self._unread_bytes * 2 <= limits.unread_bytes
        ):
            self._transport.release()
        return message

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Every message until the connection's end."""
        while True:
            try:
                message = await self.recv()
            except Disconnected:
                return
            yield message

    # ── the handler's life ──
    def open(self) -> None:
        """Give it to its handler."""
        sessions.labels("raw").inc()
        try:
            running = self._handler(self)
        except Exception as exc:  # noqa: BLE001  a handler may raise anything
            self._failed(exc)
            return
        if inspect.iscoroutine(running):
            self._unread = deque()
            self._shared.start(self._run(running), f"handler of {self.request.path}")

    async def _run(self, running: Coroutine[Any, Any, object]) -> None:
        try:
            await running
        except asyncio.CancelledError:
            self.close(CloseCode.GOING_AWAY, "the server stops")
            raise
        except Disconnected:
            pass  # the usual end of a handler that waits for a message, or for room
        except Exception as exc:  # noqa: BLE001  as above
            self._failed(exc)
        finally:
            self._unread = None
            self.close()

    def _failed(self, exc: Exception) -> None:
        log.error("handler of a raw endpoint failed", path=self.request.path, exc_info=exc)
        self.close(CloseCode.INTERNAL, "internal error")

    def _end(self) -> None:
        """Nothing more can be sent, and nothing more comes."""
        self._is_open = False
        for waiting in (self._waiter, self._room):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    # ── the transport calls these ──
    def signalled(self, size: int, _via: Transport) -> None:
        """A ping or a pong came in."""
        self._credit -= size + self._shared.ingress.message_bytes
        if self._credit < 0:
            self._took_too_much()

    def receive(self, message: str | bytes, _via: Transport) -> None:
        """One message came in."""
        self._credit -= len(message) + self._shared.ingress.message_bytes
        if self._credit < 0:
            self._took_too_much()
        if self._on_message is not None:
            try:
                self._on_message(message)
            except Exception as exc:  # noqa: BLE001  as above
                self._failed(exc)
        elif self._unread is not None:
            self._unread.append(message)
            self._unread_bytes += len(message)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            limits = self._shared.limits
            if (
                len(self._unread) >= limits.unread_messages
                or self._unread_bytes >= limits.unread_bytes
            ):
                self._transport.hold()

    def _took_too_much(self) -> None:
        """The peer has used up what it may send, unless time has brought more."""
        now = self._shared.now()
        self._credit, hold_s = self._shared.ingress.refill(self._credit, self._refilled_at, now)
        self._refilled_at = now
        if hold_s:
            limit_exceeded.labels("bytes_per_s").inc()
            self._transport.throttle(hold_s)

    def writable(self, _via: Transport) -> None:
        """The peer takes more again."""
        self._egress.resumed()
        self._egress.flush()
        if self._on_message is not None and self._transport.is_writable:
            self._transport.release()
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def full(self, _via: Transport) -> None:
        """The peer takes no more for now."""
        self._egress.full()
        if self._on_message is not None:
            self._transport.hold()

    def flush(self) -> None:
        """The WebSocket is about to send a control frame: what was sent before goes first."""
        self._egress.flush()

    def lost(self, _via: Transport) -> None:
        """The connection has ended."""
        self.close_code = self._transport.close_code
        if self._is_open:
            self._egress.finish(keep=False)
            self._end()
        sessions.labels("raw").dec()
        self._shared.ended(self)
        if self._on_close is not None:
            try:
                self._on_close(self.close_code)
            except Exception as exc:  # noqa: BLE001  as above
                self._failed(exc)

    def drain(self) -> None:
        """The process stops, and it is this connection's turn to go."""
        self.close(CloseCode.DRAINING, "draining")

    def overflowed(self, waiting: int) -> None:
        """More waits than may."""
        log.info("raw connection is too slow", path=self.request.path, queued_bytes=waiting)
        self.close(CloseCode.SLOW, "slow")
