"""Who is there, by real connections to a whole server: an open page keeps a push away only while somebody is at it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import convert

from clarion.app import App
from clarion.clock import SystemClock
from clarion.notifications.channels.push.devices import PutDevice
from clarion.notifications.people_shapes import Described
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.settings import Presence, Push, Realtime, Settings
from clarion.storage.store import Sql
from tests.api.live import Live
from tests.notifications.conftest import APP
from tests.notifications.office import Count
from tests.support.push_service import Browser, PushService
from tests.support.quick_client import Client
from tests.support.serving import serving

TOLD = Definition(
    workflow="told",
    steps=[
        {"inbox": {"title": "{{ payload.n }}"}},
        {"push": {"title": "{{ payload.n }}"}, "if": "not recipient.online"},
    ],
)
WAITING = Sql("SELECT count(*) FROM outgoing WHERE status = 'queued'", Count)
PEOPLE = ("ann", "ben", "cleo", "dora")


class Town:
    """Four people with a phone each, and a server."""

    def __init__(self, app: App, port: int, service: PushService) -> None:
        self.app, self.port, self._live = app, port, Live(app)
        self.phones: dict[str, Browser] = {each: service.browser() for each in PEOPLE}

    async def opens(self, user: str, *, answers_pings: bool = True) -> Client:
        """Somebody opens the page."""
        client = Client(self.port, "/clarion", answers_pings=answers_pings)
        await client.connect(token=self._live.token(user))
        return client

    async def tells(self, n: int) -> list[str]:
        """Tell everybody; who got a push."""
        triggers = self.app.workflows.triggers
        await triggers.accept(APP, CreateTrigger("told", list(PEOPLE), {"n": str(n)}))
        await triggers.settled()
        async with asyncio.timeout(10):
            while (await self.app.store.fetch(WAITING))[0].count:  # noqa: ASYNC110  a row is no event
                await asyncio.sleep(0.01)
        return [
            who
            for who, phone in self.phones.items()
            if any(each["title"] == str(n) for each in phone.got)
        ]

    async def become(self, **statuses: str) -> None:
        """Wait until people are so."""
        async with asyncio.timeout(10):
            while True:
                found = await self.app.presence.status("default", PEOPLE, regardless=True)
                if statuses.items() <= {each.user: each.status for each in found}.items():
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    clock = SystemClock()
    async with PushService(lambda: clock.now_ms() / 1000).serving() as service:
        settings = Settings(
            data_dir=str(tmp_path),
            realtime=Realtime(ping_interval_s=0.2, ping_timeout_s=30),
            presence=Presence(unanswered_s=0.2, lease_s=0.6, tick_s=0.02, grace_s=30),
            push=Push(services=["127.0.0.1"], networks=["127.0.0.1/32"], ports=[service.port], subject="mailto:ops@example.com"),
        )  # fmt: skip
        async with App(settings) as app, serving(app.asgi, endpoints=app.io.endpoints) as http:
            town = Town(app, http.port, service)
            await app.workflows.catalog.put(APP, TOLD)
            for who, phone in town.phones.items():
                await app.workflows.people.put("default", who, Described())
                given = {"subscription": phone.subscription}
                await app.push.devices.put("default", who, convert(given, PutDevice))
            yield town


async def test_an_open_page_keeps_a_push_away_only_while_somebody_is_at_it(town: Town) -> None:
    """Not where it says that it is idle, nor where it has gone without a word; and whoever comes back to it gets none again."""
    ann, ben = await town.opens("ann"), await town.opens("ben")
    cleo = await town.opens("cleo", answers_pings=False)
    await ben.ask("publish", {"topic": "contacts:ben", "event": "update", "data": {"status": "idle"}})  # fmt: skip
    await town.become(ann="online", ben="idle", cleo="idle", dora="offline")
    assert await town.tells(1) == ["ben", "cleo", "dora"]
    cleo.answers_pings = True
    cleo.say("3")
    await ben.ask("publish", {"topic": "contacts:ben", "event": "update", "data": {"status": "online"}})  # fmt: skip
    await town.become(ann="online", ben="online", cleo="online")
    assert await town.tells(2) == ["dora"]
    for each in (ann, ben, cleo):
        each.leave()
