"""Events that nobody asked for: every second how many are there. `python examples/ticker.py`."""

import asyncio

from clarion.realtime import Server

io = Server()


async def tell() -> None:
    while True:
        io.volatile.emit("online", len(io.sockets))
        await asyncio.sleep(1)


async def main() -> None:
    async with asyncio.TaskGroup() as beside:
        telling = beside.create_task(tell())
        await io.serve(port=3000)  # until Ctrl-C
        telling.cancel()


if __name__ == "__main__":
    asyncio.run(main())  # or uvloop.run, which `io.run` takes by itself
