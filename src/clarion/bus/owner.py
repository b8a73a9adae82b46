"""The other end: a Unix socket at which the owner of the data serves its workers, and passes on what they publish.

What is served comes from elsewhere as `Service`s: one of each is made for each connection, and told when that ends. Who is connected is who
is there: the registry of nodes needs no leases.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, cast

import msgspec

from clarion.bus.frames import WAITING_BYTES, Frame, Unpacker, error_frame, packed
from clarion.errors import ClarionError, UsageError
from clarion.telemetry import Tasks, get_logger

_log = get_logger(__name__)

Answer = Callable[[bytes], Awaitable[bytes] | None]
"""Takes the body of a question, or of a notice, and gives what will be the answer. Called in the order in which they came."""

_list = msgspec.msgpack.Decoder(list[str]).decode
_message = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
_encode = msgspec.msgpack.Encoder().encode
_NOTHING: Final = b""


class Service(Protocol):
    """What is served over one connection."""

    @property
    def answers(self) -> Mapping[str, Answer]:
        """What may be asked, and how it is answered."""
        ...

    def gone(self) -> None:
        """The connection has ended."""
        ...


class Owner:
    """All connections of workers.

    Args:
        services: Make what is served, anew for each connection.
        on_left: Called with the name of a worker whose connection has ended.
    """

    def __init__(
        self,
        services: Sequence[Callable[[], Service]],
        on_left: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._services = services
        self._on_left = on_left
        self._server: asyncio.AbstractServer | None = None
        self._workers: dict[_Worker, None] = {}
        self._channels: dict[str, dict[_Worker, None]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, listening: socket.socket) -> None:
        """Serve at a socket that listens already."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Worker(self), sock=listening)

    def publish(self, channel: str, data: bytes) -> None:
        """Hand a message to every worker that is subscribed."""
        for worker in tuple(self._channels.get(channel, ())):
            worker.send(0, channel, data)

    @property
    def nodes(self) -> list[str]:
        """The names of the workers that are there."""
        return [worker.node for worker in self._workers if worker.node]

    async def wait_empty(self, within_s: float) -> None:
        """Return when no worker is connected any more, or after that time (s)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._empty.wait()

    async def close(self) -> None:
        """Serve nobody any more."""
        if self._server is not None:
            self._server.close()
        for worker in tuple(self._workers):
            worker.transport.abort()
        await self._empty.wait()

    # ── of connections ──
    def came(self, worker: "_Worker") -> dict[str, Answer]:
        """A worker has connected; returns what it may ask."""
        self._workers[worker] = None
        self._empty.clear()
        worker.services = [make() for make in self._services]
        answers: dict[str, Answer] = {
            "hello": worker.hello,
            "there?": worker.here,
            "nodes": self._tell_nodes,
            "leave": worker.leave,
            "publish": self._publish,
            "subscribers": self._count,
            "subscribe": lambda body: self._subscribe(worker, body),
            "unsubscribe": lambda body: self._unsubscribe(worker, body),
        }
        for service in worker.services:
            answers.update(service.answers)
        return answers

    def went(self, worker: "_Worker") -> None:
        """Its connection has ended."""
        del self._workers[worker]
        for service in worker.services:
            service.gone()
        for channel in worker.channels:
            self._forget(worker, channel)
        if worker.node:
            self.left(worker.node)
        if not self._workers:
            self._empty.set()

    def left(self, node: str) -> None:
        """A node counts no longer."""
        self._on_left(node)

    def _publish(self, body: bytes) -> None:
        self.publish(*_message(body))

    async def _tell_nodes(self, _: bytes) -> bytes:
        return _encode(self.nodes)

    async def _count(self, body: bytes) -> bytes:
        return _encode(len(self._channels.get(body.decode(), ())))

    def _subscribe(self, worker: "_Worker", body: bytes) -> Awaitable[bytes]:
        for channel in _list(body):
            self._channels.setdefault(channel, {})[worker] = None
            worker.channels[channel] = None
        return _done()

    def _unsubscribe(self, worker: "_Worker", body: bytes) -> None:
        for channel in _list(body):
            worker.channels.pop(channel, None)
            self._forget(worker, channel)

    def _forget(self, worker: "_Worker", channel: str) -> None:
        listening = self._channels.get(channel)
        if listening is not None:
            listening.pop(worker, None)
            if not listening:
                del self._channels[channel]


class _Worker(asyncio.Protocol):
    """A worker's connection."""

    services: list[Service]

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._unpacker = Unpacker()
        self._tasks = Tasks()
        self.node = ""
        self.channels: dict[str, None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of another family
        self._answers = self._owner.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.went(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._unpacker.feed(data):
                self._take(frame)
        except (ValueError, msgspec.MsgspecError, UsageError):
            _log.exception("what a worker says is not understood", node=self.node)
            self.transport.abort()

    def send(self, number: int, name: str, body: bytes) -> None:
        """Send a frame; a worker that does not read is given up: it comes back, and knows that it has missed something."""
        self._write(packed(number, name, body))

    def hello(self, body: bytes) -> None:
        self.node = body.decode()

    def here(self, _: bytes) -> None:
        self.send(0, "", _NOTHING)

    def leave(self, _: bytes) -> None:
        node, self.node = self.node, ""
        if node:
            self._owner.left(node)

    def _take(self, frame: Frame) -> None:
        if (answer := self._answers.get(frame.name)) is None:
            raise UsageError(f"nothing is known of {frame.name!r}")
        coming = answer(frame.body)
        if coming is not None:
            self._tasks.spawn(self._answer(frame.number, coming), name=f"owner: {frame.name}")

    async def _answer(self, number: int, coming: Awaitable[bytes]) -> None:
        try:
            body = await coming
        except Exception as exc:  # noqa: BLE001  whoever asked gets it
            if not isinstance(exc, ClarionError):
                _log.exception("a worker was not answered")
            self._write(error_frame(number, exc))
        else:
            self.send(number, "", body)

    def _write(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > WAITING_BYTES:
            _log.error("a worker does not read what it is sent", node=self.node)
            self.transport.abort()
            return
        self.transport.write(data)


async def _done() -> bytes:
    return _NOTHING
