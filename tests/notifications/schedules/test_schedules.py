"""Schedules trigger what they say, when they say it: each occurrence once, whatever clocks and processes do meanwhile."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from clarion.clock import as_datetime, as_ms
from clarion.errors import Conflict, IdempotencyConflict, Invalid, NotFound, Stale, TooMany
from clarion.ids import Ids
from clarion.notifications.schedules.firing import Firing
from clarion.notifications.schedules.shapes import Schedule, ScheduleDefinition
from clarion.notifications.workflows.when import When
from clarion.settings import Limits
from tests.notifications.conftest import APP, on_one_engine
from tests.notifications.office import BELL, Office, office

__all__ = ["office"]

HOUR, DAY = 3_600, 86_400
DAILY = {"repeats": {"frequency": "daily", "at": "09:00", "zone": "Europe/Berlin"}}
ANN = {"id": "ann", "time_zone": "Europe/Berlin"}


class Desk:
    """An office with schedules, whose clock can be put to any time."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.schedules, self.firing = office.engine.schedules, office.engine.firing

    async def put(
        self, schedule: str = "s", when: Any = DAILY, *, etag: str | None = None, **more: Any
    ) -> Schedule:
        trigger = {
            "workflow": "w",
            "recipients": [ANN],
            "payload": {"n": 1},
            **more.pop("trigger", {}),
        }
        given = msgspec.convert({"trigger": trigger, "when": when, **more}, ScheduleDefinition)

        def matches(found: Schedule | None) -> None:
            if etag is not None and (found is None or found.etag != etag):
                raise Stale()

        return await self.schedules.put(APP, schedule, given, matches)

    def set_clock(self, text: str) -> None:
        self.office.clock._now_ms = as_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))

    async def live(self, until: str) -> None:
        """Let time pass in steps of what is due, doing all of it."""
        end_ms = as_ms(datetime.fromisoformat(until).replace(tzinfo=UTC))
        while (due := await self.firing.due_ms()) is not None and due <= end_ms:
            self.office.clock._now_ms = max(due, self.office.clock.now_ms())
            await self.fire()
        self.office.clock._now_ms = end_ms
        await self.fire()

    async def fire(self) -> None:
        while await self.firing.fire():
            pass
        await self.office.triggers.settled()
        await self.office.run()

    async def count(self, user: str = "ann") -> int:
        return len(await self.office.inbox(user))

    async def told(self, name: str = "s") -> list[tuple[str, str]]:
        page = await self.schedules.occurrences("default", name, "", 50)
        return [(each.outcome, each.due_at.isoformat()[:16]) for each in reversed(page.items)]


def anything(_found: Schedule | None) -> None:
    """Whatever is there may be changed."""


@pytest.fixture
async def desk(office: Office) -> Desk:
    await office.workflow(BELL)
    desk = Desk(office)
    desk.set_clock("2026-10-23T12:00")
    return desk


async def test_a_schedule_from_its_first_occurrence_to_its_last(desk: Desk) -> None:
    """At nine in Berlin, which on the day that clocks go back is an hour later in UTC; then it has ended."""
    repeats = {**DAILY["repeats"], "count": 3}
    put = await desk.put(when={"repeats": repeats})
    assert [each.local for each in put.next] == [
        "2026-10-24T09:00", "2026-10-25T09:00", "2026-10-26T09:00",
    ]  # fmt: skip
    await desk.live("2026-10-24T06:59")
    assert await desk.count() == 0
    await desk.live("2026-10-30T00:00")
    assert await desk.count() == 3
    assert await desk.told() == [
        ("triggered", "2026-10-24T07:00"),
        ("triggered", "2026-10-25T08:00"),
        ("triggered", "2026-10-26T08:00"),
    ]
    found = await desk.schedules.find("default", "s")
    assert (found.state, found.next) == ("ended", [])
    [newest, *_] = (await desk.schedules.occurrences("default", "s", "", 1)).items
    assert (await desk.office.triggers.find("default", str(newest.trigger))).recipients == 1


async def test_two_processes_and_one_that_wakes_up_late(desk: Desk) -> None:
    """An occurrence is triggered once: by one of those that claim at once, and not by one whose lease was lost."""
    await desk.put()
    house = desk.office.house
    other = Firing(house.store, desk.office.triggers, clock=house.clock, ids=Ids(), node="other")
    desk.set_clock("2026-10-24T07:00")
    fire, firings = desk.firing._fire, []

    async def stands_still(claimed: Any) -> None:
        firings.append(claimed)

    desk.firing._fire = stands_still  # type: ignore[method-assign]
    await asyncio.gather(desk.firing.fire(), other.fire())
    if firings:
        assert await other.fire() == 0
        desk.office.clock.advance(31)  # its lease ends
        assert await other.fire() == 1
        with pytest.raises(Conflict):
            await fire(firings[0])
    await desk.office.triggers.settled()
    assert await desk.count() == 1
    assert await desk.told() == [("triggered", "2026-10-24T07:00")]


@on_one_engine
@pytest.mark.parametrize(
    ("missed", "back_at", "expected"),
    [
        ("run_once", "2026-10-27T12:00", [("triggered", "2026-10-27T08:00")]),
        ("skip", "2026-10-27T12:00", [("skipped", "2026-10-27T08:00")]),
        ("skip", "2026-10-27T08:09", [("triggered", "2026-10-27T08:00")]),
    ],
)
async def test_what_was_missed_is_made_up_for_once_or_not_at_all(
    desk: Desk, missed: str, back_at: str, expected: list[tuple[str, str]]
) -> None:
    """Four days away: never a burst; then it goes on as ever."""
    await desk.put(missed=missed)
    desk.set_clock(back_at)
    await desk.fire()
    assert await desk.told() == expected
    page = await desk.schedules.occurrences("default", "s", "", 5)
    since = page.items[0].missed_since
    assert since is not None
    assert since.isoformat()[:16] == "2026-10-24T07:00"
    await desk.live("2026-10-28T09:00")
    assert (await desk.told())[1:] == [("triggered", "2026-10-28T08:00")]


async def test_clocks_that_are_set_double_and_lose_nothing(desk: Desk) -> None:
    """Back by some hours, then far ahead and back again: each occurrence once, and those that come are not waited for a year."""
    await desk.put()
    await desk.live("2026-10-24T12:00")
    desk.set_clock("2026-10-24T05:00")
    await desk.firing.reckon()
    await desk.live("2026-10-24T12:00")
    assert await desk.count() == 1
    desk.set_clock("2027-10-24T12:00")
    await desk.fire()
    assert await desk.count() == 2
    desk.set_clock("2026-10-24T12:30")
    assert await desk.firing.reckon() == 1
    await desk.live("2026-10-26T12:00")
    assert sorted(due for _, due in await desk.told()) == [
        "2026-10-24T07:00", "2026-10-25T08:00", "2026-10-26T08:00", "2027-10-24T07:00",
    ]  # fmt: skip


@on_one_engine
async def test_other_zone_data_moves_what_is_to_come(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next start; and what was dealt with does not come again because the clock there shows it again."""
    await desk.put()
    await desk.live("2026-10-24T08:00")
    monkeypatch.setattr("clarion.notifications.schedules.firing.zone_data", lambda: "newer")
    monkeypatch.setattr(
        "clarion.notifications.workflows.occurrences.zone_of",
        lambda _name: datetime.fromisoformat("2026-10-24T00:00-01:00").tzinfo,
    )
    assert await desk.firing.reckon() == 1
    assert await desk.firing.reckon() == 0
    await desk.live("2026-10-25T12:00")
    assert await desk.told() == [
        ("triggered", "2026-10-24T07:00"),
        ("triggered", "2026-10-25T10:00"),
    ]


@on_one_engine
async def test_a_schedule_whose_workflow_is_not_active_pauses_and_says_so(desk: Desk) -> None:
    """It is not lost in silence; when somebody resumes it, it goes on with the next occurrence."""
    await desk.put()
    await desk.office.catalog.set_active("default", "w", False)
    await desk.live("2026-10-24T12:00")
    found = await desk.schedules.find("default", "s")
    assert (found.state, found.why) == ("paused", "the workflow 'w' is not active")
    assert await desk.told() == [("refused", "2026-10-24T07:00")]
    with pytest.raises(Conflict):
        await desk.schedules.resume("default", "s", anything)
    await desk.office.catalog.set_active("default", "w", True)
    resumed = await desk.schedules.resume("default", "s", anything)
    assert (resumed.state, resumed.why, resumed.next[0].local) == (
        "active", None, "2026-10-25T09:00",
    )  # fmt: skip


@on_one_engine
async def test_a_subscriber_who_is_gone_is_left_out(desk: Desk) -> None:
    """The others are told; who was described when it was put is kept by name alone."""
    put = await desk.put(trigger={"recipients": [ANN, {"id": "ben", "email": "b@example.com"}]})
    assert put.definition.trigger.recipients == ["ann", "ben"]
    await desk.office.engine.people.erase("default", "ann")
    await desk.live("2026-10-24T12:00")
    assert (await desk.count("ben"), await desk.count("ann")) == (1, 0)
    await desk.schedules.pause("default", "s", anything)
    assert (await desk.schedules.resume("default", "s", anything)).state == "active"


@on_one_engine
async def test_the_same_again_changes_nothing_and_a_change_keeps_its_place(desk: Desk) -> None:
    """So that it can be put at every deployment, also when its only time is past or it is paused."""
    first = await desk.put("once", {"at": "2026-10-24T09:00", "zone": "Europe/Berlin"})
    await desk.live("2026-10-24T12:00")
    again = await desk.put("once", {"at": "2026-10-24T09:00", "zone": "Europe/Berlin"})
    assert (again.state, first.state) == ("ended", "active")
    with pytest.raises(Invalid, match="past"):
        await desk.put("other", {"at": "2026-10-24T09:00", "zone": "Europe/Berlin"})

    every_other = {"repeats": {**DAILY["repeats"], "interval": 2}}
    one = await desk.put(when=every_other)
    assert (await desk.put(when=every_other)).etag == one.etag
    desk.office.clock.advance(DAY)
    changed = await desk.put(when=every_other, name="Every other day", etag=one.etag)
    assert (changed.next[0], changed.etag != one.etag) == (one.next[0], True)
    with pytest.raises(Stale):
        await desk.put(when=DAILY, etag=one.etag)
    paused = await desk.schedules.pause("default", "s", anything)
    assert (await desk.put(when=DAILY)).state == paused.state == "paused"


@on_one_engine
async def test_pausing_cancelling_and_running_by_hand(desk: Desk) -> None:
    """What comes while it pauses is left out; by hand it runs once for a key; what was called off is gone, until it is put again."""
    await desk.put()
    await desk.schedules.pause("default", "s", anything)
    await desk.live("2026-10-25T12:00")
    assert await desk.told() == []
    ran = await desk.schedules.run(APP, "s", "k")
    assert (await desk.schedules.run(APP, "s", "k")).id == ran.id
    await desk.put("t")
    with pytest.raises(IdempotencyConflict):
        await desk.schedules.run(APP, "t", "k")
    await desk.fire()
    assert await desk.count() == 1
    [by_hand] = (await desk.schedules.occurrences("default", "s", "", 5)).items
    assert (by_hand.by_hand, by_hand.trigger) == (True, ran.id)
    await desk.schedules.resume("default", "s", anything)
    await desk.schedules.cancel("default", "s", anything)
    await desk.schedules.cancel("default", "t", anything)
    await desk.live("2026-10-27T12:00")
    assert await desk.count() == 1
    assert (await desk.schedules.find("default", "s")).state == "cancelled"
    for call in (desk.schedules.pause, desk.schedules.resume):
        with pytest.raises(Conflict):
            await call("default", "s", anything)
    with pytest.raises(NotFound):
        await desk.schedules.run(APP, "s", None)
    assert (await desk.put()).state == "active"


@on_one_engine
async def test_everybodys_own_zone(desk: Desk) -> None:
    """Planned where the day begins first; each is told at nine by their own clock, once."""
    await desk.put(
        when={"repeats": {**DAILY["repeats"], "zone": "recipient"}},
        trigger={"recipients": [ANN, {"id": "sue", "time_zone": "America/New_York"}]},
        missed="skip",
    )
    told: dict[str, list[str]] = {"ann": [], "sue": []}
    for _ in range(3 * 24):
        desk.office.clock.advance(HOUR)
        await desk.fire()
        now = as_datetime(desk.office.clock.now_ms()).isoformat()[:13]
        for user, hours in told.items():
            hours += [now] * (await desk.count(user) - len(hours))
    assert told == {
        "ann": ["2026-10-24T07", "2026-10-25T08", "2026-10-26T08"],
        "sue": ["2026-10-24T13", "2026-10-25T13"],
    }


@on_one_engine
async def test_listing_by_workflow_and_state(desk: Desk) -> None:
    """In the order of names, page by page; other tenants have their own."""
    await desk.office.workflow(BELL, workflow="x")
    for name in ("a", "b", "c"):
        await desk.put(name, trigger={"workflow": "x" if name == "c" else "w"})
    await desk.schedules.pause("default", "b", anything)
    page = await desk.schedules.page("default", "", 2)
    assert ([each.schedule for each in page.items], page.next) == (["a", "b"], "b")
    rest = await desk.schedules.page("default", "b", 2)
    assert ([each.schedule for each in rest.items], rest.next) == (["c"], None)
    of_x = await desk.schedules.page("default", "", 5, workflow="x", state="active")
    assert [each.schedule for each in of_x.items] == ["c"]
    assert (await desk.schedules.page("other", "", 5)).items == []


@on_one_engine
async def test_limits_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are, and how often they come."""
    monkeypatch.setattr(desk.schedules, "_limits", Limits(schedules=1, schedule_interval_s=600))
    with pytest.raises(Invalid, match="600 s at least") as often:
        await desk.put(when={"cron": "*/5 * * * *"})
    assert often.value.facts["limit"] == 600
    await desk.put()
    await desk.put(when={"cron": "0 * * * *"})
    with pytest.raises(TooMany, match=r"limits\.schedules = 1"):
        await desk.put("other")
    await desk.schedules.cancel("default", "s", anything)
    await desk.put("other", {"at": "2026-10-24T09:00"})
    await desk.live("2026-10-24T12:00")
    await desk.put("third")
    # One that is over takes no room, until it is put to another time.
    with pytest.raises(TooMany):
        await desk.put("other", {"at": "2026-10-25T09:00"})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"when": {}}, "/when"),
    ({"when": {"at": "2026-12-24T18:00", "cron": "0 9 * * *"}}, "/when"),
    ({"when": {"at": "2026-12-24T18:00", "zone": "Europe/Berln"}}, "/when/zone"),
    ({"when": {"cron": "0 0 30 2 *"}}, "/when/cron"),
    ({"when": {"cron": "* * * * * *"}}, "/when/cron"),
    ({"when": {"cron": "0 * * * *", "zone": "CEST"}}, "/when/zone"),
    ({"when": {"cron": "*/30 * * * *", "zone": "recipient"}}, "/when"),
    ({"when": {**DAILY, "zone": "UTC"}}, "/when/zone"),
    ({"when": {"repeats": {"frequency": "daily"}}}, "/when/repeats/at"),
    ({"when": {"repeats": {"frequency": "hourly", "at": "09:00"}}}, "/when/repeats/at"),
    ({"when": {"repeats": {"frequency": "daily", "at": "09:00", "days": ["mon"]}}}, "/when/repeats/days"),
    ({"when": {"repeats": {"frequency": "weekly", "at": "09:00", "days": ["mon", 3]}}}, "/when/repeats/days/1"),
    ({"when": {"repeats": {"frequency": "monthly", "at": "09:00", "days": ["6 mon"]}}}, "/when/repeats/days/0"),
    ({"when": {"repeats": {"frequency": "daily", "at": "09:00", "until": "2026-01-01"}}}, "/when/repeats"),
    ({"when": {"repeats": {"frequency": "daily", "at": "09:00", "from": "soon"}}}, "/when/repeats/from"),
    ({"when": {"repeats": {"frequency": "daily", "at": "09:00", "from": "0001-01-01"}}}, "/when/repeats/from"),
    ({"when": {"repeats": {"frequency": "daily", "at": "09:00", "count": 2, "until": "2027-01-01"}}}, "/when/repeats/count"),
    ({"when": {"repeats": {"frequency": "hourly", "at": ":00", "zone": "recipient"}}}, "/when/repeats/zone"),
    ({"trigger": {"workflow": "none"}}, "/trigger/workflow"),
    ({"trigger": {"recipients": ["nobody"]}}, "/trigger/recipients/0"),
    ({"trigger": {"audiences": ["none"]}}, "/trigger/audiences/0"),
    ({"trigger": {"at": "2026-12-24T18:00"}}, "/trigger/at"),
    ({"grace": "soon"}, "/grace"),
]  # fmt: skip


@on_one_engine
async def test_what_cannot_be_is_refused(desk: Desk) -> None:
    """With the place where it stands."""
    for given, pointer in WRONG:
        with pytest.raises(Invalid) as refused:
            await desk.put(**given)
        assert [fault.pointer for fault in refused.value.faults] == [pointer], given


@on_one_engine
async def test_what_is_over_is_forgotten_in_time(desk: Desk) -> None:
    """Occurrences after `limits.run_days`, and what is over when it has none any more."""
    await desk.put("once", {"at": "2026-10-24T09:00", "zone": "Europe/Berlin"})
    await desk.put()
    await desk.live("2026-10-24T12:00")
    desk.office.clock.advance(89 * DAY)
    assert [n async for n in desk.schedules.purge()] == [0, 0]
    desk.office.clock.advance(2 * DAY)
    assert sum([n async for n in desk.schedules.purge()]) == 3
    with pytest.raises(NotFound):
        await desk.schedules.find("default", "once")
    assert (await desk.schedules.find("default", "s")).state == "active"


@on_one_engine
async def test_previews_keep_nothing(desk: Desk) -> None:
    """They say what the schedule would: with the time, or in everybody's own zone with the clock alone."""
    when = msgspec.convert({"repeats": {**DAILY["repeats"], "zone": "recipient"}}, When)
    assert [(each.at, each.local) for each in desk.schedules.preview(when, 2)] == [
        (None, "2026-10-24T09:00"),
        (None, "2026-10-25T09:00"),
    ]
    at = When(at="2026-10-25T02:30", zone="Europe/Berlin")
    [only] = desk.schedules.preview(at, 5)
    assert (str(only.at), only.local) == ("2026-10-25 00:30:00+00:00", "2026-10-25T02:30")
    # Clocks go forward: what is asked for is not what they show.
    [gap] = desk.schedules.preview(When(at="2027-03-28T02:30", zone="Europe/Berlin"), 5)
    assert (str(gap.at), gap.local) == ("2027-03-28 01:30:00+00:00", "2027-03-28T03:30")
    assert (await desk.schedules.page("default", "", 5)).items == []
