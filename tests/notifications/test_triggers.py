"""Triggers: what kinds of topics hand on becomes a notification, once; what can never become one is refused where it is asked for."""

from typing import Any

import pytest

from clarion.errors import IdempotencyConflict, Invalid
from clarion.notifications import NotifyingTriggers
from clarion.notifications.content import DATA_BYTES
from clarion.topics.triggers import Trigger
from tests.notifications.conftest import House, on_one_engine, user

ANN = {"id": "ann", "name": "Ann"}
LOW = {"recipients": [ANN], "title": "Low", "data": {"floor": 5}}


@on_one_engine
async def test_a_trigger_is_told_once_however_often_it_is_handed_on(house: House) -> None:
    """With what the notification says of itself, and what has happened; what was changed meanwhile is refused, not told a second time."""
    triggers = NotifyingTriggers(house.notifications)
    about = {"id": "sales", "value": 3}
    trigger = Trigger("default", "dashboard", "dashboard-1", LOW, about)
    await triggers.hand(trigger)
    await triggers.hand(trigger)
    [message] = (await house.inbox.page(user("ann"))).items
    assert (message.title, message.data) == ("Low", {"floor": 5, "dashboard": about})
    other = Trigger("default", "dashboard", "dashboard-1", {**LOW, "title": "High"}, about)
    with pytest.raises(IdempotencyConflict):
        await triggers.hand(other)
    await triggers.hand(Trigger("default", "search", "dashboard-1", LOW, about))
    assert len((await house.inbox.page(user("ann"))).items) == 2


@on_one_engine
@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"title": "Low"}, "/recipients"),
        ({**LOW, "title": 5}, "/title"),
        ({**LOW, "data": {"x": "x" * (DATA_BYTES - 1024)}}, "/data"),
        ({**LOW, "recipients": ["ann"] * 10_001}, "/recipients"),
    ],
)
async def test_what_can_never_be_told_is_refused_before(
    house: House, wrong: Any, pointer: str
) -> None:
    """Also where there would be no room for what has happened."""
    triggers = NotifyingTriggers(house.notifications)
    triggers.check(LOW)
    with pytest.raises(Invalid) as caught:
        triggers.check(wrong)
    assert caught.value.faults[0].pointer == pointer
