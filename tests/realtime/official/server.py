"""A server for the official client, as a process: `python server.py [PORT]`; prints its port."""

import asyncio
import sys
from typing import Any

from clarion.clock import SystemClock
from clarion.errors import Conflict, Unauthenticated
from clarion.ids import Ids
from clarion.realtime import Server, Socket
from clarion.realtime.transports import HttpServer, run
from clarion.settings import Limits, Realtime


def set_up(io: Server) -> None:
    @io.on("connection")
    async def connected(socket: Socket) -> None:
        socket.emit("welcome", socket.id, socket.handshake.query.get("from"))

        @socket.on("echo")
        def echo(*args: Any) -> tuple[Any, ...]:
            return args

        @socket.on("later")
        async def later(value: Any) -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return {"value": value}

        @socket.on("refuse")
        def refuse() -> None:
            raise Conflict("taken")

        @socket.on("ask me")
        async def ask_me(question: str) -> Any:
            return await socket.emit_with_ack("question", question, b"\x01\x02")

        @socket.on("join")
        def join(room: str) -> list[str]:
            socket.join(room)
            return sorted(set(socket.rooms) - {socket.id})

        @socket.on("tell")
        def tell(room: str, *args: Any) -> int:
            return socket.to(room).emit("told", *args)

        @socket.on("bytes")
        def give_bytes(data: bytes) -> None:
            socket.emit("bytes back", {"data": data[::-1], "size": len(data)}, b"")

        @socket.on("leave me")
        def leave_me() -> None:
            socket.disconnect()

        @socket.on("transport")
        def transport() -> str:
            return socket.transport

    admin = io.of("/admin")

    @admin.use
    async def authenticate(socket: Socket) -> None:
        await asyncio.sleep(0)
        if socket.handshake.auth.get("token") != "secret":
            raise Unauthenticated("a wrong token", hint="secret")
        socket.user = "root"

    @admin.handle("whoami")
    def whoami(socket: Socket) -> str | None:
        return socket.user


async def main(port: int) -> None:
    limits = Limits(drain_s=0.1, close_s=1)
    io = Server(Realtime(), limits, clock=SystemClock(), ids=Ids())
    set_up(io)
    http = HttpServer(
        io.asgi,
        limits=limits,
        clock=SystemClock(),
        port=port,
        endpoints=io.endpoints,
        on_stopping=io.stop,
    )
    serving = asyncio.get_running_loop().create_task(http.serve())
    await http.started.wait()
    sys.stdout.write(f"{http.port}\n")
    sys.stdout.flush()
    await serving
    await io.close()


if __name__ == "__main__":
    run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
