"""The server that the official test suites of Engine.IO v4 and Socket.IO v5 ask for: `python -m clarion.testing.protocol_server`.

One port, both suites: `/engine.io/` sends each message back, `/socket.io/` answers the events of namespace `/` and greets in `/custom`.
Times are the suites': a ping every 300 ms, 200 ms for the pong, 1 s for CONNECT; pages of every origin may call.
Source: docs/engine.io-protocol and docs/socket.io-protocol of the socket.io repository, "Test suite".
"""

import argparse
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from clarion.clock import Clock, SystemClock
from clarion.errors import SettingsError
from clarion.ids import Ids
from clarion.protocol import engineio
from clarion.protocol.engineio import PacketType
from clarion.realtime import Server, Socket
from clarion.realtime.session import Session
from clarion.realtime.transports import HttpServer, listen, run
from clarion.realtime.transports.base import Transport, prepared_engine
from clarion.settings import Limits, Realtime
from clarion.telemetry import configure_logging

ENGINE: Final = "engine.io"
SOCKET: Final = "socket.io"


def _settings(suite: str) -> Realtime:
    return Realtime(
        path=f"/{suite}/", ping_interval_s=0.3, ping_timeout_s=0.2, connect_timeout_s=1.0
    )


class EchoSession(Session):
    """Engine.IO alone: no namespace is joined, and each message goes back as it came."""

    __slots__ = ()

    def on_message(self, message: str | bytes, via: Transport, start: int) -> None:
        """Send it back."""
        data = message if isinstance(message, bytes) else message[start:]
        self.egress.push(prepared_engine(engineio.Packet(PacketType.MESSAGE, data)))


class EngineServer(Server):
    """Serves Engine.IO without Socket.IO."""

    session_type = EchoSession


def engine_server(clock: Clock, ids: Ids, limits: Limits) -> Server:
    """What the Engine.IO suite talks to."""
    return EngineServer(_settings(ENGINE), limits, clock=clock, ids=ids, allowed_origins=["*"])


def socket_server(clock: Clock, ids: Ids, limits: Limits) -> Server:
    """What the Socket.IO suite talks to."""
    io = Server(
        _settings(SOCKET), limits, clock=clock, ids=ids, allowed_origins=["*"], bare_errors=True
    )
    for name in ("/", "/custom"):
        io.of(name).on("connection", _greet)
    io.handle("message", _send_back)
    io.handle("message-with-ack", _answer)
    return io


def _greet(socket: Socket) -> None:
    socket.emit("auth", socket.handshake.auth)


def _send_back(socket: Socket, *args: Any) -> None:
    socket.emit("message-back", *args)


def _answer(_: Socket, *args: Any) -> tuple[Any, ...]:
    return args


def make(
    sockets: Sequence[socket.socket], suites: Sequence[str] = (ENGINE, SOCKET), **more: Any
) -> tuple[HttpServer, list[Server]]:
    """The door and the servers behind it; `await door.serve()`, then close the servers.

    Args:
        sockets: Listening; see `clarion.realtime.transports.listen`.
        suites: For which suites.
        more: For `HttpServer`.
    """
    limits, clock, ids = Limits(drain_s=0.1, close_s=1.0), SystemClock(), Ids()
    factories: dict[str, Callable[[Clock, Ids, Limits], Server]] = {
        ENGINE: engine_server,
        SOCKET: socket_server,
    }
    servers = [factories[suite](clock, ids, limits) for suite in suites]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        by_path = (each for each in servers if scope["path"].startswith(each.path))
        await next(by_path, servers[0]).asgi(scope, receive, send)

    def stop() -> None:
        for each in servers:
            each.stop()

    door = HttpServer(
        app,
        limits=limits,
        clock=clock,
        endpoints={each.path: each.admit for each in servers},
        sockets=sockets,
        on_stopping=stop,
        **more,
    )
    return door, servers


async def _serve(suites: Sequence[str], host: str, port: int) -> None:
    try:
        sockets = listen(host, port)
    except SettingsError as exc:
        sys.exit(str(exc))
    door, servers = make(sockets, suites)
    port = sockets[0].getsockname()[1]
    sys.stdout.write(f"serving {' and '.join(suites)} on http://{host}:{port}\n")
    sys.stdout.flush()
    await door.serve()
    for each in servers:
        await each.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m clarion.testing.protocol_server")
    parser.add_argument("--suite", choices=[ENGINE, SOCKET], help="only this one; default: both")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=3000, help="0 takes a free one")
    given = parser.parse_args(arguments)
    configure_logging()
    suites = [given.suite] if given.suite else [ENGINE, SOCKET]
    run(_serve(suites, given.host, given.port))


if __name__ == "__main__":
    main()
