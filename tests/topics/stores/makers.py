"""Each topic store, opened for a test: what the conformance suite runs against."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from clarion.bus.redis import RedisClient
from clarion.clock import Clock
from clarion.ids import Ids
from clarion.topics.stores import MemoryStore, TopicStore
from clarion.topics.stores.redis import RedisStore
from tests.support.redis_server import RedisServer

Make = Callable[[pytest.FixtureRequest, Clock, Ids], AbstractAsyncContextManager[TopicStore]]
_count = itertools.count(1)


@asynccontextmanager
async def memory(_: pytest.FixtureRequest, clock: Clock, ids: Ids) -> AsyncIterator[TopicStore]:
    store = MemoryStore(clock=clock, ids=ids)
    yield store
    await store.close()


@asynccontextmanager
async def redis(
    request: pytest.FixtureRequest, clock: Clock, ids: Ids
) -> AsyncIterator[TopicStore]:
    server: RedisServer = request.getfixturevalue("redis_server")
    client = RedisClient(server.url, ids=Ids())
    store = RedisStore(client, clock=clock, ids=ids, prefix=f"test{next(_count)}")
    yield store
    await store.close()
    await client.close()


STORES: dict[str, Make] = {"memory": memory, "redis": redis}
