"""The poll followed live by a back end: `CLARION_KEY=clk_… python examples/poll/follow.py`, with the scope `topics:read`."""

import asyncio
import os

from clarion.client import AsyncClient


async def follow(url: str, key: str) -> None:
    async with AsyncClient(url, key=key) as clarion, clarion.topic("poll:lunch") as poll:
        print(len(poll.items), "votes")
        async for change in poll:
            print(change.event, change.key, change.data)


if __name__ == "__main__":
    asyncio.run(follow("http://127.0.0.1:8000", os.environ["CLARION_KEY"]))
