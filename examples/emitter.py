"""A process without a server acts on the sockets of all servers. `REDIS_URL=redis://… python examples/emitter.py`."""

import asyncio
import os

from clarion.realtime.backplane.emitter import Emitter


async def main() -> None:
    async with Emitter(os.environ["REDIS_URL"]) as emitter:
        emitter.to("room").emit("news", {"n": 1})


asyncio.run(main())
