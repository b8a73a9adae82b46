"""Each backplane does what every backplane must."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conformance import backplane
from tests.conformance.backplane import Peer
from tests.realtime.backplane.peers import clarion_peer
from tests.realtime.backplane.workers import two_of
from tests.support.redis_server import RedisServer


@pytest.fixture(params=["workers", "pubsub", "sharded", "streams"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two nodes on a backplane."""
    async with AsyncExitStack() as stack:
        if request.param == "workers":
            yield (await two_of(stack, tmp_path))[1:]
            return
        redis = RedisServer()
        stack.callback(redis.remove)
        one = await stack.enter_async_context(clarion_peer(redis, 1, request.param))
        yield one, await stack.enter_async_context(clarion_peer(redis, 2, request.param))


async def test_events_reach_all(two: tuple[Peer, Peer]) -> None:
    """Those of all nodes, and nobody else."""
    await backplane.events_reach_all(*two)


async def test_answers_come_from_all(two: tuple[Peer, Peer]) -> None:
    """Of their clients and of the nodes themselves."""
    await backplane.answers_come_from_all(*two)


async def test_sockets_are_found_and_moved(two: tuple[Peer, Peer]) -> None:
    """On whatever node they are."""
    await backplane.sockets_are_found_and_moved(*two)
