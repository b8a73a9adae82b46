"""Triggers that wait for their time: then they are what they would have been, and until then they can be called off."""

from datetime import timedelta

import pytest

from clarion.clock import as_datetime
from clarion.errors import Invalid
from tests.notifications.conftest import on_one_engine
from tests.notifications.office import BELL, Office, office

__all__ = ["office"]

HOUR = 3_600
ANN = {"id": "ann", "time_zone": "Europe/Berlin"}
SUE = {"id": "sue", "time_zone": "America/New_York"}


async def plan(office: Office) -> None:
    """What a worker does with what is due."""
    for job in await office.queue.claim(10):
        await office.engine.planner.plan(job)
    await office.run()


def in_hours(office: Office, hours: float) -> str:
    return (as_datetime(office.clock.now_ms()) + timedelta(hours=hours)).isoformat()


async def test_a_trigger_begins_at_its_time(office: Office) -> None:
    """Not before, whatever starts anew meanwhile; with the workflow as it was then."""
    await office.workflow(BELL)
    later = await office.trigger(ANN, payload={"n": 1}, at=in_hours(office, 2), cancel_key="k")
    await office.workflow({"inbox": {"title": "another"}})
    await office.engine.release()
    await plan(office)
    assert await office.inbox("ann") == []
    found = await office.triggers.find("default", later)
    assert (found.state, found.start_at) == (
        "planning",
        as_datetime(office.clock.now_ms() + 2 * HOUR * 1000),
    )
    office.clock.advance(2 * HOUR)
    await plan(office)
    assert await office.inbox("ann") == ["Hello ann"]


@on_one_engine
async def test_it_is_called_off_by_its_key_while_it_waits(office: Office) -> None:
    """And nobody hears of it."""
    await office.workflow(BELL)
    await office.trigger(ANN, payload={"n": 1}, at=in_hours(office, 2), cancel_key="k")
    assert (await office.triggers.cancel_by_key("default", "k")).triggers == 1
    office.clock.advance(3 * HOUR)
    await plan(office)
    assert await office.inbox("ann") == []


@on_one_engine
async def test_everybody_gets_it_when_their_own_clock_shows_the_time(office: Office) -> None:
    """Also who moves while they wait: what their clock shows in the end is what counts."""
    # It is 14:13 in UTC, 16:13 in Berlin, 10:13 in New York.
    await office.workflow(BELL)
    trigger = await office.trigger(
        ANN, SUE, {"id": "kim", "time_zone": "Pacific/Kiritimati"}, {"id": "unknown"},
        payload={"n": 1}, at="2026-09-21T18:00", zone="recipient",
    )  # fmt: skip
    await plan(office)
    assert await office.inbox("kim") == ["Hello kim"]  # 04:13 on the day after
    await office.run(1.7 * HOUR)  # 17:55 in Berlin
    assert await office.inbox("ann") == []
    await office.run(0.1 * HOUR)  # 18:01 in Berlin
    assert await office.inbox("ann") == ["Hello ann"]
    await office.run(2 * HOUR)  # 18:01 in UTC
    assert await office.inbox("unknown") == ["Hello unknown"]
    # She has gone further west meanwhile.
    await office.trigger({"id": "sue", "time_zone": "America/Los_Angeles"}, payload={"n": 1})
    await office.run(5 * HOUR)  # 19:01 in New York, 16:01 in Los Angeles
    assert await office.inbox("sue") == ["Hello sue"]
    await office.run(2 * HOUR)
    assert await office.inbox("sue") == ["Hello sue", "Hello sue"]
    runs, _ = await office.history.runs("default", trigger, "", 10)
    assert {run.user: run.status for run in runs} == {
        "ann": "done",
        "sue": "done",
        "unknown": "done",
    }


@on_one_engine
async def test_what_is_no_time_is_refused(office: Office) -> None:
    """Where it stands is told."""
    await office.workflow(BELL)
    for given, pointer in (
        ({"at": "tomorrow"}, "/at"),
        ({"at": "2099-01-01T00:00"}, "/at"),
        ({"at": "2026-12-24T18:00", "zone": "Berlin"}, "/zone"),
        ({"at": "2026-12-24T18:00Z", "zone": "recipient"}, "/at"),
        ({"zone": "UTC"}, "/zone"),
    ):
        with pytest.raises(Invalid) as refused:
            await office.trigger(ANN, payload={"n": 1}, **given)
        assert [fault.pointer for fault in refused.value.faults] == [pointer]
    with pytest.raises(Invalid, match="too far away"):
        await office.trigger(ANN, payload={"n": 1}, at="9999-12-31T00:00Z")


@on_one_engine
async def test_a_time_that_is_past_is_now(office: Office) -> None:
    """So that a call that is repeated late is the same call."""
    await office.workflow(BELL)
    at = in_hours(office, 1)
    first = await office.trigger(ANN, payload={"n": 1}, at=at, key="once")
    office.clock.advance(2 * HOUR)
    assert await office.trigger(ANN, payload={"n": 1}, at=at, key="once") == first
    await plan(office)
    await office.trigger(SUE, payload={"n": 1}, at=at)
    assert await office.inbox("ann") == ["Hello ann"]
    assert await office.inbox("sue") == ["Hello sue"]
