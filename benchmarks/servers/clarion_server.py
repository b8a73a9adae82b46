"""Clarion's Socket.IO server with the handlers that every measured server has, on the default limits.

PING_INTERVAL_S=… JWT_SECRET=… WORK_US=… python -m benchmarks.servers.clarion_server PORT [whole]

With `whole` it is `clarion serve` with these handlers: API, accounts, notifications and all; its settings are in the environment.
With WORK_US the answer to an event takes so much processor time (µs), as an application's own handler would.
"""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from clarion.auth.signing import OneKey, secret_key
from clarion.auth.tokens import TokenVerifier
from clarion.clock import SystemClock
from clarion.realtime import Server, Socket
from clarion.settings import Realtime
from clarion.topics import SignedIn

if TYPE_CHECKING:
    from clarion.app import App


def handle(io: Server) -> None:
    """The handlers."""
    root = io.of("/")

    @root.handle("join")
    def join(socket: Socket, room: int) -> bool:
        socket.join(f"room-{room}")
        return True

    @root.handle("broadcast")
    def broadcast(_socket: Socket, message: dict[str, Any]) -> None:
        io.emit("tick", message)

    @root.handle("burst")
    def burst(_socket: Socket, message: dict[str, int]) -> None:
        for i in range(message["count"]):
            io.emit("tick", {"n": message["n"] + i, "t": message["t"]})

    @root.handle("room")
    def room(_socket: Socket, number: int, message: dict[str, Any]) -> None:
        io.to(f"room-{number}").emit("tick", message)

    work_s = float(os.environ.get("WORK_US", "0")) / 1e6

    def echo(_socket: Socket, value: Any) -> Any:
        return value

    def think(_socket: Socket, value: Any) -> Any:
        until = time.perf_counter() + work_s
        while time.perf_counter() < until:
            pass
        return value

    root.handle("echo")(think if work_s else echo)


def check_tokens(io: Server, secret: str) -> None:
    """Let in who has a token, as `clarion serve` does."""
    issuers = {"bench": OneKey(secret_key(secret))}
    clock, verifier = SystemClock(), TokenVerifier(issuers, audience="clarion", leeway_s=0)

    @io.of("/").use
    async def who(socket: Socket) -> None:
        token = str(socket.handshake.auth.get("token", ""))
        socket.data["user"] = (await verifier.verify(token, clock.now_ms())).id


class Turns:
    """The longest turn of the loop in processor time (ms): what everybody waits for, on however busy a machine.

    A task that looks every few milliseconds sees it as the processor time between two looks.
    """

    LOOK_S = 0.005

    def __init__(self) -> None:
        self._longest_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    async def longest(self, _socket: Socket) -> float:
        """Since this was asked last; the first time it begins to look."""
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        found, self._longest_ms = self._longest_ms, 0.0
        return found

    async def _look(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(self.LOOK_S)
            self._longest_ms = max(self._longest_ms, (time.thread_time() - before) * 1000)


def setup(app: "App") -> None:
    """The handlers in the whole product; kinds of topics of the simplest sort, and beside them a plain broadcast to the same sockets."""
    handle(app.io)
    app.io.of("/").handle("longest", Turns().longest)
    home = app.io.of(app.io.home)

    @home.handle("broadcast")
    def broadcast(_socket: Socket, message: dict[str, Any]) -> None:
        home.emit("tick", message)

    @home.handle("echo")
    def echo(_socket: Socket, value: Any) -> Any:
        return value

    anybody: Any = {"subscribe": SignedIn(), "publish": SignedIn()}
    app.topics.add("stream", "stream", rights=anybody)
    app.topics.add("durable", "stream", rights=anybody, durability="durable")
    app.topics.add("map", "map", rights=anybody)


def main(port: int) -> None:
    """Serve until killed."""
    io = Server(Realtime(ping_interval_s=float(os.environ.get("PING_INTERVAL_S", "25"))))
    if secret := os.environ.get("JWT_SECRET"):
        check_tokens(io, secret)
    handle(io)
    io.run(port=port)


if __name__ == "__main__":
    port, *how = sys.argv[1:]
    if how == ["whole"]:
        app = "benchmarks.servers.clarion_server:setup"
        whole = (sys.executable, "-m", "clarion", "serve", "--app", app, "--port", port)
        os.execv(sys.executable, whole)
    main(int(port))
