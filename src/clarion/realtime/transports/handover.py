"""Connections between the processes of one host: the descriptor goes over a Unix socket, with what was read from it.

Each process listens in the data folder under its own name. One message is one connection: four bytes that say how long the rest is, then that
much of the request, and with the first byte the descriptor (SCM_RIGHTS). The receiver serves it as though the kernel had given it there: the
peer's address is the connection's own. Only this user can reach the sockets (mode 0600).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clarion.realtime.transports.elsewhere import Moving
from clarion.realtime.transports.ports import listen_local
from clarion.telemetry import Tasks, get_logger

_log = get_logger(__name__)

MESSAGE_S: Final = 5.0  # for a message to be sent, and to be read
PAUSE_S: Final = 0.1  # until the next try where none could be accepted
LONGEST: Final = 4 * 1024 * 1024  # of a message (bytes): a head, and what was read behind it
_LENGTH: Final = 4
_AT_ONCE: Final = 64 * 1024  # bytes: what a Unix socket takes with the descriptor

Arrived = Callable[[bytes], asyncio.Protocol]
"""Makes the protocol of a connection that comes with what was read from it."""


def _path(folder: Path, node: str) -> Path:
    return folder / f"node-{node}"


class Handover:
    """The way to the other processes of this host.

    Args:
        folder: Where all of them listen.
    """

    name: Final = "handover"
    is_last: Final = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(self, node: str, request: Moving, transport: asyncio.Transport) -> bool:
        """Give a connection away."""
        loop, path = asyncio.get_running_loop(), _path(self._folder, node)
        held: socket.socket | None = transport.get_extra_info("socket")
        if held is None or not path.exists() or transport.get_write_buffer_size():
            return False  # in the last case an earlier answer is still on its way
        data = request.as_bytes()
        message = len(data).to_bytes(_LENGTH, "big") + data
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.setblocking(False)
            try:
                async with asyncio.timeout(MESSAGE_S):
                    await loop.sock_connect(line, str(path))
                    if transport.is_closing():
                        return False
                    sent = socket.send_fds(line, [message[:_AT_ONCE]], [held.fileno()])
                    await loop.sock_sendall(line, message[sent:])
            except ConnectionRefusedError:  # it was killed
                path.unlink(missing_ok=True)
                return False
            except (OSError, TimeoutError) as exc:
                _log.warning("a connection could not be handed over", node=node, reason=str(exc))
                return False
        # Only this process' descriptor is closed: the connection lives on through the other one.
        transport.abort()
        return True


class Arrivals:
    """Where the other processes of this host hand connections over to this one.

    Args:
        folder: Where all of them listen.
        node: This process.
    """

    def __init__(self, folder: Path, node: str) -> None:
        self._folder, self._path = folder, _path(folder, node)
        self._socket: socket.socket | None = None
        self._tasks = Tasks()

    def start(self, arrived: Arrived) -> None:
        """Listen.

        Raises:
            SettingsError: The socket can't be made.
        """
        self._remove_leftovers()
        # Under its name only once it listens: others that start now would take it for one of a killed process.
        new = self._path.with_name(f".{self._path.name}")
        self._socket = listen_local(new)
        new.rename(self._path)
        self._tasks.spawn(self._accept(self._socket, arrived), name="handover: accept")

    async def close(self) -> None:
        """Take no more."""
        if self._socket is not None:
            self._path.unlink(missing_ok=True)
            await self._tasks.close()
            self._socket.close()
            self._socket = None

    def _remove_leftovers(self) -> None:
        """Of processes that were killed."""
        for path in self._folder.glob(_path(self._folder, "*").name):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink(missing_ok=True)
                except OSError:
                    continue

    async def _accept(self, listening: socket.socket, arrived: Arrived) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, _ = await loop.sock_accept(listening)
            except OSError as exc:  # no descriptor is free: who hands over waits in line meanwhile
                _log.warning("connections of other processes wait", reason=str(exc))
                await asyncio.sleep(PAUSE_S)
                continue
            self._tasks.spawn(self._take(line, arrived), name="handover: take")

    async def _take(self, line: socket.socket, arrived: Arrived) -> None:
        fds: list[int] = []
        try:
            with line:
                async with asyncio.timeout(MESSAGE_S):
                    data = await _message(line, fds)
            if data is None or len(fds) != 1:
                return  # who sends one has closed its own by then: there is nobody to tell
            held = socket.socket(fileno=fds.pop())
            held.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: arrived(data), held)
        except (OSError, TimeoutError) as exc:
            _log.warning("a connection that was handed over is lost", reason=str(exc))
        finally:
            for fd in fds:
                os.close(fd)


async def _message(line: socket.socket, fds: list[int]) -> bytes | None:
    """What comes, with its descriptors put into `fds`; None: it broke off."""
    loop = asyncio.get_running_loop()
    found = bytearray()
    while True:
        await _readable(loop, line)
        try:
            data, more, _, _ = socket.recv_fds(line, _AT_ONCE, 1)
        except BlockingIOError:
            continue
        fds += more
        found += data
        size = int.from_bytes(found[:_LENGTH], "big") + _LENGTH
        if len(found) >= _LENGTH and (len(found) == size or size > LONGEST):
            return bytes(found[_LENGTH:]) if len(found) == size else None
        if not data:
            return None


async def _readable(loop: asyncio.AbstractEventLoop, line: socket.socket) -> None:
    came: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not came.done():
            came.set_result(None)

    loop.add_reader(line, note)
    try:
        await came
    finally:
        with contextlib.suppress(ValueError):
            loop.remove_reader(line)
