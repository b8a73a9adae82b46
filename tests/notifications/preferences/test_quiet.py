"""Quiet hours: what the clock on the wall says, also on the days on which it is set."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.clock import as_datetime, as_ms
from clarion.notifications.preferences.quiet import Quiet, is_always_quiet, is_quiet, quiet_until

BERLIN, SYDNEY = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Sydney")
NIGHT = Quiet("22:00", "07:00")


def until(
    moment: str, *spans: Quiet, zone: ZoneInfo = BERLIN, holidays: tuple[date, ...] = ()
) -> str:
    """When the quiet ends, on the wall; '' if it is not quiet."""
    at = datetime.fromisoformat(moment)
    found = quiet_until(as_ms(at if at.tzinfo else at.replace(tzinfo=zone)), zone, spans, holidays)
    return "" if found is None else as_datetime(found).astimezone(zone).isoformat()


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-06-10T21:59:59", ""),
        ("2026-06-10T22:00", "2026-06-11T07:00:00+02:00"),
        ("2026-06-11T00:30", "2026-06-11T07:00:00+02:00"),
        ("2026-06-11T06:59:59", "2026-06-11T07:00:00+02:00"),
        ("2026-06-11T07:00", ""),
    ],
)
def test_across_midnight(moment: str, end: str) -> None:
    """The first minute is quiet, the last one is not."""
    assert until(moment, NIGHT) == end


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-06-12T23:00", "2026-06-13T07:00:00+02:00"),  # of Friday, into Saturday
        ("2026-06-13T23:00", ""),
        ("2026-06-12T06:00", ""),  # Thursday's night has none
    ],
)
def test_a_day_is_the_one_on_which_they_begin(moment: str, end: str) -> None:
    """A night of Friday ends on Saturday, and there is no other."""
    assert until(moment, Quiet("22:00", "07:00", ["fri"])) == end


def test_spans_that_touch_are_one() -> None:
    """What ends while another is quiet does not end."""
    assert until("2026-06-10T21:00", Quiet("20:00", "23:00"), Quiet("23:00", "01:00")) == (
        "2026-06-11T01:00:00+02:00"
    )


def test_a_holiday_is_quiet_all_day() -> None:
    """Two in a row, and the night behind them."""
    found = until("2026-12-25T12:00", NIGHT, holidays=(date(2026, 12, 25), date(2026, 12, 26)))
    assert found == "2026-12-27T07:00:00+01:00"


def test_years_of_holidays_end_when_they_end() -> None:
    """However many times of a day there are beside them."""
    days = tuple(date(2026, 12, 25) + timedelta(days=n) for n in range(800))
    spans = [Quiet(f"{hour:02}:00", f"{hour:02}:30") for hour in range(24)]
    assert until("2026-12-25T12:10", *spans, holidays=days) == "2029-03-04T00:30:00+01:00"


def test_the_night_in_which_the_clock_is_set_forward() -> None:
    """It is an hour shorter; an end that the clock never shows is passed by an hour at most."""
    assert until("2026-03-28T23:00", NIGHT) == "2026-03-29T07:00:00+02:00"
    assert until("2026-03-29T01:45", Quiet("01:00", "02:30")) == "2026-03-29T03:30:00+02:00"
    assert until("2026-03-29T03:00", Quiet("02:10", "02:50")) == ""
    assert until("2026-03-29T03:00+02:00", Quiet("01:00", "03:00")) == ""


def test_the_night_in_which_the_clock_is_set_back() -> None:
    """It is an hour longer, and an hour that is there twice is quiet twice."""
    assert until("2026-10-24T23:00", NIGHT) == "2026-10-25T07:00:00+01:00"
    span = Quiet("02:15", "02:45")
    assert until("2026-10-25T02:20:00+02:00", span) == "2026-10-25T02:45:00+02:00"
    assert until("2026-10-25T02:50:00+02:00", span) == ""
    assert until("2026-10-25T02:20:00+01:00", span) == "2026-10-25T02:45:00+01:00"


def test_the_other_half_of_the_world() -> None:
    """In Sydney the clock is set the other way round."""
    assert until("2026-10-03T23:00", NIGHT, zone=SYDNEY) == "2026-10-04T07:00:00+11:00"
    assert until("2026-04-04T23:00", NIGHT, zone=SYDNEY) == "2026-04-05T07:00:00+10:00"


_clocks = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.sampled_from([0, 15, 30]))
_days = st.none() | st.lists(
    st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    min_size=1,
    max_size=3,
    unique=True,
)
_spans = st.lists(st.builds(Quiet, _clocks, _clocks, _days), max_size=3)
_begin = datetime(2026, 3, 20, tzinfo=UTC)
_moments = st.integers(0, 250 * 24 * 4).map(lambda n: as_ms(_begin + timedelta(minutes=15 * n)))
_zones = st.sampled_from(
    ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe"]
)


_holidays = st.lists(st.integers(0, 250).map(lambda n: _begin.date() + timedelta(days=n)))


@given(_spans, _moments, _zones, _holidays)
def test_it_is_quiet_until_then_and_not_longer(
    spans: list[Quiet], now_ms: int, name: str, holidays: list[date]
) -> None:
    """At the end it is not quiet, and before it there is no quarter of an hour in which it is not, but where a clock is set."""
    if is_always_quiet(spans):
        return
    zone = ZoneInfo(name)
    found = quiet_until(now_ms, zone, spans, holidays)
    assert (found is not None) == is_quiet(now_ms, zone, spans, holidays)
    if found is None:
        return
    assert now_ms < found
    assert not is_quiet(found, zone, spans, holidays)
    loud = [ms for ms in range(now_ms, found, 900_000) if not is_quiet(ms, zone, spans, holidays)]
    assert len(loud) <= 4  # an end that a clock set forward has never shown


def test_no_time_is_left() -> None:
    """Spans that cover every minute of the week are recognised, those that leave one are not."""
    assert is_always_quiet([Quiet("00:00", "00:00")])
    assert is_always_quiet([Quiet("00:00", "12:00"), Quiet("12:00", "00:00")])
    assert not is_always_quiet([Quiet("00:00", "12:00"), Quiet("12:01", "00:00")])
    assert not is_always_quiet([Quiet("00:00", "00:00", ["mon"])])
