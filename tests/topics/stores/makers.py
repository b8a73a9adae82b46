"""Each topic store, opened for a test: what the conformance suite runs against."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.topics.stores import MemoryStore, TopicStore

Make = Callable[[Clock, Ids], AbstractAsyncContextManager[TopicStore]]


@asynccontextmanager
async def memory(clock: Clock, ids: Ids) -> AsyncIterator[TopicStore]:
    store = MemoryStore(clock=clock, ids=ids)
    yield store
    await store.close()


STORES: dict[str, Make] = {"memory": memory}
