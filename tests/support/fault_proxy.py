"""A TCP proxy that does to a byte stream what a network or a dying peer can do: delay, slow down, hold, cut, take one side away.

It runs in a thread of its own, so that a test that waits for an answer does not hold it up. Each direction has a `Link` whose fields may be set
at any time. A proxy has acknowledged what the far end never got, so a hole stops reading: bytes wait until `heal`, as TCP would send them again.
Loss and reordering below TCP are not its to make.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeVar

T = TypeVar("T")
Side = Literal["client", "server"]

PIECE: Final = 65_536  # bytes read at once
WAITING: Final = 16  # pieces of a direction in here; then its sender feels it
TURN_S: Final = 0.005  # between two looks at whether a hole is closed
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass
class Link:
    """What happens to one direction of every connection; 0 and False: nothing."""

    delay: float = 0.0
    """Seconds; order is kept."""
    rate: float = 0.0
    """Bytes a second, of each connection."""
    hole: bool = False
    """Nothing is read, nothing is handed on."""
    cut_after: int = 0
    """Both ends are reset after exactly so many bytes more of a connection."""


class _Pair:
    """A connection: its two sockets, and the task between them."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.sockets: dict[Side, socket.socket] = {"client": client, "server": server}
        self.task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Hand nothing on any more."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class FaultProxy:
    """Listens on `port` of this machine; use it as a context.

    Args:
        to: Where to: host and port, or the path of a Unix socket.

    Attributes:
        to: As given; who connects from now on comes there.
        up: From clients to the server.
        down: From the server to clients.
        refuses: Whether new connections are reset at once.
    """

    def __init__(self, to: tuple[str, int] | str) -> None:
        self.to = to
        self.up, self.down, self.refuses = Link(), Link(), False
        self._pairs: list[_Pair] = []
        self._held: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._accept(), self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # ── faults ──
    def cut(self) -> int:
        """Reset every connection at both ends; returns how many."""
        return self._do(self._cut())

    def half_open(self, stays: Side) -> int:
        """Take the other side of every connection away; who stays hears nothing any more, ever. Returns how many."""
        return self._do(self._half_open(stays))

    def hole(self) -> None:
        """Nothing comes through any more, in either direction; new connections are taken and hear nothing."""
        self.up.hole = self.down.hole = True

    def heal(self) -> None:
        """Nothing is the matter any more; what waited goes on."""
        self.up, self.down, self.refuses = Link(), Link(), False

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._pairs)

    # ── within, in the thread ──
    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _close(self) -> None:
        await self._cut()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._listener.close()
        for each in self._held:
            _reset(each)

    async def _cut(self) -> int:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            await pair.stop()
            for each in pair.sockets.values():
                _reset(each)
        return len(pairs)

    async def _half_open(self, stays: Side) -> int:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            await pair.stop()
            self._held.append(pair.sockets.pop(stays))
            for gone in pair.sockets.values():
                _reset(gone)
        return len(pairs)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            if self.refuses:
                _reset(client)
                continue
            server = socket.socket(socket.AF_UNIX if isinstance(self.to, str) else socket.AF_INET)
            server.setblocking(False)
            try:
                await self._loop.sock_connect(server, self.to)
            except OSError:
                server.close()
                _reset(client)
                continue
            pair = _Pair(client, server)
            self._pairs.append(pair)
            pair.task = self._loop.create_task(self._serve(pair))

    async def _serve(self, pair: _Pair) -> None:
        client, server = pair.sockets["client"], pair.sockets["server"]
        ways = [
            self._loop.create_task(self._carry(client, server, "up")),
            self._loop.create_task(self._carry(server, client, "down")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            # Nobody may wait for a socket that is closed: another one gets its number.
            for way in ways:
                way.cancel()
            outcomes = await asyncio.gather(*ways, return_exceptions=True)
            if pair in self._pairs:  # it ended by itself
                self._pairs.remove(pair)
                for each in pair.sockets.values():
                    if outcomes == [None, None]:
                        each.close()
                    else:
                        _reset(each)

    async def _carry(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        """One direction; returns after an end in order, which it has handed on."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)
        reading = self._loop.create_task(self._read(source, waiting, way))
        try:
            await self._write(sink, waiting, way)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(
        self, source: socket.socket, waiting: "asyncio.Queue[tuple[float, bytes]]", way: str
    ) -> None:
        data = b"?"
        while data:
            await self._whole(way)
            try:
                data = await self._loop.sock_recv(source, PIECE)
            except OSError:
                await waiting.put((-1.0, b""))
                return
            await waiting.put((self._loop.time() + getattr(self, way).delay, data))

    async def _write(
        self, sink: socket.socket, waiting: "asyncio.Queue[tuple[float, bytes]]", way: str
    ) -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._whole(way)
            if due < 0:
                raise ConnectionResetError
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            link: Link = getattr(self, way)
            if 0 < link.cut_after <= len(data):
                await self._loop.sock_sendall(sink, data[: link.cut_after])
                link.cut_after = 0
                raise ConnectionResetError
            link.cut_after = max(0, link.cut_after - len(data))
            step = max(1, int(link.rate / 50)) if link.rate else len(data)  # 20 ms of it
            for at in range(0, len(data), step):
                piece = data[at : at + step]
                await self._loop.sock_sendall(sink, piece)
                if link.rate:
                    await asyncio.sleep(len(piece) / link.rate)

    async def _whole(self, way: str) -> None:
        while getattr(self, way).hole:  # noqa: ASYNC110  a field that the test's thread sets
            await asyncio.sleep(TURN_S)


def _reset(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    each.close()
