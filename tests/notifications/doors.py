"""An office with webhooks, text messages and chats, and somebody's web server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct

from clarion.ids import Ids
from clarion.notifications.reach import Reach
from clarion.settings import Settings, Webhook
from clarion.storage.store import Sql
from tests.notifications.office import Office, office
from tests.support.http_target import target

__all__ = ["office", "target"]

ANN = {"id": "ann", "phone": "+4930123456"}
SECRET = "the deployment's"


class Row(Struct, frozen=True):
    """How a message stands."""

    status: str
    cause: str
    attempts: int
    provider: str


def settings(**more: Any) -> Settings:
    hook = Webhook(networks=["127.0.0.0/8"], ports=list(range(1, 65536)), timeout_s=0.5)
    return Settings(**{"webhook": hook, "public_url": "https://clarion.test", **more})


class Doors:
    """An office with the three channels."""

    def __init__(self, office: Office, given: Settings) -> None:
        self.office = office
        self.reach = Reach(
            given, office.house.store, office.engine, SECRET, clock=office.clock, ids=Ids.seeded(7)
        )

    async def endpoint(self, url: str, user: str = "ann") -> None:
        await self.office.engine.addresses.put("default", user, "webhook", url)

    async def rows(self) -> list[Row]:
        return await self.office.house.store.fetch(
            Sql("SELECT status, cause, attempts, provider FROM outgoing ORDER BY id", Row)
        )


@pytest.fixture
async def doors(office: Office) -> AsyncIterator[Doors]:
    doors = Doors(office, settings())
    yield doors
    await doors.reach.close()


async def send(office: Office, *steps: dict[str, Any], who: Any = ANN) -> None:
    await office.workflow(*steps)
    await office.trigger(who, payload={"n": 1})
    await office.run()


async def make_known(office: Office) -> None:
    """Ann has to be there before she can have an address."""
    await office.workflow({"inbox": {"title": "hello"}})
    await office.trigger(ANN)
