"""Each topic store, opened for a test: what the conformance suite runs against."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from clarion.bus.redis import RedisClient
from clarion.clock import Clock, SystemClock
from clarion.ids import Ids
from clarion.storage import Sql, Store, open_store
from clarion.topics.stores import MemoryStore, SqlStore, TopicStore
from clarion.topics.stores.redis import RedisStore
from clarion.topics.stores.remote import RemoteTopics, TopicService
from tests.support.owner import linked, owning
from tests.support.redis_server import RedisServer
from tests.support.services import Postgres

Make = Callable[[pytest.FixtureRequest, Clock, Ids], AbstractAsyncContextManager[TopicStore]]
_count = itertools.count(1)
_urls: dict[Postgres, str] = {}


@asynccontextmanager
async def memory(_: pytest.FixtureRequest, clock: Clock, ids: Ids) -> AsyncIterator[TopicStore]:
    store = MemoryStore(clock=clock, ids=ids)
    yield store
    await store.close()


@asynccontextmanager
async def owner(_: pytest.FixtureRequest, clock: Clock, ids: Ids) -> AsyncIterator[TopicStore]:
    """In the memory of the owner of the data, over its socket."""
    kept = MemoryStore(clock=clock, ids=ids)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "owner.sock"
        services = [lambda: TopicService(kept, lambda *_: None)]
        async with owning(path, services), linked(path) as link:
            yield RemoteTopics(link, announces=False)


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


@asynccontextmanager
async def database(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A database without topics. There is one PostgreSQL database for all, as making one takes longer than most tests."""
    url = ""
    if engine == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        if postgres not in _urls:
            _urls[postgres] = await postgres.new_database()
        url = _urls[postgres]
    with tempfile.TemporaryDirectory() as folder:
        opened = await open_store(url=url, data_dir=Path(folder), clock=SystemClock())
        if url:
            async with opened.transaction() as tx:
                await tx.execute(Sql("TRUNCATE topic_head, topic_entry, topic_item, topic_id"))
        yield opened
        await opened.close()


def in_sql(engine: str) -> Make:
    """Opens the store on a database of its own."""

    @asynccontextmanager
    async def make(
        request: pytest.FixtureRequest, clock: Clock, ids: Ids
    ) -> AsyncIterator[TopicStore]:
        async with database(engine, request) as opened:
            store = SqlStore(opened, clock=clock, ids=ids)
            yield store
            await store.close()

    return make


STORES: dict[str, Make] = {
    "memory": memory,
    "owner": owner,
    "redis": redis,
    "sqlite": in_sql("sqlite"),
    "postgresql": in_sql("postgresql"),
}
