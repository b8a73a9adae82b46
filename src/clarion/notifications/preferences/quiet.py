"""Quiet hours and days: when the clock on a person's wall says so. Pure.

It is quiet while the wall clock shows a time of a span that began on one of its days, or a date that is a holiday. So an hour that a day
has twice is quiet twice, one that it has not is not. They end when the clock first shows that they are over; where it never shows
the end, because it is set forward across it, at the time that `times` gives.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from clarion.clock import as_ms
from clarion.notifications.workflows.definition import Clock, Day
from clarion.notifications.workflows.times import DAYS, local

_LOOK_AHEAD: Final = 1_000  # spans in a row: more days than holidays there may be


class Quiet(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """From one time of the day up to another; across midnight where `to` is not later. `days`: on which it begins; None: all."""

    from_: Clock
    to: Clock
    days: Annotated[list[Day], Meta(min_length=1, max_length=7)] | None = None


def is_quiet(
    now_ms: int, zone: ZoneInfo, spans: Sequence[Quiet], holidays: Collection[date]
) -> bool:
    """Whether it is quiet now."""
    shown = local(now_ms, zone)
    return shown.date() in holidays or any(_covers(span, shown) for span in spans)


def quiet_until(
    now_ms: int, zone: ZoneInfo, spans: Sequence[Quiet], holidays: Collection[date]
) -> int | None:
    """When the quiet ends that it is now (ms since 1970); None: it is not quiet."""
    if not is_quiet(now_ms, zone, spans, holidays):
        return None
    until = now_ms
    for _ in range(_LOOK_AHEAD):
        until = _next_edge(until, zone, spans, holidays)
        if not is_quiet(until, zone, spans, holidays):
            return until
    return until  # years of holidays: it is looked at again then


def is_always_quiet(spans: Sequence[Quiet]) -> bool:
    """Whether these spans leave no minute of the week."""
    begin = datetime(2026, 1, 5)  # noqa: DTZ001  a Monday on any wall
    edges = [begin + timedelta(days=n) for n in range(7)]
    edges += [
        datetime.combine(begin.date() + timedelta(days=n), _time(span.to))
        for n in range(7)
        for span in spans
    ]
    return all(any(_covers(span, edge) for span in spans) for edge in edges)


def _covers(span: Quiet, shown: datetime) -> bool:
    clock, start, end = shown.time(), _time(span.from_), _time(span.to)
    days = span.days or DAYS
    today = DAYS[shown.weekday()] in days
    if start < end:
        return today and start <= clock < end
    yesterday = DAYS[shown.weekday() - 1] in days
    return (today and clock >= start) or (yesterday and clock < end)


def _next_edge(
    now_ms: int, zone: ZoneInfo, spans: Sequence[Quiet], holidays: Collection[date]
) -> int:
    """The next time after now at which the quiet may end that it is now: the end of one of its spans, or of a holiday."""
    shown = local(now_ms, zone)
    today = shown.date()
    is_holiday = today in holidays
    clocks = {time(0)} if is_holiday else {_time(s.to) for s in spans if _covers(s, shown)}
    return min(
        found
        for ahead in range(3)
        for clock in clocks
        for fold in (0, 1)
        if (found := _at(today + timedelta(days=ahead), clock, fold, zone)) > now_ms
    )


def _at(day: date, clock: time, fold: int, zone: ZoneInfo) -> int:
    return as_ms(datetime.combine(day, clock.replace(fold=fold), zone))


def _time(clock: str) -> time:
    return time(int(clock[:2]), int(clock[3:]))
