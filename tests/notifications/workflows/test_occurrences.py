"""When schedules come round: against a slow witness that goes through the days minute by minute, on those where clocks change."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.clock import as_ms
from clarion.notifications.workflows.occurrences import (
    EARLIEST,
    RECIPIENT,
    Cron,
    Once,
    Rule,
    Series,
    latest,
    next_after,
    next_few,
)

MINUTE = timedelta(minutes=1)
SWITCHES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2027, 3, 14)),
    ("America/New_York", date(2027, 11, 7)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # by half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Pacific/Apia", date(2011, 12, 30)),  # a day that was left out
    ("America/Sao_Paulo", date(2018, 11, 4)),  # at midnight
    ("Asia/Kathmandu", date(2028, 2, 29)),
]


@cache
def minutes(zone: str, around: date) -> list[tuple[int, datetime]]:
    """Each minute of seven days: when it is, and what the clock shows."""
    begin = datetime(around.year, around.month, around.day, tzinfo=UTC) - timedelta(days=3)
    here = ZoneInfo(zone)
    all_ = (begin + n * MINUTE for n in range(7 * 1440))
    return [(as_ms(each), each.astimezone(here).replace(tzinfo=None)) for each in all_]


@cache
def first_shown(zone: str, around: date) -> dict[datetime, int]:
    found: dict[datetime, int] = {}
    for at_ms, shown in minutes(zone, around):
        found.setdefault(shown, at_ms)
    return found


def when_shown(zone: str, around: date, shown: datetime, *, at_the_jump: bool) -> int | None:
    """When the clock first shows it; what it leaves out is as late as it jumps, or when it jumps. None: not in these days."""
    if (found := first_shown(zone, around).get(shown)) is not None:
        return found
    for (_, before), (at_ms, after) in pairwise(minutes(zone, around)):
        if before < shown < after:
            late = shown - (before + MINUTE)
            return at_ms if at_the_jump else at_ms + late // timedelta(milliseconds=1)
    return None


def is_named(rule: Series, day: date) -> bool:
    """Whether a day is one of the rule's."""
    start = datetime.fromisoformat(rule.start).date()
    if rule.frequency == "daily":
        return (day - start).days % rule.interval == 0
    if rule.frequency == "weekly":
        monday, first = (each - timedelta(days=each.weekday()) for each in (day, start))
        weeks = (monday - first).days // 7
        return weeks % rule.interval == 0 and day.weekday() in rule.weekdays
    months = (day.year - start.year) * 12 + day.month - start.month
    left = monthrange(day.year, day.month)[1] - day.day
    return months % rule.interval == 0 and any(
        (n == day.day or (n < 0 and not left))
        if weekday < 0
        else day.weekday() == weekday and (left < 7 if n < 0 else (day.day - 1) // 7 + 1 == n)
        for n, weekday in rule.days
    )


def witnessed(rule: Series, around: date) -> list[int]:
    """All occurrences of seven days, found the long way."""
    start = datetime.fromisoformat(rule.start)
    end = datetime.fromisoformat(rule.end) if rule.end else datetime.max  # noqa: DTZ901
    found: set[int] = set()
    for n in range(-4, 5):
        day = around + timedelta(days=n)
        for clock in rule.clocks:
            shown = datetime(day.year, day.month, day.day) + clock * MINUTE  # noqa: DTZ001
            if is_named(rule, day) and start <= shown <= end:
                at_ms = when_shown(rule.zone, around, shown, at_the_jump=False)
                if at_ms is not None:
                    found.add(at_ms)
    return sorted(found)


CLOCKS = st.sampled_from([0, 30, 59, 90, 120, 125, 150, 179, 180, 210, 540, 1439])
DAYS = st.tuples(st.sampled_from([1, 4, 25, 28, 29, 30, 31, -1]), st.just(-1)) | st.tuples(
    st.sampled_from([1, 2, 4, 5, -1]), st.integers(0, 6)
)


@st.composite
def series(draw: st.DrawFn) -> tuple[Series, date]:
    zone, around = draw(st.sampled_from(SWITCHES))
    start = around - timedelta(days=draw(st.integers(-2, 400)))
    end = draw(st.sampled_from(["", f"{around}T02:30", f"{around}T23:59"]))
    rule = Series(
        zone,
        draw(st.sampled_from(["daily", "weekly", "monthly"])),
        draw(st.integers(1, 3)),
        tuple(sorted(draw(st.sets(CLOCKS, min_size=1, max_size=4)))),
        f"{start}T{draw(st.sampled_from(['00:00', '02:30']))}",
        tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=1)))),
        tuple(draw(st.lists(DAYS, min_size=1, max_size=3))),
        end,
    )
    return rule, around


@settings(max_examples=150, deadline=None)
@given(series(), st.integers(0, 5 * 1440))
def test_what_repeats_comes_when_the_clock_shows_it(
    given: tuple[Series, date], minute: int
) -> None:
    """Each once, in order: also on days that have an hour less or more, or that are not there at all."""
    rule, around = given
    table = minutes(rule.zone, around)
    after_ms, last_ms = table[minute][0], table[-1440][0]
    expected = [each for each in witnessed(rule, around) if after_ms < each <= last_ms]
    found = [each.at_ms for each in next_few(rule, after_ms, len(expected) + 1)]
    assert [each for each in found if each <= last_ms] == expected


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(
        SWITCHES[:4]
    ),  # cronsim leaves an occurrence out where clocks go back by half an hour
    st.sampled_from(["0", "30", "15,45", "*/20", "*"]),
    st.sampled_from(["2", "1-3", "*", "*/2", "0,3,9"]),
    st.integers(0, 5 * 1440),
)
def test_cron_is_debians(switch: tuple[str, date], minute: str, hour: str, begin: int) -> None:
    """A fixed time comes once on each day, at the jump if there is no such time; what has a `*` goes by the time that passes."""
    zone, around = switch
    of_minute = {"*/20": {0, 20, 40}, "*": set(range(60))}.get(minute) or {
        int(each) for each in minute.split(",")
    }
    of_hour = {"1-3": {1, 2, 3}, "*": set(range(24)), "*/2": set(range(0, 24, 2))}.get(hour) or {
        int(each) for each in hour.split(",")
    }
    table = minutes(zone, around)
    after_ms, last_ms = table[begin][0], table[-1440][0]
    if "*" in minute or "*" in hour:
        all_ = {ms for ms, shown in table if shown.minute in of_minute and shown.hour in of_hour}
    else:
        first = table[0][1].replace(hour=0, minute=0)
        shown = (first + n * MINUTE for n in range(8 * 1440))
        all_ = {
            ms
            for each in shown
            if each.minute in of_minute
            and each.hour in of_hour
            and (ms := when_shown(zone, around, each, at_the_jump=True)) is not None
        }
    expected = sorted(each for each in all_ if after_ms < each <= last_ms)[:20]
    rule = Cron(zone, f"{minute} {hour} * * *")
    found = next_few(rule, after_ms, len(expected))
    assert [each.at_ms for each in found] == expected
    assert len({each.key for each in found}) == len(found)


def at(text: str) -> int:
    return as_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


def shown(rule: Rule, after: str, count: int) -> list[str]:
    found = next_few(rule, at(after), count)
    return [datetime.fromtimestamp(each.at_ms / 1000, UTC).isoformat()[:16] for each in found]


@pytest.mark.parametrize(
    ("rule", "after", "expected"),
    [
        # 29 March: no 02:30. 25 October: two of them.
        (
            Series("Europe/Berlin", "daily", 1, (150,), "2026-01-01T00:00"),
            "2026-03-28T00:00",
            ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30"],
        ),
        (
            Series("Europe/Berlin", "daily", 1, (150,), "2026-01-01T00:00"),
            "2026-10-24T20:00",
            ["2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        (
            Cron("Europe/Berlin", "30 2 * * *"),
            "2026-03-28T20:00",
            ["2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        # Within the second of the two hours: not that of the first again.
        (Cron("Europe/Berlin", "30 2 * * *"), "2026-10-25T01:10", ["2026-10-26T01:30"]),
        # Hours pass: 23 of one day, 25 of another.
        (
            Series("Europe/Berlin", "hourly", 6, (15,), "2026-03-28T18:00"),
            "2026-03-28T00:00",
            ["2026-03-28T17:15", "2026-03-28T23:15", "2026-03-29T05:15"],
        ),
        # Leap days, ends of months.
        (
            Series("UTC", "monthly", 12, (0,), "2026-02-01T00:00", (), ((29, -1),)),
            "2026-01-01T00:00",
            ["2028-02-29T00:00", "2032-02-29T00:00"],
        ),
        (Cron("UTC", "0 0 29 2 *"), "2096-03-01T00:00", ["2104-02-29T00:00"]),
        (
            Series("UTC", "monthly", 1, (0,), "2026-01-01T00:00", (), ((31, -1),)),
            "2026-01-01T00:00",
            ["2026-01-31T00:00", "2026-03-31T00:00", "2026-05-31T00:00"],
        ),
        (
            Series("UTC", "monthly", 1, (0,), "2028-01-01T00:00", (), ((-1, -1),)),
            "2028-02-01T00:00",
            ["2028-02-29T00:00", "2028-03-31T00:00", "2028-04-30T00:00"],
        ),
        # Everybody's own zone: planned where the day begins first.
        (
            Series(RECIPIENT, "daily", 1, (540,), "2026-01-01T00:00"),
            "2026-01-01T00:00",
            ["2026-01-01T19:00"],
        ),
        (Once("Europe/Berlin", "2026-03-29T02:30"), "2026-01-01T00:00", ["2026-03-29T01:30"]),
        (Once("Europe/Berlin", "2026-03-29T02:30"), "2026-03-29T01:30", []),
    ],
)
def test_days_that_are_not_like_others(rule: Rule, after: str, expected: list[str]) -> None:
    """What the calendar has in store."""
    assert shown(rule, after, max(1, len(expected))) == expected


def test_what_never_comes_ends() -> None:
    """30 February is not looked for to the end of time."""
    rule = Series("UTC", "monthly", 12, (0,), "2026-02-01T00:00", (), ((30, -1),))
    assert next_after(rule, at("2026-01-01T00:00")) is None


@settings(max_examples=60, deadline=None)
@given(series(), st.integers(0, 3 * 1440), st.integers(0, 4 * 1440))
def test_the_last_that_has_come(given: tuple[Series, date], minute: int, more: int) -> None:
    """However many have come meanwhile."""
    rule, around = given
    after_ms = minutes(rule.zone, around)[minute][0]
    now_ms = after_ms + more * 60_000 + 1
    found = [each for each in next_few(rule, after_ms, 60) if each.at_ms <= now_ms]
    assert latest(rule, after_ms, now_ms) == (found[-1] if found else None)


def test_a_year_of_minutes_is_looked_through_at_once() -> None:
    """Half a million occurrences that were missed cost no more than two."""
    rule, begin = Cron("UTC", "* * * * *"), at("2026-01-01T00:00")
    found = latest(rule, begin, at("2027-01-01T00:00") + 59_999)
    assert found is not None
    assert found.local == "2027-01-01T00:00"


def test_occurrences_have_names_of_their_own() -> None:
    """Also in an hour that comes twice, and whatever the zone is planned by."""
    found = next_few(Cron("Europe/Berlin", "*/30 2 * * *"), at("2026-10-24T23:00"), 4)
    assert [each.key for each in found] == [
        "2026-10-25T02:00[Europe/Berlin]",
        "2026-10-25T02:30[Europe/Berlin]",
        "2026-10-25T02:00*[Europe/Berlin]",
        "2026-10-25T02:30*[Europe/Berlin]",
    ]
    [mine] = next_few(
        Series(RECIPIENT, "daily", 1, (540,), "2026-01-01T00:00"), at("2026-01-01T00:00"), 1
    )
    assert mine.key == "2026-01-02T09:00[recipient]"
    assert ZoneInfo(EARLIEST).utcoffset(datetime(2026, 1, 1)) == timedelta(hours=14)  # noqa: DTZ001
