"""A Socket.IO server for pages of another origin, with a cookie: `python cors_server.py ORIGIN`; prints its port."""

import asyncio
import sys
from pathlib import Path

from clarion.realtime import Cookie, Cors, Request, Server, Socket
from clarion.realtime.client_files import ClientFiles

DIST = Path(__file__).parents[2] / "clients/node_modules/socket.io-client/dist"


def make(origin: str) -> Server:
    io = Server(cors=Cors(origins=[origin]), cookie=Cookie(name="seen"))
    io.client_files = ClientFiles(DIST)
    cookies: list[str] = []

    @io.engine.on("headers")
    def asked(headers: object, request: Request) -> None:
        cookies.append(request.headers.get("cookie", ""))

    @io.handle("cookies")
    def told(socket: Socket) -> dict[str, object]:
        return {"transport": socket.conn.transport, "sent": [each for each in cookies if each]}

    return io


def started(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(make(sys.argv[1]).serve(port=0, on_started=started))
