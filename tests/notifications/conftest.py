"""Notifications on both engines, with the real bus and topic engine, and sockets that note what they get."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import ManualClock
from clarion.ids import Ids
from clarion.notifications import CreateNotification, Inbox, Notifications, inbox_kind
from clarion.notifications.preferences.book import Book
from clarion.settings import Limits
from clarion.storage import Store, open_store
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kind, Kinds, Topic
from clarion.topics.stream import Position
from tests.support.publications import Publication
from tests.support.services import Postgres


class Reader:
    """A socket that notes what it gets."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.connected, self.is_slow = True, False
        self.answer: Any = None
        self.publications: list[Any] = []
        self.ended: list[Any] = []

    def deliver(self, prepared: Any, /) -> None:
        event, data = prepared
        if event == "publication":
            self.publications.append(Publication(**data))
        else:
            self.ended.append(data)


@dataclass
class House:
    """Everything that a test of notifications needs, put together as the server does."""

    store: Store
    clock: ManualClock
    bus: LocalBus
    engine: TopicEngine
    inbox: Inbox
    book: Book
    notifications: Notifications
    limits: Limits

    kind: Kind

    @staticmethod
    def topic(name: str) -> Topic:
        return Topic("default", "inbox", name)

    async def subscribe(self, name: str, since: Position | None = None) -> "Reader":
        """Someone's browser: live from the answer on."""
        reader = Reader(f"socket {next(_serial)}")
        answer, subscription = await self.engine.subscribe(
            reader, user(name), SubscribeArgs(f"inbox:{name}", since)
        )
        reader.answer = answer
        self.engine.go(subscription)
        return reader

    @staticmethod
    async def settle() -> None:
        """Let the bus deliver."""
        for _ in range(10):
            await asyncio.sleep(0)

    def deafen(self, is_deaf: bool) -> None:
        """Let the bus lose whatever is announced, or no longer."""
        if is_deaf:
            self.bus._deliver = lambda channel, data: None  # type: ignore[method-assign]
        else:
            self.bus.__dict__.pop("_deliver", None)

    async def caught_up(self) -> None:
        """Wait until no log is being read."""
        while self.engine._tasks:
            await self.engine._tasks.finish()

    async def send(
        self, *recipients: Any, key: str | None = None, key_: str = "", **body: Any
    ) -> Any:
        """Send as the back end `app`; recipients are described, unless they are written as `=id`. `key` makes it safe to repeat, `key_` is its own."""
        body |= {"key": key_}
        to = [_recipient(one) for one in recipients]
        body = {"title": "Hello", "recipients": to, **body}
        return await self.notifications.send(APP, msgspec.convert(body, CreateNotification), key)


_serial = itertools.count()
APP = Principal(id="app", kind="key", scopes=frozenset({"notifications:send"}))


def _recipient(one: Any) -> Any:
    if isinstance(one, str):
        return one[1:] if one.startswith("=") else {"id": one}
    return one


def user(id: str, tenant: str = "default") -> Principal:
    return Principal(id=id, tenant=tenant)


# For what is decided before any SQL: both engines would say the same, twice as slowly.
on_one_engine = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with contextlib.AsyncExitStack() as stack:
        url = ""
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = await stack.enter_async_context(server.database())
        store = await open_store(url=url, data_dir=tmp_path, clock=ManualClock())
        yield store
        await store.close()


def build(store: Store) -> House:
    """The parts, put together as the server does."""
    clock, ids, limits, bus = ManualClock(), Ids.seeded(1), Limits(recipients=20), LocalBus()
    kinds = Kinds()
    kinds.add(inbox_kind(store))
    engine = TopicEngine(
        lambda event, data: (event, data), kinds, bus, limits, clock=clock, ids=ids
    )
    inbox = Inbox(store, engine, clock=clock, ids=ids)
    book = Book(store, inbox, limits, clock=clock)
    notifications = Notifications(store, inbox, book, limits, clock=clock, ids=ids)
    return House(store, clock, bus, engine, inbox, book, notifications, limits, kinds.find("inbox"))


@pytest.fixture
async def house(store: Store) -> AsyncIterator[House]:
    house = build(store)
    yield house
    await house.engine.close()
