"""Clarion's Socket.IO server with the handlers that every measured server has, on the default limits.

PING_INTERVAL_S=… JWT_SECRET=… python -m benchmarks.servers.clarion_server PORT
"""

import asyncio
import os
import sys
from typing import Any

from clarion.auth.signing import OneKey, secret_key
from clarion.auth.tokens import TokenVerifier
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime import Server, Socket
from clarion.realtime.transports import HttpServer, run, settle_memory
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn


def make(settings: Realtime, limits: Limits, clock: SystemClock) -> Server:
    """The server and its handlers."""
    io = Server(settings, limits, clock=clock, ids=Ids())
    root = io.of("/")

    if secret := os.environ.get("JWT_SECRET"):
        issuers = {"bench": OneKey(secret_key(secret))}
        verifier = TokenVerifier(issuers, audience="clarion", leeway_s=0)

        @root.use
        async def who(socket: Socket) -> None:
            token = str(socket.handshake.auth.get("token", ""))
            socket.data["user"] = (await verifier.verify(token, clock.now_ms())).id

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

    @root.handle("echo")
    def echo(_socket: Socket, value: Any) -> Any:
        return value

    return io


async def main(port: int) -> None:
    """Serve until killed."""
    limits, clock = Limits(), SystemClock()
    settings = Realtime(ping_interval_s=float(os.environ.get("PING_INTERVAL_S", "25")))
    io = make(settings, limits, clock)
    server = HttpServer(io.asgi, limits=limits, clock=clock, endpoints=io.endpoints, port=port)
    serving = spawn(server.serve(), name="server")
    await asyncio.wait(
        [serving, spawn(server.started.wait(), name="started")], return_when=asyncio.FIRST_COMPLETED
    )
    settle_memory()
    await serving


if __name__ == "__main__":
    run(main(int(sys.argv[1])))
