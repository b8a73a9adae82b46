"""Triggers: what kinds of topics hand on becomes a notification or a run of a workflow, once; what never can is refused where it is asked for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion.errors import Conflict, IdempotencyConflict, Invalid
from clarion.notifications import HandedOn
from clarion.notifications.asking import PAYLOAD_BYTES
from clarion.notifications.content import DATA_BYTES
from clarion.topics.triggers import Trigger
from tests.notifications.conftest import House, on_one_engine, user
from tests.notifications.office import Office

ANN = {"id": "ann", "name": "Ann"}
LOW = {"recipients": [ANN], "title": "Low", "data": {"floor": 5}}
ABOUT = {"id": "sales", "value": 3}
RUN = {"workflow": "w", "recipients": [ANN], "payload": {"floor": 5}}
DIGEST = (
    {"digest": {"window": "10m", "key": "payload.dashboard.id"}},
    {"inbox": {"title": "{{ digest.count }} × {{ payload.dashboard.id }}"}},
)


class Desk(Office):
    """An office that takes triggers."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.taker = HandedOn(house.notifications, self.triggers)

    async def hand(
        self, asks: Any, key: str = "1", source: str = "dashboard", **about: Any
    ) -> None:
        await self.taker.hand(Trigger("default", source, key, asks, about or ABOUT))

    async def check(self, asks: Any) -> None:
        await self.taker.check(Trigger("default", "dashboard", "", asks, ABOUT))


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    desk = Desk(house)
    yield desk
    await desk.triggers.settled()
    await desk.outbound.close()


@on_one_engine
async def test_a_trigger_is_told_once_however_often_it_is_handed_on(desk: Desk) -> None:
    """With what the notification says of itself, and what has happened; what was changed meanwhile is refused, not told a second time."""
    await desk.hand(LOW)
    await desk.hand(LOW)
    [message] = (await desk.house.inbox.page(user("ann"))).items
    assert (message.title, message.data) == ("Low", {"floor": 5, "dashboard": ABOUT})
    with pytest.raises(IdempotencyConflict):
        await desk.hand({**LOW, "title": "High"})
    await desk.hand(LOW, source="search")
    assert len(await desk.inbox("ann")) == 2


async def test_a_workflow_runs_once_and_digests_what_it_is_told_to(desk: Desk) -> None:
    """Handed on again it is the same; three of one dashboard are one message, another dashboard's is its own; while it is not active nothing runs."""
    await desk.workflow(*DIGEST)
    for key in ("1", "2", "2", "3"):
        await desk.hand(RUN, key, id="sales", since=key)
    await desk.hand(RUN, "4", id="ops", since="4")
    await desk.triggers.settled()
    await desk.run(600)
    assert sorted(await desk.inbox("ann")) == ["1 × ops", "3 × sales"]
    with pytest.raises(IdempotencyConflict):
        await desk.hand({**RUN, "payload": {}}, "1", id="sales", since="1")
    await desk.catalog.set_active("default", "w", False)
    await desk.check(RUN)
    with pytest.raises(Conflict):
        await desk.hand(RUN, "5")


@on_one_engine
@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"title": "Low"}, "/recipients"),
        ({**LOW, "title": 5}, "/title"),
        ({**LOW, "data": {"x": "x" * (DATA_BYTES - 1024)}}, "/data"),
        ({**LOW, "recipients": ["ann"] * 10_001}, "/recipients"),
        ({**RUN, "workflow": "nothing"}, "/workflow"),
        ({**RUN, "title": "Low"}, "/title"),
        ({"workflow": "w"}, "/recipients"),
        ({**RUN, "payload": {"floor": "x"}}, "/payload/floor"),
        ({**RUN, "payload": {"x": "x" * (PAYLOAD_BYTES - 1024)}}, "/payload"),
        ({**RUN, "audiences": ["nobody"]}, "/audiences/0"),
        ({**RUN, "filter": "recipient.("}, "/filter"),
    ],
)
async def test_what_can_never_be_told_is_refused_before(
    desk: Desk, wrong: Any, pointer: str
) -> None:
    """Also where there would be no room for what has happened."""
    schema = {"properties": {"floor": {"type": "integer"}}, "required": ["dashboard"]}
    await desk.workflow({"inbox": {"title": "x"}}, payload=schema)
    await desk.check(LOW)
    await desk.check(RUN)
    with pytest.raises(Invalid) as caught:
        await desk.check(wrong)
    assert caught.value.faults[0].pointer == pointer
