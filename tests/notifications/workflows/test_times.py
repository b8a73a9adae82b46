"""When a clock on the wall next shows a time: also on the days that have an hour less or more."""

from datetime import UTC, datetime, time

import pytest

from clarion.clock import as_ms
from clarion.notifications.workflows.occurrences import Cron, next_after
from clarion.notifications.workflows.times import moment, next_at, next_cron, zone_of


def at(text: str) -> int:
    """A time in UTC as ms."""
    return as_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("clock", "zone", "now", "then"),
    [
        ((9, 0), "UTC", "2026-03-01T08:59:59", "2026-03-01T09:00"),
        ((9, 0), "UTC", "2026-03-01T09:00", "2026-03-02T09:00"),
        ((9, 0), "America/New_York", "2026-03-01T13:00", "2026-03-01T14:00"),
        # 29 March 2026 in Berlin: 02:30 does not exist, it is 03:30.
        ((2, 30), "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:30"),
        ((2, 30), "Europe/Berlin", "2026-03-29T01:30", "2026-03-30T00:30"),
        # 25 October 2026: 02:30 comes twice, the first counts and only it.
        ((2, 30), "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),
        ((2, 30), "Europe/Berlin", "2026-10-25T00:45", "2026-10-26T01:30"),
        # A leap day, and the end of a year.
        ((0, 0), "UTC", "2028-02-28T12:00", "2028-02-29T00:00"),
        ((0, 0), "UTC", "2026-12-31T12:00", "2027-01-01T00:00"),
        # A zone that had no 30 December 2011 at all.
        ((9, 0), "Pacific/Apia", "2011-12-29T20:00", "2011-12-30T19:00"),
    ],
)
def test_the_next_time_of_day(clock: tuple[int, int], zone: str, now: str, then: str) -> None:
    """It is after now, and what the clock there shows."""
    assert next_at(time(*clock), zone_of(zone), at(now)) == at(then)


@pytest.mark.parametrize(
    ("text", "zone", "now", "then"),
    [
        # What does not exist in that night is due when the clock jumps; what comes twice, once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45", "2026-10-26T01:30"),
        ("0 9 * * *", "America/New_York", "2027-03-14T05:00", "2027-03-14T13:00"),
        ("0 9 * * *", "America/New_York", "2027-11-07T05:00", "2027-11-07T14:00"),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00", "2028-02-29T00:00"),
    ],
)
def test_the_next_by_cron(text: str, zone: str, now: str, then: str) -> None:
    """As digests close and as schedules come round: both go by the same days."""
    assert next_cron(text, zone_of(zone), at(now)) == at(then)
    found = next_after(Cron(zone, text), at(now))
    assert found is not None
    assert found.at_ms == at(then)


def test_only_on_the_days_that_were_named() -> None:
    """From a Monday after nine: the Monday after, or the day that is named."""
    now = at("2026-03-02T10:00")
    assert next_at(time(9), zone_of("UTC"), now, ["mon"]) == at("2026-03-09T09:00")
    assert next_at(time(9), zone_of("UTC"), now, ["sun", "fri"]) == at("2026-03-06T09:00")


@pytest.mark.parametrize("name", ["Mars/Base", "", None, "../../etc/passwd", "\0", "Europe"])
def test_a_zone_that_does_not_exist_is_utc(name: str | None) -> None:
    """What was accepted does not fail for the zone that somebody once wrote."""
    assert zone_of(name).key == "UTC"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("2026-03-01T09:00:00Z", "2026-03-01T09:00"),
        ("2026-03-01T09:00:00+02:00", "2026-03-01T07:00"),
        ("2026-03-01T09:00", "2026-03-01T09:00"),
        (1_772_355_600_000, "2026-03-01T09:00"),
    ],
)
def test_times_are_read(given: str | int, found: str) -> None:
    """RFC 3339, and milliseconds since 1970."""
    assert moment(given) == at(found)


@pytest.mark.parametrize("given", [None, True, "soon", "", [], -1, 1e30])
def test_what_is_no_time_is_none(given: object) -> None:
    """Whatever a payload brings."""
    assert moment(given) is None
