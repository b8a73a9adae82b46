"""A stream whose Redis has forgotten a part of it."""

import asyncio
from collections.abc import Iterator

import pytest

from clarion.bus.stream import Stream
from clarion.ids import Ids
from tests.support.redis_server import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that a test may hurt."""
    made = RedisServer()
    yield made
    made.remove()


@pytest.mark.parametrize("kept", [[], ["1-1"]])
async def test_what_is_added_by_a_clock_that_is_behind_is_read(
    server: RedisServer, kept: list[str]
) -> None:
    """After a restart that lost the end, or all: ids go on from there, below the one that was read last."""
    entries: asyncio.Queue[bytes] = asyncio.Queue()
    stream = Stream(
        server.url, "s", lambda _, said: entries.put_nowait(said[b"n"]), ids=Ids.seeded(1)
    )
    await stream.start()
    stream.add({"n": "before"})
    assert await entries.get() == b"before"
    server.kill()
    server.start()
    for id in kept:
        server.cli("XADD", "s", id, "n", "kept")
    async with asyncio.timeout(10):
        while "cmd=xread" not in server.cli("CLIENT", "LIST"):  # noqa: ASYNC110  it comes back by itself
            await asyncio.sleep(0.01)
        server.cli("XADD", "s", "1-2", "n", "after")
        assert await entries.get() == b"after"
    await stream.close()
