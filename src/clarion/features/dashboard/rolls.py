"""Rolls: points in columns, gathered in steps of time, no more of them than are kept. Pure.

A roll is `{t: [ms, …], v: [[number or null, …], …], n: [count, …]}`: a column of times and one for each line; `n` says of each line
how many numbers the newest step has, so that an average can go on. A step of 0 keeps the points as they are. The newest step
grows while it lasts: what changes of a roll is always at its end, and what goes is always at its beginning.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from clarion.features.dashboard.definition import RollUp

Number = float | None
Columns = Sequence[Sequence[Number]]

# What people read easily (ms).
_STEPS: Final = (
    100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 10_800_000,
)  # fmt: skip


class Rule(Struct, frozen=True):
    """How a roll is kept.

    Args:
        step_ms: Points of one step become one; 0: all stay.
        window_ms: How far behind the newest a point may be.
        most: How many there may be.
        how: What the points of a step become.
    """

    step_ms: int
    window_ms: int
    most: int
    how: RollUp = "avg"


class Roll(Struct, frozen=True):
    """Points that were rolled up."""

    t: list[int]
    v: list[list[Number]]
    n: list[int]


class Ends(Struct, frozen=True):
    """How a roll has changed: so many went at its end, these came there, so many went at its beginning."""

    t: list[int]
    v: list[list[Number]]
    pop: int
    drop: int


def step_of(window_ms: float, most: int) -> int:
    """The step of what is shown of a window (ms): the first with which it has no more than so many."""
    return next((step for step in _STEPS if window_ms <= step * most), _STEPS[-1])


def empty(lines: int) -> Roll:
    """A roll without points."""
    return Roll([], [[] for _ in range(lines)], [0] * lines)


def extended(roll: Roll, t: Sequence[int], v: Columns, rule: Rule) -> tuple[Roll, Ends]:
    """A roll with further points.

    Args:
        roll: Stays as it is.
        t: Their times, rising, none before the roll's newest step.
        v: A column for each line.
        rule: How it is kept.
    """
    if not t:
        return roll, Ends([], [[] for _ in v], 0, 0)
    step, merge = rule.step_ms, _MERGES[rule.how]
    pop = int(bool(step and roll.t) and t[0] - t[0] % step == roll.t[-1])
    times: list[int] = roll.t[-1:] if pop else []
    starts: list[int] = []
    for i, at in enumerate(t):
        bucket = at - at % step if step else at
        if not times or bucket != times[-1]:
            times.append(bucket)
            starts.append(i)
    # Of each step, where its points begin; those of the roll's newest one begin at the first.
    bounds = [*([0] if pop else []), *starts, len(t)]
    columns: list[list[Number]] = []
    counts: list[int] = []
    for line, column in enumerate(v):
        value, count = (roll.v[line][-1], roll.n[line]) if pop else (None, 0)
        values: list[Number] = []
        last = 0
        for begin, end in pairwise(bounds):
            for number in column[begin:end]:
                if number is not None:
                    count += 1
                    value = number if value is None else merge(value, number, count)
            values.append(value)
            last, value, count = count, None, 0
        columns.append(values)
        counts.append(last)
    kept = len(roll.t) - pop
    whole = [*roll.t[:kept], *times]
    drop = max(len(whole) - rule.most, bisect_left(whole, whole[-1] - rule.window_ms), 0)
    rows = [[*had[:kept], *came][drop:] for had, came in zip(roll.v, columns, strict=True)]
    return Roll(whole[drop:], rows, counts), Ends(times, columns, pop, drop)


def cut(roll: Roll, after_ms: int) -> Roll:
    """The points at a time and later."""
    begin = bisect_left(roll.t, after_ms)
    return Roll(roll.t[begin:], [column[begin:] for column in roll.v], roll.n)


_Merge = Callable[[float, float, int], float]
# Value so far, the next number, and how many there are with it.
_MERGES: Final[Mapping[RollUp, _Merge]] = {
    "avg": lambda value, number, count: value + (number - value) / count,
    "min": lambda value, number, count: min(value, number),
    "max": lambda value, number, count: max(value, number),
    "sum": lambda value, number, count: value + number,
    "last": lambda value, number, count: number,
}
