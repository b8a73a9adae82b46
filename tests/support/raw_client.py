"""A client that says exactly the bytes it is told to: for attacks, and for what no well-behaved client can be made to do."""

import asyncio
import base64
import contextlib
import re
import struct
from pathlib import Path

KEY = base64.b64encode(b"0123456789abcdef")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10

STILL_OPEN = "…".encode()  # ends what `ask` heard when the server did not close
RESET = b"<RESET>"  # ends what `ask` heard when the connection was reset


def upgrade(
    extra: bytes = b"",
    *,
    connection: bytes = b"Upgrade",
    path: bytes = b"/socket.io/",
    key: bytes = KEY,
    version: bytes = b"13",
) -> bytes:
    """A request for a WebSocket; `extra` is further header lines, each with its line's end."""
    return (
        b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: " + connection
        + b"\r\nUpgrade: websocket\r\nSec-WebSocket-Version: " + version
        + b"\r\nSec-WebSocket-Key: " + key + b"\r\n" + extra + b"\r\n"
    )  # fmt: skip


def frame(op: int, data: bytes = b"", *, fin: int = 1, rsv: int = 0, masked: bool = True) -> bytes:
    """A client's frame, right or wrong."""
    size, mask = len(data), b"\x01\x02\x03\x04"
    short = size if size < 126 else 126 if size < 65536 else 127
    head = bytes([fin << 7 | rsv << 4 | op, (0x80 if masked else 0) | short])
    head += b"" if size < 126 else struct.pack("!H" if size < 65536 else "!Q", size)
    if not masked:
        return head + data
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def statuses(answer: bytes) -> list[int]:
    """The status of each response in what was heard."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


class RawClient:
    """Opens connections to one server."""

    def __init__(
        self, port: int = 0, *, uds: Path | None = None, path: bytes = b"/socket.io/"
    ) -> None:
        self.port, self._uds, self._path = port, uds, path

    async def dial(
        self, data: bytes = b"", *, limit: int = 1 << 26
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which `data` was sent; twice `limit` bytes are read ahead of the test."""
        if self._uds is not None:
            reader, writer = await asyncio.open_unix_connection(self._uds, limit=limit)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        if data:
            writer.write(data)
        return reader, writer

    async def ask(self, data: bytes, wait_s: float = 12.0) -> bytes:
        """Everything the server says until it closes, or until `wait_s` is over (then `STILL_OPEN` follows)."""
        reader, writer = await self.dial(data)
        heard = b""
        try:
            async with asyncio.timeout(wait_s):
                while chunk := await reader.read(65536):
                    heard += chunk
        except TimeoutError:
            heard += STILL_OPEN
        except ConnectionError:
            heard += RESET
        await hang_up(writer)
        return heard

    async def first_status(self, data: bytes, wait_s: float = 12.0) -> int:
        """The status of the first response; 0 if the server only closed."""
        reader, writer = await self.dial(data)
        with contextlib.suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(wait_s):
                line = await reader.readuntil(b"\r\n")
                await hang_up(writer)
                return int(line.split()[1])
        await hang_up(writer)
        return 0

    async def websocket(self, extra: bytes = b"", *, path: bytes | None = None) -> "RawWebSocket":
        """An open WebSocket; None: on the path of this client."""
        reader, writer = await self.dial(upgrade(extra, path=path or self._path))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return RawWebSocket(reader, writer, head)

    async def frames(self, *sent: bytes, wait_s: float = 12.0) -> list[tuple[int, bytes]]:
        """What comes back for `sent`: (opcode, payload), and (8, code) for a close, until the server closes or `wait_s` is over."""
        socket = await self.websocket()
        for each in sent:
            socket.writer.write(each)
        got: list[tuple[int, bytes]] = []
        with contextlib.suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(wait_s):
                while True:
                    got.append(await socket.receive())
                    if got[-1][0] == CLOSE:
                        break
        await hang_up(socket.writer)
        return got


class RawWebSocket:
    """A WebSocket as frames; `reader` and `writer` are the connection below it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self.reader, self.writer, self.head = reader, writer, head

    def send(self, data: str | bytes) -> None:
        """One message in one frame."""
        payload = data.encode() if isinstance(data, str) else data
        self.writer.write(frame(TEXT if isinstance(data, str) else BINARY, payload))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: (opcode, payload); of a close the payload is its code in digits, empty if it has none."""
        first, size = await self.reader.readexactly(2)
        size &= 127
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        body = await self.reader.readexactly(size)
        op = first & 15
        if op == CLOSE:
            return op, b"%d" % int.from_bytes(body[:2], "big") if body else b""
        return op, body

    async def hang_up(self) -> None:
        """Leave without a word."""
        await hang_up(self.writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Reset the connection and wait until it is gone."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
