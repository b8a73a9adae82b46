"""The process that owns the SQLite file: it has the store and the topics in memory, and serves them to the workers. It hears no client."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from clarion.bus.nodes import left
from clarion.bus.owner import Owner
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime.transports import listen_local, settle_memory
from clarion.settings import Settings
from clarion.storage import Store, open_store
from clarion.storage.serving import StoreService
from clarion.storage.sqlite import SqliteStore
from clarion.telemetry import spawn
from clarion.topics.stores import MemoryStore
from clarion.topics.stores.remote import TopicService

LAST_S: Final = 5.0  # for workers to come to their end, once it is told to stop


def owner_socket(settings: Settings) -> Path:
    """Where workers reach the owner; only this user can."""
    return Path(settings.data_dir) / "owner.sock"


async def own(settings: Settings, stop_with: int) -> bool:
    """Own the data until SIGTERM, until the descriptor `stop_with` is at its end, or until the disk fails; returns whether it did.

    Raises:
        SettingsError: The folder cannot be written, or another server uses the data.
    """
    clock, ids, path = SystemClock(), Ids(), owner_socket(settings)
    store = await open_store(data_dir=Path(settings.data_dir), clock=clock)
    topics = MemoryStore(clock=clock, ids=ids)
    try:
        owner = Owner(
            [lambda: StoreService(store), lambda: TopicService(topics, owner.publish)],
            on_left=lambda node: owner.publish(*left(node)),
        )
        with until_told(stop_with) as told, when_disk_fails(store, told.set):
            await owner.start(listen_local(path))
            settle_memory()
            await told.wait()
            if not has_failed(store):  # else workers wait for the one that comes after it
                await owner.wait_empty(LAST_S)
            await owner.close()
            path.unlink(missing_ok=True)
    finally:
        await topics.close()
        await store.close()
    return has_failed(store)


def has_failed(store: Store) -> bool:
    """Whether a sync of SQLite's file has failed."""
    return isinstance(store, SqliteStore) and store.failed.is_set()


@contextlib.contextmanager
def when_disk_fails(store: Store, call: Callable[[], object]) -> Iterator[None]:
    """Call back once when a sync of SQLite's file has failed: nothing can be written any more then, until a new process has opened it."""
    if not isinstance(store, SqliteStore):
        yield
        return
    waiting = spawn(store.failed.wait(), name="disk")
    waiting.add_done_callback(lambda done: None if done.cancelled() else call())
    try:
        yield
    finally:
        waiting.cancel()


@contextlib.contextmanager
def until_told(stop_with: int) -> Iterator[asyncio.Event]:
    """An event that comes with SIGTERM, or when nobody has the other end of a pipe open any more."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    with at_end(stop_with, told.set):
        try:
            yield told
        finally:
            loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def at_end(pipe: int, call: Callable[[], object]) -> Iterator[None]:
    """Call back once when a pipe is at its end: the process that held the other end is gone, however it ended."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(pipe)
        call()

    loop.add_reader(pipe, ended)
    try:
        yield
    finally:
        loop.remove_reader(pipe)
