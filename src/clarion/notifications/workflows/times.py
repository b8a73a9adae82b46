"""When: the next time that a clock on the wall shows something, in a zone with its daylight saving. Pure.

A time that a day does not have (clocks go forward) is taken as late as the clock jumps: 02:30 becomes 03:30. One that a day has
twice (clocks go back) is the first of the two.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from clarion.clock import as_datetime, as_ms

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
LATEST_MS: Final = 253_402_214_400_000
"""The last day of the year 9999: what would be later comes then, since no calendar goes on."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@lru_cache(1024)
def zone_of(name: str | None) -> ZoneInfo:
    """A zone by name; UTC where there is none of that name, since what was accepted must not fail for it."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def local(now_ms: int, zone: ZoneInfo) -> datetime:
    """What the clock on the wall shows."""
    return as_datetime(now_ms).astimezone(zone)


def at_local(day: date, clock: time, zone: ZoneInfo) -> int:
    """A day's time of day in a zone, as ms since 1970."""
    return as_ms(datetime.combine(day, clock, zone))


def next_at(clock: time, zone: ZoneInfo, now_ms: int, days: Collection[str] = DAYS) -> int:
    """When the clock next shows a time on one of the days: after now, at most eight days ahead (ms since 1970)."""
    today = local(now_ms, zone).date()
    return next(
        found
        for ahead in range(9)
        if DAYS[(day := today + timedelta(days=ahead)).weekday()] in days
        and (found := at_local(day, clock, zone)) > now_ms
    )


def check_cron(text: str) -> None:
    """Refuse what is no cron expression, or never comes.

    Raises:
        ValueError: Says why.
    """
    try:
        next(CronSim(text, _START))
    except (CronSimError, StopIteration) as exc:
        raise ValueError(f"{text[:60]!r} is no time of cron's that ever comes: {exc}") from exc


def next_cron(text: str, zone: ZoneInfo, now_ms: int) -> int:
    """When a cron expression is next due in a zone, after now (ms since 1970)."""
    # In the second of two equal hours it gives the times of the first once more, which are past.
    return next(at for each in CronSim(text, local(now_ms, zone)) if (at := as_ms(each)) > now_ms)


def moment(given: Any) -> int | None:
    """An RFC 3339 time, or milliseconds since 1970, as ms; None: it is neither."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    if not isinstance(given, str):
        return int(given) if 0 <= given < 253_402_300_800_000 else None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        return None
    return as_ms(found if found.tzinfo is not None else found.replace(tzinfo=UTC))
