"""Its like of Clarion: `python -m tests.swap.clarion_server REDIS_URL PORT`. SIGTERM drains it."""

import sys

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime import Server, Socket
from clarion.realtime.backplane.streams import Streams
from clarion.realtime.transports import HttpServer, run
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn


async def main(url: str, port: int) -> None:
    """Serve until told to stop."""
    ids, limits = Ids(), Limits(drain_s=1)
    bus = Streams(url, ids)
    await bus.start()
    io = Server(Realtime(recovery_s=60), limits, backplane=bus)

    @io.on("connection")
    def connected(socket: Socket) -> None:
        if not socket.recovered:
            socket.join(socket.handshake.auth["room"])
            socket.emit("hello", 0)

    @io.of("/").handle("say")
    def say(socket: Socket, id: int) -> str:
        io.to(socket.handshake.auth["room"]).emit("said", id)
        return "clarion"

    await bus.settle()
    server = HttpServer(
        io.asgi,
        limits=limits,
        clock=SystemClock(),
        endpoints=io.endpoints,
        port=port,
        on_stopping=io.stop,
    )
    serving = spawn(server.serve(), name="server")
    await server.started.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await serving
    await io.close()
    await bus.close()


if __name__ == "__main__":
    run(main(sys.argv[1], int(sys.argv[2])))
