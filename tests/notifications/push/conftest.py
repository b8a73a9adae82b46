"""An office whose push messages go to a push service of our own."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from clarion.ids import Ids
from clarion.notifications.channels.push.devices import PutDevice, PutResult
from clarion.notifications.channels.push.parts import PushParts, push_keys
from clarion.outbound import Outbound
from clarion.settings import Limits, Push, Settings
from clarion.storage.store import Sql
from tests.api.conftest import site
from tests.notifications.conftest import House
from tests.notifications.office import Office
from tests.support.push_service import Browser, PushService

__all__ = ["site"]  # a fixture


class PushOffice(Office):
    """Everything that carries push messages."""

    service: PushService
    push: PushParts

    async def open(self, service: PushService, ids: Ids | None = None, **push: Any) -> None:
        self.service = service
        given: dict[str, Any] = {
            "services": ["127.0.0.1"],
            "networks": ["127.0.0.1/32"],
            "ports": [service.port],
            "subject": "mailto:ops@example.com",
            "device_failures": 3,
            **push,
        }
        settings = Settings(push=Push(**given), limits=Limits(push_devices=3))
        # What a client brings is called by this door, which lets it go to this machine's port alone.
        self.door = Outbound(
            self.clock,
            allow_private=settings.push.networks,
            allow_http=True,
            ports=settings.push.ports,
        )
        store = self.house.store
        keys = await push_keys(store, Ids())
        self.push = PushParts(
            store,
            keys,
            self.door,
            settings,
            self.sender.on_woken,
            clock=self.clock,
            ids=ids or Ids(),
        )
        self.channels.add(self.push.channel)

    async def sign_on(self, user: str, browser: Browser) -> PutResult:
        """The user's browser, as its page signs it on."""
        given = msgspec.convert({"subscription": browser.subscription}, PutDevice)
        return await self.push.devices.put("default", user, given)

    async def devices(self, user: str) -> list[str]:
        return [each.id for each in (await self.push.devices.list("default", user)).items]

    async def rows(self) -> list[Any]:
        """Every message of the only trigger, as it stands."""
        return await self.house.store.fetch(ROWS)


class Row(msgspec.Struct, frozen=True):
    """One message."""

    id: str
    status: str
    cause: str
    provider: str
    attempts: int
    run_ms: int | None
    delivered_ms: int | None
    clicked_ms: int | None


ROWS = Sql(
    "SELECT id, status, cause, provider, attempts, run_ms, delivered_ms, clicked_ms FROM outgoing ORDER BY created_ms, id",
    Row,
)


@pytest.fixture
async def push_office(house: House) -> AsyncIterator[PushOffice]:
    office = PushOffice(house)
    async with PushService(lambda: house.clock.now_ms() / 1000).serving() as service:
        await office.open(service)
        yield office
        await office.triggers.settled()
        await office.sender.close()
        await office.outbound.close()
        await office.door.close()
