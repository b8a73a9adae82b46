"""When a schedule comes round. Pure: a rule and a time in, the next occurrence out.

A time of day that a day does not have (clocks go forward) is taken as late as the clock jumps, 02:30 as 03:30; one that a day has
twice (clocks go back) is the first of the two. Hours of `hourly` are counted as they pass. Cron is Debian's: a fixed time that a day does not
have comes when the clock jumps, and what has a `*` for its minute or hour goes by the time that passes.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, assert_never

from cronsim import CronSim
from msgspec import Struct

from clarion.clock import as_datetime, as_ms
from clarion.notifications.workflows.times import local, zone_of
from clarion.notifications.workflows.zones import RECIPIENT

EARLIEST: Final = "Etc/GMT-14"
"""Where a day begins first: what comes in everybody's own zone is planned by the clock there."""
SPREAD_MS: Final = 26 * 3_600_000
"""From there to where a day begins last."""
LAST_YEAR: Final = 9_000
BARREN: Final = 500
"""Months without an occurrence, of those that an interval comes by, after which there is none: 29 February comes every 96 at worst."""
_HOUR_MS: Final = 3_600_000
_DAY: Final = timedelta(days=1)
_NEVER: Final = datetime(LAST_YEAR + 1, 1, 1)  # noqa: DTZ001  on a clock on the wall


class Moment(Struct, frozen=True):
    """An occurrence: when it is (ms since 1970), what the clock there shows, and its name, which no other of its schedule has."""

    at_ms: int
    local: str
    key: str


class Once(Struct, frozen=True, tag="once"):
    """At a time: `local`, as the clock in the zone shows it, or where that is '' `at_ms`."""

    zone: str
    local: str = ""
    at_ms: int = 0


class Cron(Struct, frozen=True, tag="cron"):
    """At the times of a cron expression of five fields."""

    zone: str
    cron: str


class Series(Struct, frozen=True, tag="series"):
    """Every so many hours, days, weeks or months from a start."""

    zone: str
    frequency: Literal["hourly", "daily", "weekly", "monthly"]
    interval: int
    clocks: tuple[int, ...]
    """Minutes of the day, of the hour for `hourly`."""
    start: str
    """What the clock shows at the earliest."""
    weekdays: tuple[int, ...] = ()
    """For `weekly`: 0 is Monday."""
    days: tuple[tuple[int, int], ...] = ()
    """For `monthly`: the day (-1: the last) and -1, or a weekday and which of them."""
    end: str = ""
    """What the clock shows at the latest; '': it goes on."""
    end_ms: int = 0
    """Likewise for `hourly`, which goes by no clock."""


Rule = Once | Cron | Series


def is_floating(rule: Rule) -> bool:
    """Whether it is each recipient's own clock that counts."""
    return rule.zone == RECIPIENT


def next_after(rule: Rule, after_ms: int) -> Moment | None:
    """The first occurrence after a time; None: there is none."""
    match rule:
        case Once():
            found = moment_of(rule)
            return found if found.at_ms > after_ms else None
        case Cron():
            return _cron(rule, after_ms)
        case Series(frequency="hourly"):
            return _hourly(rule, after_ms)
        case Series():
            return _series(rule, after_ms)
        case _:
            assert_never(rule)


def next_few(rule: Rule, after_ms: int, count: int) -> list[Moment]:
    """The first occurrences after a time, at most so many."""
    found: list[Moment] = []
    while len(found) < count and (moment := next_after(rule, after_ms)) is not None:
        found.append(moment)
        after_ms = moment.at_ms
    return found


def latest(rule: Rule, after_ms: int, now_ms: int) -> Moment | None:
    """The last occurrence after a time and not after now: however many there were, it costs some forty steps."""
    found = next_after(rule, after_ms)
    if found is None or found.at_ms > now_ms:
        return None
    # Invariant: `found` has come; what follows the time `high`, if anything, has not.
    high = now_ms
    while found.at_ms < high:
        middle = (found.at_ms + high) // 2
        later = next_after(rule, middle)
        if later is not None and later.at_ms <= now_ms:
            found = later
        elif middle == found.at_ms:
            break
        else:
            high = middle
    return found


def zone_here(rule: Rule) -> str:
    """The zone by whose clock a rule is planned."""
    return EARLIEST if is_floating(rule) else rule.zone


def text_of(clock: datetime) -> str:
    """What a clock shows, as it is written: 2026-12-24T18:00, with seconds where they are not zero."""
    return clock.isoformat(timespec="seconds" if clock.second else "minutes")


# ── the kinds ──
def moment_of(rule: Once) -> Moment:
    """When it is."""
    if rule.local:
        return _shown(rule, datetime.fromisoformat(rule.local))
    return _passed(rule, rule.at_ms)


def _cron(rule: Cron, after_ms: int) -> Moment | None:
    zone = zone_of(zone_here(rule))
    try:
        for found in CronSim(rule.cron, local(after_ms, zone)):
            at_ms = as_ms(found)
            # In the second of two equal hours it gives the times of the first again.
            if at_ms > after_ms:
                shown = text_of(found.replace(tzinfo=None))
                again = "*" if local(at_ms, zone).fold else ""
                return Moment(at_ms, shown, f"{shown}{again}[{rule.zone}]")
    except OverflowError:
        pass  # the end of the calendar
    return None


def _hourly(rule: Series, after_ms: int) -> Moment | None:
    zone = zone_of(zone_here(rule))
    start = datetime.fromisoformat(rule.start)
    start_ms = as_ms(start.replace(tzinfo=zone))
    first_ms = as_ms(start.replace(minute=0, tzinfo=zone))
    step_ms = rule.interval * _HOUR_MS
    after_ms = max(after_ms, start_ms - 1)
    turn = (after_ms - first_ms) // step_ms
    for hour_ms in (first_ms + turn * step_ms, first_ms + (turn + 1) * step_ms):
        for minute in rule.clocks:
            at_ms = hour_ms + minute * 60_000
            if at_ms > after_ms:
                return None if rule.end_ms and at_ms > rule.end_ms else _passed(rule, at_ms)
    return None


def _series(rule: Series, after_ms: int) -> Moment | None:
    zone = zone_of(zone_here(rule))
    start = datetime.fromisoformat(rule.start)
    end = datetime.fromisoformat(rule.end) if rule.end else _NEVER
    last = end.date()
    found: list[Moment] = []
    # A jump takes times of a day into the next one; where a whole day was left out, all of them. So a day more on both sides.
    for day in _days(rule, start.date(), local(after_ms, zone).date() - _DAY):
        if day > last:
            break
        shown = (datetime.combine(day, time(*divmod(each, 60))) for each in rule.clocks)
        here = [_shown(rule, each) for each in shown if start <= each <= end]
        found += [each for each in here if each.at_ms > after_ms]
        if found:
            last = min(last, datetime.fromisoformat(found[0].local).date() + _DAY)
    return min(found, key=lambda each: (each.at_ms, each.local), default=None)


def _shown(rule: Rule, clock: datetime) -> Moment:
    """When the clock there shows something."""
    shown = text_of(clock)
    at_ms = as_ms(clock.replace(tzinfo=zone_of(zone_here(rule))))
    return Moment(at_ms, shown, f"{shown}[{rule.zone}]")


def _passed(rule: Rule, at_ms: int) -> Moment:
    """What goes by no clock."""
    shown = local(at_ms, zone_of(zone_here(rule))).replace(tzinfo=None)
    return Moment(
        at_ms,
        shown.isoformat(timespec="minutes"),
        as_datetime(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


# ── days ──
def _days(rule: Series, start: date, first: date) -> Iterator[date]:
    """The days that a rule names, from one on."""
    first = max(first, start)
    match rule.frequency:
        case "weekly":
            return _of_weeks(rule, start, first)
        case "monthly":
            return _of_months(rule, start, first)
        case _:
            return _every(rule.interval, start, first)


def _every(interval: int, start: date, first: date) -> Iterator[date]:
    day = start + _next_turn((first - start).days, interval) * _DAY
    while day.year <= LAST_YEAR:
        yield day
        day += interval * _DAY


def _of_weeks(rule: Series, start: date, first: date) -> Iterator[date]:
    monday = start - start.weekday() * _DAY
    for begin in _every(7 * rule.interval, monday, first - 6 * _DAY):
        for weekday in rule.weekdays:
            if (day := begin + weekday * _DAY) >= first:
                yield day


def _of_months(rule: Series, start: date, first: date) -> Iterator[date]:
    origin = start.year * 12 + start.month - 1
    month = origin + _next_turn(first.year * 12 + first.month - 1 - origin, rule.interval)
    barren = 0
    while barren < BARREN and month // 12 <= LAST_YEAR:
        days = _in_month(rule.days, *divmod(month, 12))
        barren = 0 if days else barren + 1
        yield from (day for day in days if day >= first)
        month += rule.interval


def _in_month(wanted: Sequence[tuple[int, int]], year: int, month_0: int) -> list[date]:
    begins_on, length = monthrange(year, month_0 + 1)
    found: set[int] = set()
    for n, weekday in wanted:
        if weekday < 0:
            day = length if n < 0 else n
        else:
            day = 1 + (weekday - begins_on) % 7 + 7 * (n - 1 if n > 0 else 0)
            if n < 0:
                day += (length - day) // 7 * 7
        if day <= length:
            found.add(day)
    return [date(year, month_0 + 1, day) for day in sorted(found)]


def _next_turn(passed: int, interval: int) -> int:
    return max(0, -(-passed // interval)) * interval
