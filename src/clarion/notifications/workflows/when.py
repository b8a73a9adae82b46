"""When a schedule comes round, as it is written: `at` a time, by `cron`, or what `repeats`. Pure.

{at: "2026-12-24T18:00", zone: Europe/Berlin}
{cron: "0 9 * * 1-5", zone: Europe/Berlin}
{repeats: {frequency: monthly, days: ["2 tue", last], at: ["09:00", "17:30"], zone: recipient}}
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from clarion.clock import as_datetime, as_ms
from clarion.errors import Fault, Invalid
from clarion.notifications.workflows.faults import wrong
from clarion.notifications.workflows.occurrences import (
    SPREAD_MS,
    Cron,
    Moment,
    Once,
    Rule,
    Series,
    is_floating,
    moment_of,
    next_after,
    next_few,
    text_of,
    zone_here,
)
from clarion.notifications.workflows.times import DAYS, check_cron, local, zone_of
from clarion.notifications.workflows.zones import RECIPIENT, check_zone
from clarion.patterns import worded

Clock = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^([01][0-9]|2[0-3])?:[0-5][0-9]$(?!\n)",
            "a time of day such as 09:00, or :30 of each hour",
        ),
        description="A time of day, 09:30; for `hourly` a minute, :30",
    ),
]
Zone = Annotated[
    str,
    Meta(
        max_length=64,
        description="A time zone's name, Europe/Berlin; or `recipient`: each recipient's own, and UTC for who has none",
    ),
]
Time = Annotated[
    str,
    Meta(
        max_length=40,
        description="What the clock in the zone shows, 2026-12-24T18:00; or with an offset, 2026-12-24T18:00:00+01:00",
    ),
]
Name = Annotated[str, Meta(max_length=16)]


class Repeats(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Every `interval` hours, days, weeks or months, counted from `from`."""

    frequency: Literal["hourly", "daily", "weekly", "monthly"]
    at: Clock | Annotated[list[Clock], Meta(min_length=1, max_length=24)] = ":00"
    """One time, or several."""
    interval: Annotated[int, Meta(ge=1, le=1_000)] = 1
    days: Annotated[list[int | Name], Meta(max_length=40)] = []
    """`weekly`: mon … sun; `monthly`: 1 … 31, `last`, `2 tue`, `last fri`. Where it says none, that of `from`."""
    zone: Zone = "UTC"
    from_: Time | None = None
    """Not before; a day, or a time. None: now."""
    until: Time | None = None
    """Not after; a day is meant with all its hours."""
    count: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """So many times in all."""


class When(Struct, frozen=True, forbid_unknown_fields=True):
    """One of `at`, `cron` and `repeats`."""

    at: Time | None = None
    cron: Annotated[str, Meta(max_length=100)] | None = None
    """Five fields: minute, hour, day, month, weekday."""
    repeats: Repeats | None = None
    zone: Zone | None = None
    """Of `at` and `cron`; UTC where there is none."""


LONGEST_AHEAD_MS: Final = 10 * 366 * 86_400_000
LEAST_FLOATING_S: Final = 3_600
"""Between two occurrences in everybody's own zone: of each everybody's run waits for its hour."""
YEARS: Final = (1971, 9_000)
"""Of the calendar that zones can be reckoned in."""
_LOOKED_AT: Final = 60  # occurrences, to find the shortest time between two
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_NTH = re.compile(r"([1-5]|last) (mon|tue|wed|thu|fri|sat|sun)")


def read_when(when: When, now_ms: int, *, shortest_s: int = 60, at: str = "/when") -> Rule:
    """The rule of what is written, fixed where it depends on when it was written.

    Args:
        when: As it is written.
        now_ms: The time: `from` where it says none.
        shortest_s: Between two occurrences at least.
        at: Where it stands, for errors.

    Raises:
        Invalid: It is none, never comes, or comes too often; each fault points at its place. `limit` is there if it is `shortest_s`.
    """
    if sum(each is not None for each in (when.at, when.cron, when.repeats)) != 1:
        raise wrong(at, "a schedule has one of `at`, `cron` and `repeats`")
    rule: Rule
    if when.repeats is not None:
        if when.zone is not None:
            raise wrong(f"{at}/zone", "the zone of what repeats stands in `repeats`")
        rule = _series(when.repeats, now_ms, f"{at}/repeats")
    else:
        if when.at is not None:
            return read_at(when.at, when.zone, now_ms, at)
        rule = _cron(str(when.cron), _zone(when.zone or "UTC", f"{at}/zone"), f"{at}/cron")
    _check_gaps(rule, now_ms, shortest_s, at)
    return rule


def read_at(
    given: str, zone: str | None, now_ms: int, at: str = "", *, may_be_past: bool = False
) -> Once:
    """A time to come.

    Args:
        given: As it is written.
        zone: Where the clock shows that; None: UTC.
        now_ms: The time.
        at: Where `at` and `zone` stand, for errors.
        may_be_past: It need not be to come.

    Raises:
        Invalid: It is none, past, or more than ten years ahead.
    """
    zone = _zone(zone or "UTC", f"{at}/zone")
    found, has_offset = _time(given, f"{at}/at")
    if has_offset and zone == RECIPIENT:
        detail = "a time with an offset is the same for everybody: leave it out"
        raise wrong(f"{at}/at", detail)
    rule = Once(zone, at_ms=as_ms(found)) if has_offset else Once(zone, local=text_of(found))
    moment = moment_of(rule)
    if not may_be_past and moment.at_ms <= now_ms - (SPREAD_MS if is_floating(rule) else 0):
        raise wrong(f"{at}/at", f"{given} is past")
    if moment.at_ms > now_ms + LONGEST_AHEAD_MS:
        raise wrong(f"{at}/at", f"{given} is more than ten years ahead")
    return rule


def _cron(text: str, zone: str, at: str) -> Cron:
    if len(text.split()) != 5:
        raise wrong(at, "five fields are needed: minute, hour, day, month, weekday")
    try:
        check_cron(text)
    except ValueError as exc:
        raise wrong(at, str(exc)) from exc
    return Cron(zone, text)


def _series(given: Repeats, now_ms: int, at: str) -> Series:
    zone = _zone(given.zone, f"{at}/zone")
    is_hourly = given.frequency == "hourly"
    if is_hourly and zone == RECIPIENT:
        raise wrong(f"{at}/zone", "what comes by the hour comes for everybody at once")
    here = zone_of(zone_here(Series(zone, given.frequency, 1, (), "")))
    if given.from_ is None:
        start = local(now_ms, here).replace(tzinfo=None, second=0, microsecond=0)
    else:
        start = _wall(given.from_, here, f"{at}/from")
    series = Series(
        zone,
        given.frequency,
        given.interval,
        tuple(sorted(_clocks(given, is_hourly, at))),
        text_of(start),
        tuple(sorted(_weekdays(given, start, at))),
        tuple(_month_days(given, start, at)),
    )
    before_ms = as_ms(start.replace(tzinfo=here)) - 1
    series = _ended(series, given, before_ms, here, at)
    if next_after(series, max(before_ms, now_ms)) is None:
        raise wrong(at, "it never comes, or not any more")
    return series


def _ended(series: Series, given: Repeats, before_ms: int, here: ZoneInfo, at: str) -> Series:
    if given.until is not None and given.count is not None:
        raise wrong(f"{at}/count", "it ends by `until` or by `count`, not by both")
    if given.until is not None:
        end = _end(given.until, here, f"{at}/until")
        end_text, end_ms = text_of(end), as_ms(end.replace(tzinfo=here))
    elif given.count is not None and (all_ := next_few(series, before_ms, given.count)):
        end_text, end_ms = all_[-1].local, all_[-1].at_ms
    else:
        return series
    # An hour that comes twice is called the same: what comes by the hour goes by the time that passes.
    if series.frequency == "hourly":
        return msgspec.structs.replace(series, end_ms=end_ms)
    return msgspec.structs.replace(series, end=end_text)


def _clocks(given: Repeats, is_hourly: bool, at: str) -> Iterator[int]:
    several = [given.at] if isinstance(given.at, str) else given.at
    for n, clock in enumerate(dict.fromkeys(several)):
        hour, minute = clock.split(":")
        place = f"{at}/at" if isinstance(given.at, str) else f"{at}/at/{n}"
        if is_hourly == bool(hour):
            raise wrong(
                place,
                "by the hour it is a minute, such as :30"
                if is_hourly
                else "it is a time of day, such as 09:30",
            )
        yield int(hour or 0) * 60 + int(minute)


def _weekdays(given: Repeats, start: datetime, at: str) -> Iterator[int]:
    if given.frequency in ("hourly", "daily") and given.days:
        raise wrong(f"{at}/days", "days are for weekly and monthly")
    if given.frequency != "weekly":
        return
    if not given.days:
        yield start.weekday()
    for n, day in enumerate(dict.fromkeys(given.days)):
        if day not in DAYS:
            raise wrong(f"{at}/days/{n}", "days of a week are mon, tue, wed, thu, fri, sat, sun")
        yield DAYS.index(str(day))


def _month_days(given: Repeats, start: datetime, at: str) -> Iterator[tuple[int, int]]:
    if given.frequency != "monthly":
        return
    if not given.days:
        yield start.day, -1
    for n, day in enumerate(dict.fromkeys(given.days)):
        if isinstance(day, int) and 1 <= day <= 31:
            yield day, -1
        elif day == "last":
            yield -1, -1
        elif (found := _NTH.fullmatch(str(day))) is not None:
            yield -1 if found[1] == "last" else int(found[1]), DAYS.index(found[2])
        else:
            raise wrong(f"{at}/days/{n}", "days of a month are 1 … 31, last, 2 tue, last fri")


def _check_gaps(rule: Rule, now_ms: int, shortest_s: int, at: str) -> None:
    if is_floating(rule):
        shortest_s = max(shortest_s, LEAST_FLOATING_S)
    moments = next_few(rule, now_ms, _LOOKED_AT)
    if not moments:
        raise wrong(at, "it never comes, or not any more")
    for one, other in pairwise(moments):
        if (gap_s := (other.at_ms - one.at_ms) // 1000) < shortest_s and not _changes(rule, one):
            detail = f"{gap_s} s between two occurrences, {shortest_s} s at least are needed"
            raise Invalid(detail, faults=[Fault(at, detail)], limit=shortest_s)


def _changes(rule: Rule, moment: Moment) -> bool:
    """Whether the clock there jumps on that day: what it shows is not as far apart as it seems."""
    zone = zone_of(zone_here(rule))
    around = (as_datetime(moment.at_ms + n * 86_400_000).astimezone(zone) for n in (-1, 1))
    return len({each.utcoffset() for each in around}) > 1


# ── times ──
def _time(given: str, at: str) -> tuple[datetime, bool]:
    """A time, and whether it has an offset."""
    try:
        found = datetime.fromisoformat(given)
    except ValueError as exc:
        raise _no_time(given, at) from exc
    is_written_so = found.tzinfo is not None or _LOCAL.fullmatch(given) is not None
    if not is_written_so:
        raise _no_time(given, at)
    if not YEARS[0] <= found.year < YEARS[1]:
        raise wrong(at, f"{given!r} is too far away: years are {YEARS[0]} … {YEARS[1] - 1}")
    return found.replace(microsecond=0), found.tzinfo is not None


def _wall(given: str, here: ZoneInfo, at: str) -> datetime:
    """What the clock in a zone shows at a time."""
    found, has_offset = _time(given, at)
    return (found.astimezone(here) if has_offset else found).replace(tzinfo=None, second=0)


def _end(given: str, here: ZoneInfo, at: str) -> datetime:
    """Likewise; a day ends with its last minute."""
    is_day = len(given) == len("2026-12-24")
    return _wall(given, here, at) + (timedelta(hours=23, minutes=59) if is_day else timedelta())


def _zone(name: str, at: str) -> str:
    if name != RECIPIENT:
        try:
            check_zone(name)
        except ValueError as exc:
            raise wrong(at, str(exc)) from exc
    return name


def _no_time(given: str, at: str) -> Invalid:
    return wrong(at, f"{given!r} is no time: write 2026-12-24T18:00")
