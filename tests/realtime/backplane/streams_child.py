"""A server of Clarion in a process of its own, which a test kills: `python -m tests.realtime.backplane.streams_child URL` prints its port."""

import asyncio
import sys

from clarion.ids import Ids
from clarion.realtime import Server, Socket
from clarion.realtime.backplane.streams import Streams
from clarion.settings import Realtime
from tests.support.serving import serving


async def main(url: str) -> None:
    bus = Streams(url, Ids())
    await bus.start()
    io = Server(Realtime(recovery_s=60), backplane=bus)

    @io.on("connection")
    def connected(socket: Socket) -> None:
        socket.join("r")
        socket.data["seen"] = 1

    async with serving(endpoints=io.endpoints) as server:
        await bus.settle()
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
