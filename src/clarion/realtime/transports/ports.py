"""Sockets to listen on: bound before anything else starts, so that what can't be had is one clear line.

A TCP port on each address of a name, and the local socket, which only this user can reach.
"""

import contextlib
import errno
import resource
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from clarion.errors import SettingsError

BACKLOG = 4096  # connections that the kernel may hold for us; it cuts this to net.core.somaxconn
MAX_PORT = 65_535
RESERVED_FILES = 100  # descriptors that are not for connections: database, logs, outbound calls


def reserve_many(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """Bind `count` times on each address of `host`, for as many processes: the kernel spreads connections over those that listen.

    Raises:
        SettingsError: See `reserve`.
    """
    # Alone first: another server of this user may not get half of our clients.
    alone = reserve(host, port)
    port = alone[0].getsockname()[1]
    for each in alone:
        each.close()
    return [reserve(host, port, is_shared=True) for _ in range(count)]


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind and listen on each address of `host`.

    Raises:
        SettingsError: See `reserve`.
    """
    sockets = reserve(host, port)
    begin(sockets, host)
    return sockets


def begin(sockets: Sequence[socket.socket], host: str) -> None:
    """Listen on sockets that are bound; on those that listen already nothing changes.

    Raises:
        SettingsError: Another program, which had the port too, was quicker.
    """
    for each in sockets:
        try:
            each.listen(BACKLOG)
        except OSError as exc:
            raise SettingsError(_why_not(host, each.getsockname()[1], exc)) from exc


def reserve(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """Bind on each address of `host`; with `is_shared` beside others of this user that do the same.

    Nobody can connect yet: who has to start first refuses until then, so that a balancer asks another server instead of waiting here.

    Raises:
        SettingsError: The name is unknown, the address not ours, the port none, taken or not allowed.
    """
    if not isinstance(port, int) or not 0 <= port <= MAX_PORT:
        raise SettingsError(f"port: {port!r} is no number from 0 to {MAX_PORT}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise SettingsError(f"host: {host!r} is not an address or name that is known here") from exc
    sockets: list[socket.socket] = []
    for family, _, _, _, address in dict.fromkeys(found):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # All addresses of a name get the one port.
            chosen = sockets[0].getsockname()[1] if sockets else port
            sock.bind((address[0], chosen, *address[2:]))
        except OSError as exc:
            sock.close()
            if exc.errno == errno.EADDRNOTAVAIL and (sockets or len(found) > 1):
                continue  # `localhost` also stands for ::1 where IPv6 is off
            for each in sockets:
                each.close()
            raise SettingsError(_why_not(host, port, exc)) from exc
        sock.setblocking(False)
        sockets.append(sock)
    if not sockets:
        raise SettingsError(f"host: {host!r} is not an address of this machine")
    return sockets


def _why_not(host: str, port: int, exc: OSError) -> str:
    match exc.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken by another program: choose another (`port`, --port, CLARION_PORT)"
        case errno.EACCES:
            return f"port {port} on {host} needs privileges: choose one above 1023 (`port`, --port, CLARION_PORT)"
        case errno.EADDRNOTAVAIL:
            return f"host: {host!r} is not an address of this machine"
        case _:
            return f"can't listen on {host}, port {port}: {exc.strerror or exc}"


def listen_local(path: Path) -> socket.socket:
    """Bind and listen on a Unix domain socket that only this user can reach.

    A socket file that nobody serves is left over from a crash and is replaced.

    Raises:
        SettingsError: Another process serves it, something else has the name, or the path can't be used.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_leftover(path)
        sock.bind(str(path))
        # Before listen(): until then nobody can connect, so that there is no moment with wider rights.
        path.chmod(0o600)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise SettingsError(f"can't make the local socket {path}: {exc.strerror or exc}") from exc
    except SettingsError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept those who have connected and whom nobody has accepted yet."""
    listening.setblocking(False)
    with contextlib.suppress(OSError):  # nobody is left, or no descriptor
        while True:
            come, _ = listening.accept()
            come.setblocking(False)
            yield come


def _remove_leftover(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SettingsError(f"can't make the local socket {path}: the name is taken by a file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise SettingsError(f"another server is running on {path}: stop it first")


def room_for_files() -> int:
    """How many connections the limit on open files leaves room for, after raising it as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED_FILES)
