"""The WebSocket transport on any ASGI server: messages in and out of `receive` and `send`.

The connection's own task reads, a second one writes, since `send` waits until the server's buffer has room. What a peer does not
take waits here up to `WINDOW_BYTES`, everything more in the session's egress, which knows what to drop and when to give up. One
deadline guards both tasks: it runs while the window is full, and while a close waits for its answer.

Frames, masks, UTF-8, fragments and pings are the server's work, and so are its mistakes: docs/how-to/mount.md says what differs.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from inspect import isawaitable
from typing import Any, Final, TypeAlias

from clarion.protocol.codes import TOO_BIG_MESSAGE, CloseCode
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.frames import cut_reason
from clarion.realtime.transports.base import Prepared, Session, Transport
from clarion.realtime.transports.head import Refused, Upgrade
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded, spawn

log = get_logger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Begin: TypeAlias = Callable[[Transport], Session | None]
"""Gives an open transport to its session; None: the session does not want it (any more)."""

Admit: TypeAlias = Callable[[Upgrade], Begin | Awaitable[Begin]]
"""Decides about a request for a WebSocket: what it begins, or `Refused`; at once, or awaited."""

# As uvloop's buffer on our own port: behind it messages are better kept where they can be dropped.
WINDOW_BYTES: Final = 64 * 1024


async def serve_websocket(
    scope: Scope, receive: Receive, send: Send, admit: Admit, limits: Limits
) -> None:
    """Serve one `websocket` scope, from its request to its end.

    Args:
        scope: ASGI's.
        receive: ASGI's.
        send: ASGI's.
        admit: Decides before the connection is accepted.
        limits: `handshake_s`, `max_payload_bytes`, `stall_s`, `close_s`.
    """
    await receive()  # websocket.connect
    upgrade = _upgrade(scope)
    try:
        begin = await _decide(admit, upgrade, limits.handshake_s)
    except Refused as why:
        await refuse(scope, send, why)
        return
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in upgrade.answer]
    await send({"type": "websocket.accept", "headers": headers})
    await AsgiSocket(send, limits).run(begin, receive)


async def _decide(admit: Admit, upgrade: Upgrade, within_s: float) -> Begin:
    try:
        async with asyncio.timeout(within_s):
            admitted = admit(upgrade)
            return await admitted if isawaitable(admitted) else admitted
    except Refused:
        raise
    except TimeoutError as exc:
        raise Refused(503, "no decision in time", limit="handshake_s") from exc
    except Exception as exc:
        log.exception("admission of a websocket failed")
        raise Refused(500, "internal error") from exc


async def refuse(scope: Scope, send: Send, why: Refused) -> None:
    """Answer a request for a WebSocket with an HTTP error; a server that cannot do that answers 403 to all of them."""
    if why.limit:
        limit_exceeded.labels(why.limit).inc()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": CloseCode.POLICY})
        return
    start = {"type": "websocket.http.response.start", "status": why.status, "headers": why.headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": why.body})


def _upgrade(scope: Scope) -> Upgrade:
    path = scope.get("raw_path") or scope["path"].encode()
    client = scope.get("client")
    return Upgrade(
        target=path + b"?" + scope["query_string"],
        headers=list(scope["headers"]),
        client=(client[0], client[1] or 0) if client else None,
        is_secure=scope.get("scheme", "ws") in {"wss", "https"},
    )


class AsgiSocket:
    """A WebSocket that carries a session; `run` is its whole life.

    Args:
        send: ASGI's, after `websocket.accept`.
        limits: As for `serve_websocket`.
    """

    __slots__ = (
        "_asleep", "_bytes", "_deadline", "_farewell", "_limits", "_queue", "_send", "_session", "held_s", "is_writable",
    )  # fmt: skip

    kind: Final = Kind.WEBSOCKET
    direct: Final = None  # the server makes its own frames

    def __init__(self, send: Send, limits: Limits) -> None:
        # Fixed at creation
        self._send, self._limits = send, limits
        # Changes while open. _bytes: of what is in the queue or on its way into the server.
        # Invariant: is_writable  <=>  _bytes <= WINDOW_BYTES and _farewell is None, but for a writer that is about to say so.
        self._session: Session | None = None
        self._queue: deque[Prepared] = deque()
        self._bytes = 0
        self.is_writable = True
        self.held_s = 0.0  # before the next message is received
        self._asleep: asyncio.Future[None] | None = None  # of the writer, while the queue is empty
        self._deadline = asyncio.timeout(None)
        # Once nothing more may be sent
        self._farewell: dict[str, Any] | None = None

    async def run(self, begin: Begin, receive: Receive) -> None:
        """Give itself to its session, carry messages until the connection ends, and tell the session so."""
        writer = spawn(self._write_all(), name="asgi websocket: writer")
        try:
            async with self._deadline:
                self._session = begin(self)
                if self._session is None:
                    self.close(None, "")
                await self._read_all(receive)
        except TimeoutError:
            limit_exceeded.labels("stall_s" if self._farewell is None else "close_s").inc()
        finally:
            writer.cancel()
            self.is_writable, self._farewell = False, self._farewell or {}
            self._queue.clear()
            session, self._session = self._session, None
            if session is not None:
                session.lost(self)

    # ── to the network ──
    def write(self, item: Prepared, /) -> None:
        """Send one; in order, as soon as the server takes it."""
        if self._farewell is not None:
            return
        self._queue.append(item)
        self._wake()
        self._bytes += item.size
        if self._bytes > WINDOW_BYTES and self.is_writable:
            self.is_writable = False
            self._give(self._limits.stall_s)
            if self._session is not None:
                self._session.full(self)

    def write_many(self, items: list[Prepared], /) -> int:
        """Send several, up to what the window takes."""
        for number, item in enumerate(items):
            if number and not self.is_writable:
                return number
            self.write(item)
        return len(items)

    def buffered(self) -> int:
        """Bytes that the server has not taken."""
        return self._bytes

    def throttle(self, seconds: float) -> None:
        """Receive nothing for so long; the server's own queue and TCP do the rest."""
        self.held_s = seconds

    def close(self, code: int | None, text: str) -> None:
        """Begin to close, behind what was written. ASGI knows no close without a code: None is 1000."""
        if self._farewell is None:
            self.is_writable = False
            self._farewell = {
                "type": "websocket.close",
                "code": CloseCode.NORMAL if code is None else int(code),
                "reason": cut_reason(text),
            }
            self._give(self._limits.close_s)
            self._wake()

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue or self._farewell is None:
                if self._queue:
                    await self._write_one(self._queue.popleft())
                else:
                    self._asleep = loop.create_future()
                    await self._asleep
            await self._send(self._farewell)
        except Exception:  # noqa: BLE001  OSError by the standard, whatever else by some servers: the peer is gone
            # The server says `websocket.disconnect` next; it has `close_s` for it.
            self.close(None, "")

    async def _write_one(self, item: Prepared) -> None:
        for message in item.messages:
            kind = "text" if isinstance(message, str) else "bytes"
            await self._send({"type": "websocket.send", kind: message})
        self._bytes -= item.size
        if self.is_writable or self._farewell is not None:
            return
        if self._bytes > WINDOW_BYTES // 2:
            self._give(self._limits.stall_s)  # it takes something
            return
        self._give(None)
        self.is_writable = True
        if self._session is not None:
            self._session.writable(self)

    def _wake(self) -> None:
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    def _give(self, seconds: float | None) -> None:
        """End the connection after so long; None: let it live."""
        if not self._deadline.expired():
            now = asyncio.get_running_loop().time()
            self._deadline.reschedule(None if seconds is None else now + seconds)

    # ── from the network ──
    async def _read_all(self, receive: Receive) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            if self._farewell is not None:
                continue  # RFC 6455 §1.4: what comes after our close frame is discarded
            data: str | bytes | None = message.get("text")
            if data is None:
                data = message["bytes"]
            if self._is_too_big(data):
                limit_exceeded.labels("max_payload_bytes").inc()
                self._end(CloseCode.TOO_BIG, TOO_BIG_MESSAGE)
            elif self._session is not None:
                self._hand_on(self._session, data)
                if self.held_s:
                    self.held_s = await asyncio.sleep(self.held_s, 0.0)

    def _is_too_big(self, data: str | bytes) -> bool:
        """The server's own limit may be larger; a character is at least a byte and at most four."""
        limit = self._limits.max_payload_bytes
        if len(data) * 4 <= limit or len(data) > limit:
            return len(data) > limit
        return isinstance(data, str) and len(data.encode()) > limit

    def _hand_on(self, session: Session, data: str | bytes) -> None:
        try:
            session.receive(data, self)
        except Exception:
            log.exception("websocket hook failed")
            self._end(CloseCode.INTERNAL, "")

    def _end(self, code: CloseCode, text: str) -> None:
        """Close by itself: what the session keeps for the end of this turn goes first."""
        if self._session is not None:
            self._session.flush()
        self.close(code, text)
