"""A worker's connection to the owner of the data, over a Unix socket: questions with answers, messages, and a new connection when one is lost.

Whoever waits for an answer when the connection ends is told at once: a read was not done, a write may have been. A connection whose other side is
silent for too long counts as lost: an owner that hangs is like one that is gone.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from clarion.bus.frames import WAITING_BYTES, Frame, Unpacker, error_of, packed
from clarion.errors import Closed, OutcomeUnknown, Overloaded, SettingsError, Unavailable
from clarion.ids import Ids
from clarion.telemetry import Tasks, get_logger, owner_connected

_log = get_logger(__name__)

HEALTH_S: Final = (
    5.0  # between two questions whether the owner is there; silent for two of them, it is not
)
FIRST_S, LONGEST_S = 0.02, 0.5  # pauses between attempts to connect; each at most twice the former
_NOBODY_THERE: Final = (FileNotFoundError, ConnectionError, BlockingIOError)
STARTING_S: Final = 30.0  # for the owner to be there at the start

Push = Callable[[str, bytes], None]
"""Takes a channel and a message."""


class _Connection(asyncio.Protocol):
    """One connection: answers find their questions."""

    def __init__(self, on_push: Push) -> None:
        self._on_push = on_push
        self._unpacker = Unpacker()
        self._asked: dict[int, tuple[asyncio.Future[bytes], bool]] = {}
        self._number = 0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_heard = True

    # ── of the transport ──
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of another family

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        try:
            for frame in self._unpacker.feed(data):
                self._take(frame)
        except ValueError:
            _log.exception("what the owner of the data says is not understood")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        asked, self._asked = self._asked, {}
        for answer, is_write in asked.values():
            if not answer.done():
                answer.set_exception(_lost(is_write=is_write))
                answer.exception()  # its caller may be gone
        self.lost.set_result(None)

    # ── ours ──
    def ask(self, name: str, body: bytes, *, is_write: bool) -> "asyncio.Future[bytes]":
        self._number += 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.send(self._number, name, body)
        self._asked[self._number] = answer, is_write
        return answer

    def send(self, number: int, name: str, body: bytes) -> None:
        if self.lost.done() or self.transport.is_closing():
            raise Unavailable("the owner of the data is not there now")
        if self.transport.get_write_buffer_size() > WAITING_BYTES:
            raise Overloaded("the owner of the data does not keep up")
        self.transport.write(packed(number, name, body))

    def _take(self, frame: Frame) -> None:
        if frame.number == 0:
            self._on_push(frame.name, frame.body)
            return
        answer, _ = self._asked.pop(frame.number, (None, False))
        if answer is None or answer.done():  # its caller was cancelled
            return
        if frame.name:
            answer.set_exception(error_of(frame))
            answer.exception()
        else:
            answer.set_result(frame.body)


class OwnerLink:
    """The way to the owner.

    Args:
        path: Of its socket.
        node: This worker's name.
        ids: For the spread of pauses.
        health_s: See `HEALTH_S`.
    """

    def __init__(self, path: Path, node: str, *, ids: Ids, health_s: float = HEALTH_S) -> None:
        # Fixed at creation
        self._path, self._node, self._ids, self._health_s = path, node, ids, health_s
        self._pushes: list[Push] = []
        self._backs: list[Callable[[], None]] = []
        # Changes while open
        self._connection: _Connection | None = None
        self._tasks = Tasks()
        self._is_closed = False

    def on_push(self, listener: Push) -> None:
        """Be given the messages of channels."""
        self._pushes.append(listener)

    def on_back(self, listener: Callable[[], None]) -> None:
        """Be told when there is a connection again, before anything else is sent over it."""
        self._backs.append(listener)

    async def start(self, *, within_s: float = STARTING_S) -> None:
        """Connect, and keep connected from now on.

        Raises:
            Unavailable: Nobody is there.
            SettingsError: The path cannot be one of a socket.
        """
        try:
            async with asyncio.timeout(within_s):
                connection = await self._again(is_first=True)
        except TimeoutError as exc:
            raise Unavailable(f"nobody owns the data: {self._path} does not answer") from exc
        self._adopt(connection)
        self._tasks.spawn_forever(self._keep, name="link to the owner")

    async def ask(self, name: str, body: bytes = b"", *, is_write: bool = False) -> bytes:
        """Ask the owner; returns what it answers. A caller that is cancelled has lost only the answer.

        Raises:
            Unavailable: It is not there now; `OutcomeUnknown`: it went away while it may have been writing.
            Closed: The link was closed.
            ClarionError: What it answered.
        """
        return await self.begin(name, body, is_write=is_write)

    def begin(
        self, name: str, body: bytes = b"", *, is_write: bool = False
    ) -> "asyncio.Future[bytes]":
        """Ask at once, before anything else that is said; the answer is to be awaited, see `ask`.

        Raises:
            Unavailable, Closed: See `ask`; nothing was asked.
        """
        return self._open().ask(name, body, is_write=is_write)

    def tell(self, name: str, body: bytes = b"") -> None:
        """Tell the owner something that has no answer.

        Raises:
            Unavailable: It is not there now.
            Closed: The link was closed.
        """
        self._open().send(0, name, body)

    def give_up(self) -> None:
        """Throw the connection away: with the next one all begin anew."""
        if self._connection is not None:
            self._connection.transport.abort()

    async def close(self) -> None:
        """Ask nothing more."""
        self._is_closed = True
        await self._tasks.close()
        if self._connection is not None:
            self._connection.transport.close()
            await asyncio.shield(self._connection.lost)

    def _open(self) -> _Connection:
        if self._is_closed:
            raise Closed("the link to the owner of the data is closed")
        if self._connection is None:
            raise Unavailable("the owner of the data is not there now")
        return self._connection

    def _push(self, channel: str, data: bytes) -> None:
        for listener in self._pushes:
            listener(channel, data)

    # ── being connected ──
    def _adopt(self, connection: _Connection) -> None:
        self._connection = connection
        owner_connected.set(1)
        # Lost before anything was said: whoever is killed may take a connection first. `_keep` sees it, and the next one gets all this.
        with contextlib.suppress(Unavailable):
            connection.send(0, "hello", self._node.encode())
            for listener in self._backs:
                listener()

    async def _keep(self) -> None:
        while True:
            if (connection := self._connection) is None:
                connection = await self._again()
                self._adopt(connection)
                _log.info("the owner of the data is back")
            await self._watch(connection)
            self._connection = None
            owner_connected.set(0)
            _log.warning("the owner of the data is gone")
            await asyncio.sleep(self._ids.uniform(FIRST_S / 2, FIRST_S))

    async def _watch(self, connection: _Connection) -> None:
        """Return when it is lost, by itself or because nothing is heard any more."""
        silent = 0
        while not connection.lost.done():
            connection.has_heard = False
            if not connection.transport.is_closing():
                connection.transport.write(packed(0, "there?", b""))
            await asyncio.wait([connection.lost], timeout=self._health_s)
            silent = 0 if connection.has_heard else silent + 1
            if silent == 2 and not connection.lost.done():
                _log.warning("the owner of the data does not answer")
                connection.transport.abort()
                await asyncio.shield(connection.lost)  # to give up waiting must not cancel it

    async def _again(self, *, is_first: bool = False) -> _Connection:
        loop, longest = asyncio.get_running_loop(), FIRST_S
        while True:
            try:
                _, connection = await loop.create_unix_connection(
                    lambda: _Connection(self._push), str(self._path)
                )
            except OSError as exc:
                if not isinstance(exc, _NOBODY_THERE):
                    if is_first:
                        message = f"data_dir: {self._path}: {exc.strerror or exc}"
                        raise SettingsError(message) from exc
                    # No descriptor is free, for one: that may pass.
                    _log.warning("the owner of the data is not reached", why=str(exc))
                await asyncio.sleep(self._ids.uniform(longest / 2, longest))
                longest = min(LONGEST_S, 2 * longest)
            else:
                return connection


def _lost(*, is_write: bool) -> Unavailable:
    if is_write:
        return OutcomeUnknown("the owner of the data went away while it was writing")
    return Unavailable("the owner of the data went away")
