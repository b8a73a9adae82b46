"""Choosing: what was pressed on a person's page, as a change of their document. Pure.

Each field is one press; those of dates and times come with what was written beside the button.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from clarion.clock import as_datetime
from clarion.errors import Fault, Invalid
from clarion.notifications.preferences.document import (
    Document,
    Kind,
    unmuted,
    with_choice,
    without,
)
from clarion.notifications.preferences.quiet import Quiet
from clarion.notifications.workflows.definition import Clock, Name
from clarion.notifications.workflows.times import at_local, zone_of

Change = Callable[[Document], Document]

DAYS: Final = {"day": 1, "week": 7}
_YEARS: Final = timedelta(days=3_660)  # nobody plans further ahead, and a typing mistake does


_Choice = tuple[Kind, Name, Literal["on", "off"], str]


class Pressed(Struct, frozen=True, forbid_unknown_fields=True):
    """What a form of the page sends."""

    set: str = ""
    """`kind|channel|on|name`, or `off`; kind `channel`: everything on it."""
    pause: Literal["", "day", "week", "until", "end"] = ""
    until: str = ""
    """The day on which a pause ends, in the person's time zone."""
    quiet: Literal["", "save", "none", "default"] = ""
    begins: str = ""
    ends: str = ""
    holiday: Literal["", "add"] = ""
    day: str = ""
    workday: str = ""
    """A holiday that is none any more."""
    unmute: str = ""
    """A muted thread, JSON: `[path, value]`."""


def change_of(pressed: Pressed, *, zone: str, now_ms: int) -> Change:
    """How the document is to be changed.

    Args:
        pressed: What was sent.
        zone: The person's.
        now_ms: The time.

    Raises:
        Invalid: It is nothing that the page offers.
    """
    if pressed.set:
        return _set(pressed.set)
    if pressed.pause:
        return _pause(pressed, zone, now_ms)
    if pressed.quiet:
        return _quiet(pressed)
    if pressed.holiday:
        added = _day("day", pressed.day, now_ms)
        return lambda given: replace(given, holidays=sorted({*given.holidays, added}))
    if pressed.workday:
        gone = _day("workday", pressed.workday, now_ms)
        return lambda given: replace(given, holidays=[d for d in given.holidays if d != gone])
    if pressed.unmute:
        return _unmute(pressed.unmute)
    raise _wrong("", "nothing was pressed")


def _set(text: str) -> Change:
    try:
        kind, channel, state, name = msgspec.convert(text.split("|", 3), _Choice)
    except msgspec.ValidationError as exc:
        raise _wrong("set", "not a choice") from exc
    if kind == "channel" and state == "off":
        return lambda given: without(given, channel)
    return lambda given: with_choice(given, kind, name, channel, state == "on")


def _pause(pressed: Pressed, zone: str, now_ms: int) -> Change:
    until: datetime | None
    if pressed.pause == "end":
        until = None
    elif pressed.pause == "until":
        day = _day("until", pressed.until, now_ms)
        until = as_datetime(at_local(day, time(), zone_of(zone)))
        if until <= as_datetime(now_ms):
            raise _wrong("until", "this day has begun already")
    else:
        until = as_datetime(now_ms) + timedelta(days=DAYS[pressed.pause])
    return lambda given: replace(given, paused_until=until)


def _quiet(pressed: Pressed) -> Change:
    if pressed.quiet == "default":
        return lambda given: replace(given, quiet=None)
    if pressed.quiet == "none":
        return lambda given: replace(given, quiet=[])
    for name in ("begins", "ends"):
        try:
            msgspec.convert(getattr(pressed, name), Clock)
        except msgspec.ValidationError as exc:
            raise _wrong(name, "not a time of day, such as 22:00") from exc
    if pressed.begins == pressed.ends:
        raise _wrong("ends", "this would be all day: turn channels off instead")
    span = Quiet(pressed.begins, pressed.ends)
    return lambda given: replace(given, quiet=[span])


def _unmute(text: str) -> Change:
    try:
        path, value = msgspec.json.decode(text, type=tuple[str, str | int | bool])
    except msgspec.DecodeError as exc:
        raise _wrong("unmute", "not a thread") from exc
    return lambda given: replace(given, muted=unmuted(given.muted, path, value))


def _day(name: str, text: str, now_ms: int) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as exc:
        raise _wrong(name, "not a day, such as 2026-12-25") from exc
    if name != "workday" and abs(day - as_datetime(now_ms).date()) > _YEARS:
        raise _wrong(name, "this day is years away")
    return day


def _wrong(name: str, why: str) -> Invalid:
    return Invalid(why, faults=[Fault(f"/{name}" if name else "", why)])
