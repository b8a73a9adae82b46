"""Connections of clients by the thousand: WebSocket frames and HTTP requests on bare asyncio protocols, without streams or queues."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

from tests.support.raw_client import BINARY, CLOSE, PING, TEXT, upgrade

NO_CODE, NO_CLOSE = 1005, 1006
"""What an end counts as: a close frame without a code, and no close frame at all (RFC 6455 §7.1.5)."""

ANSWER_S = 30.0
LINGER_NOT = struct.pack("ii", 1, 0)


class Refused(AssertionError):
    """A server did not want a WebSocket or a request; `status` says how, and `retry_after` when to come again, if it does."""

    def __init__(self, status: int, body: bytes, retry_after: str = "") -> None:
        super().__init__(f"answered {status}: {body[:200]!r}")
        self.status, self.body, self.retry_after = status, body, retry_after


def masked(op: int, data: bytes) -> bytes:
    """A client's frame. Its key is zero, which the RFC leaves to the client, and saves the work."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | op, 0x80 | size)) + bytes(4) + data
    if size < 65536:
        return struct.pack("!BBH4x", 0x80 | op, 0x80 | 126, size) + data
    return struct.pack("!BBQ4x", 0x80 | op, 0x80 | 127, size) + data


class Line(asyncio.Protocol):
    """A TCP connection whose end is awaited."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.gone = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are; nothing happens once it is gone."""
        if self.transport is not None and not self.gone.done():
            with contextlib.suppress(RuntimeError):  # uvloop's, of a reset that was not told yet
                self.transport.write(data)

    def reset(self) -> None:
        """End it by RST, what was not sent yet is dropped."""
        if self.transport is not None and not self.gone.done():
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            self.transport.abort()

    def pause(self) -> None:
        """Read no more."""
        if self.transport is not None and not self.gone.done():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.transport is not None and not self.gone.done():
            self.transport.resume_reading()


class WebSocketLine(Line):
    """A WebSocket: messages are handed to `on_message` as they come; `ended` has the close code, `reason` what came with it."""

    def __init__(self, on_message: Callable[[str | bytes], None]) -> None:
        super().__init__()
        self._on_message = on_message
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.reason = ""

    def say(self, message: str | bytes) -> None:
        """Send a message in one frame."""
        if isinstance(message, str):
            self.write(masked(TEXT, message.encode()))
        else:
            self.write(masked(BINARY, message))

    def close(self, code: int = 1000) -> None:
        """Send a close frame."""
        self.write(masked(CLOSE, struct.pack("!H", code)))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.opened.done():
            self.opened.set_exception(ConnectionResetError("before it opened"))
            self.opened.exception()  # who does not wait any more need not be told
        if not self.ended.done():
            self.ended.set_result(NO_CLOSE)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done() and not self._open():
            return
        self._read()

    def _open(self) -> bool:
        head, found, _ = self._buffer.partition(b"\r\n\r\n")
        if found:
            del self._buffer[: len(head) + 4]
            status = int(head[9:12])
            if status == 101:
                self.opened.set_result(None)
                return True
            lines = bytes(head).lower().split(b"\r\n")
            told = dict(each.split(b": ", 1) for each in lines[1:])
            after = told.get(b"retry-after", b"").decode()
            self.opened.set_exception(Refused(status, bytes(self._buffer), after))
        return False

    def _read(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) >= at + 2:
            op, size, start = buffer[at] & 15, buffer[at + 1], at + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                size = int.from_bytes(buffer[at + 2 : start], "big")
                if len(buffer) < start:
                    break
            if len(buffer) < start + size:
                break
            at = start + size
            self._frame(op, bytes(buffer[start:at]))
        del buffer[:at]

    def _frame(self, op: int, payload: bytes) -> None:
        if op == TEXT:
            self._on_message(payload.decode())
        elif op == BINARY:
            self._on_message(payload)
        elif op == CLOSE and not self.ended.done():
            self.reason = payload[2:].decode()
            self.ended.set_result(int.from_bytes(payload[:2], "big") if payload else NO_CODE)
            self.write(masked(CLOSE, payload[:2]))
        assert op != PING, "Engine.IO has its own pings"


class HttpLine(Line):
    """A kept connection for requests, one after another."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(
        self, method: str, target: str, body: bytes = b"", *, headers: str = ""
    ) -> tuple[int, bytes]:
        """Status and body of the answer; more headers end with a line's end each.

        Raises:
            ConnectionResetError: The connection ended instead.
        """
        length = f"Content-Length: {len(body)}\r\n" if method in {"POST", "PUT"} else ""
        self._answer = asyncio.get_running_loop().create_future()
        if self.gone.done():
            raise ConnectionResetError("before the request")
        self.write(
            f"{method} {target} HTTP/1.1\r\nHost: x\r\n{length}{headers}\r\n".encode() + body
        )
        return await self._answer

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("instead of an answer"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, _ = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        size = next((int(each[15:]) for each in lines if each.startswith(b"content-length:")), 0)
        end = len(head) + 4 + size
        if len(self._buffer) >= end and self._answer is not None and not self._answer.done():
            body = bytes(self._buffer[end - size : end])
            del self._buffer[:end]
            self._answer.set_result((int(head[9:12]), body))


async def websocket(
    port: int, target: str, on_message: Callable[[str | bytes], None]
) -> WebSocketLine:
    """An open WebSocket.

    Raises:
        Refused: The answer was no 101.
        ConnectionError: There was none.
    """
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: WebSocketLine(on_message), "127.0.0.1", port)
    line.write(upgrade(path=target.encode()))
    try:
        async with asyncio.timeout(ANSWER_S):
            await line.opened
    except BaseException:
        line.reset()  # else it would be a connection of nobody
        raise
    return line


async def http(port: int) -> HttpLine:
    """A connection for requests."""
    _, line = await asyncio.get_running_loop().create_connection(HttpLine, "127.0.0.1", port)
    return line
