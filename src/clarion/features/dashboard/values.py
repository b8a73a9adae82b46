"""What may be given to a widget, checked: numbers that are some, times that can be, points in their order. Every refusal says where."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clarion.errors import Fault, Invalid, pointer_step
from clarion.features.dashboard.rolls import Number

AHEAD_MS: Final = 60_000
"""How far a time may be ahead of ours: clocks differ."""
BACK_MS: Final = 366 * 86_400_000
"""How far it may be back."""
POINTS: Final = 1_000  # of one publication
BARS: Final = 100
STATES: Final = 100
TEXT: Final = 10_000
CELL: Final = 1_000
NAME: Final = 200
STATE_NAMES: Final = ("ok", "warn", "error", "unknown")
# Beyond it a browser's numbers are not exact any more, and sums need not be finite.
_LARGEST: Final = 1e300


def number(given: Any, at: str) -> float:
    """A number that JSON can say.

    Raises:
        Invalid: Something else; NaN and infinity too.
    """
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise wrong(at, "expected a number")
    if not math.isfinite(given) if isinstance(given, float) else abs(given) > 2**53:
        raise wrong(at, "not finite, or beyond 2^53")
    if abs(given) > _LARGEST:
        raise wrong(at, "too large")
    return given


def points(
    given: Any, lines: int, now_ms: int, after_ms: int = 0
) -> tuple[list[int], list[list[Number]]]:
    """Points in columns: `{t: [ms, …], v: [[number or null, …], …]}`; a single one of now may leave out `t`: it is
    given the time `after_ms` where now is before that.

    Raises:
        Invalid: Other columns than the chart has lines, columns of unequal length, times that do not rise or cannot be, too many points.
    """
    members = members_of(given, "/data", "t", "v")
    columns = members.get("v")
    if not isinstance(columns, list) or len(columns) != lines:
        raise wrong("/data/v", f"expected a column for each of {lines} lines")
    times = members.get("t", [max(now_ms, after_ms)])
    if not isinstance(times, list):
        raise wrong("/data/t", "expected a list of times (ms since 1970)")
    if len(times) > POINTS:
        raise wrong("/data/t", f"at most {POINTS} points at a time")
    last = now_ms - BACK_MS
    for i, at in enumerate(times):
        if isinstance(at, bool) or not isinstance(at, int):
            raise wrong(f"/data/t/{i}", "expected a whole number (ms since 1970)")
        if not now_ms - BACK_MS <= at <= now_ms + AHEAD_MS:
            raise wrong(f"/data/t/{i}", "not a time of the last year: is it in ms since 1970?")
        if i and at <= last:
            raise wrong(f"/data/t/{i}", "out of order: times must rise")
        last = at
    return times, [_column(column, len(times), f"/data/v/{i}") for i, column in enumerate(columns)]


def _column(given: Any, length: int, at: str) -> list[Number]:
    if not isinstance(given, list) or len(given) != length:
        raise wrong(at, f"expected a list of {length}, as many as times")
    return [None if each is None else number(each, f"{at}/{i}") for i, each in enumerate(given)]


def numbers(given: Any) -> dict[str, float]:
    """A number for each of some names.

    Raises:
        Invalid: Something else, or too many.
    """
    return {name: number(each, place(name)) for name, each in named(given, BARS).items()}


def rows(given: Any, columns: Sequence[str], most: int) -> dict[str, dict[str, Any]]:
    """Rows by key, each with some of the columns.

    Raises:
        Invalid: Something else, or too many.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, row in named(given, most).items():
        if not isinstance(row, dict):
            raise wrong(place(key), "expected an object")
        found[key] = {
            id: _cell(cell, f"{place(key)}/{pointer_step(id)}", is_known=id in columns)
            for id, cell in row.items()
        }
    return found


def _cell(given: Any, at: str, *, is_known: bool) -> Any:
    if not is_known:
        raise wrong(at, "is none of the columns")
    if given is None or isinstance(given, bool):
        return given
    return text(given, at, CELL) if isinstance(given, str) else number(given, at)


def states(given: Any) -> dict[str, dict[str, str]]:
    """The state of each of some things, and a text with it.

    Raises:
        Invalid: Something else, or too many.
    """
    found: dict[str, dict[str, str]] = {}
    for name, each in named(given, STATES).items():
        said = (
            {"state": each}
            if isinstance(each, str)
            else members_of(each, place(name), "state", "text")
        )
        if said.get("state") not in STATE_NAMES:
            raise wrong(place(name), f"expected one of {', '.join(STATE_NAMES)}")
        about = text(said.get("text", ""), f"{place(name)}/text", CELL)
        found[name] = {"state": said["state"], "text": about}
    return found


def text(given: Any, at: str, most: int = TEXT) -> str:
    """A text.

    Raises:
        Invalid: Something else, or too long.
    """
    if not isinstance(given, str) or len(given) > most:
        raise wrong(at, f"expected a text of at most {most} characters")
    return given


def named(given: Any, most: int) -> Mapping[str, Any]:
    """An object whose members' names are somebody's own.

    Raises:
        Invalid: Something else, or too many.
    """
    if not isinstance(given, dict):
        raise wrong("/data", "expected an object")
    if len(given) > most:
        raise wrong("/data", f"at most {most} members")
    for name in given:
        if not isinstance(name, str) or not 0 < len(name) <= NAME:
            raise wrong("/data", f"names have 1 to {NAME} characters")
    return given


def members_of(given: Any, at: str, *known: str) -> Mapping[str, Any]:
    """An object with these members alone.

    Raises:
        Invalid: Something else.
    """
    if not isinstance(given, dict):
        raise wrong(at, f"expected an object with {', '.join(known)}")
    for name in given:
        if name not in known:
            raise wrong(f"{at}/{pointer_step(str(name))}", "is not known here")
    return given


def place(name: str) -> str:
    """Where a member of the data is."""
    return f"/data/{pointer_step(name)}"


def wrong(at: str, detail: str) -> Invalid:
    """The refusal."""
    return Invalid(f"{at}: {detail}", faults=[Fault(at, detail)])
