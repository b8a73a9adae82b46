"""Clarion's Socket.IO server with the handlers that every measured server has, on the default limits.

python -m benchmarks.servers.clarion_server PORT
"""

import asyncio
import gc
import sys
from typing import Any

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime import Server, Socket
from clarion.realtime.transports import HttpServer, run
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn


def make(limits: Limits, clock: SystemClock) -> Server:
    """The server and its handlers."""
    io = Server(Realtime(), limits, clock=clock, ids=Ids())
    root = io.of("/")
    joined = 0

    @root.on("connection")
    def connected(socket: Socket) -> None:
        nonlocal joined
        socket.join(f"room-{joined // 10}")
        joined += 1

    @root.handle("broadcast")
    def broadcast(_socket: Socket, pad: str) -> None:
        io.emit("tick", pad)

    @root.handle("burst")
    def burst(_socket: Socket, count: int) -> None:
        for _ in range(count):
            io.emit("tick", {"n": 1})

    @root.handle("echo")
    def echo(_socket: Socket, value: Any) -> Any:
        return value

    @root.handle("room")
    def room(_socket: Socket, number: int, t: int) -> None:
        io.to(f"room-{number}").emit("tick", {"t": t})

    return io


async def main(port: int) -> None:
    """Serve until killed."""
    limits, clock = Limits(), SystemClock()
    io = make(limits, clock)
    server = HttpServer(
        io.asgi, limits=limits, clock=clock, endpoints={io.path: io.admit}, port=port
    )
    serving = spawn(server.serve(), name="server")
    await asyncio.wait(
        [serving, spawn(server.started.wait(), name="started")], return_when=asyncio.FIRST_COMPLETED
    )
    gc.collect()
    gc.freeze()
    print("listening", flush=True)
    await serving


if __name__ == "__main__":
    run(main(int(sys.argv[1])))
