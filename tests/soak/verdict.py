"""Whether something grows: plateaus, not peaks, and no absolute times, so that a noisy machine neither hides a leak nor makes one.

Of each tenth of a run a gauge's minimum counts, what was needed at least, and its median. The first two tenths are left out: caches fill.
Through the others goes the line of Theil and Sen, the median of the slopes of all pairs, which a few odd points do not turn. A leak
lifts both lines. When something else takes the machine, a gauge has peaks, and the median rises; or dips, and the minimum rises when
they end: so the lesser of the two counts. What it adds until the end of the run must be less than 5 % of the gauge's median.

What the system gave a process (`rss`, `uss`) is judged from the middle of the run on: it goes up in steps with what was needed at the
worst moment so far, and the allocator gives little of it back; so it has no dips, and its minimum alone counts. What of it is in use (`blocks`, `heap`) is exact: when all clients have
left it must be what it was after the warm-up. And every count must be exactly what it was before the first client came; what is left
for its trend to find are things that pile up and go with their clients. Since a count dips for as long as clients get no turn (on polling
each holds two tasks of the server's while it waits, and none while it does not), its maximum must rise as well.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from msgspec import Struct

TENTHS, DROPPED = 10, 2
GROWTH = 0.05  # of the median, over what is left of the run
REST_SHARE = 0.02
# In use may be more by this: what is made when it is first needed, and stays.
REST_FEW = {"blocks": 4_000.0, "heap": 1_048_576.0}
# Where a gauge counts few things, so many more are no trend: five of a hundred sockets are 5 %. Of egress, what one connection buffers.
FEW = {"egress": 65_536.0}
FEW_OF_OTHERS = 8.0
GIVEN = ("rss", "uss")
IN_USE = ("blocks", "heap")
MEMORY = (*GIVEN, *IN_USE)
GAUGES = (*MEMORY, "files", "tasks", "timers", "sessions", "rooms", "egress")


class Sample(Struct, frozen=True):
    """What was there at a time."""

    at_s: float
    """Since the warm-up."""
    values: dict[str, float]


Points = Sequence[tuple[float, float]]


def theil_sen(points: Points) -> float:
    """The median slope of all pairs of points; 0 for fewer than two."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0]]
    return statistics.median(slopes) if slopes else 0.0


def first_judged(name: str) -> int:
    """The first tenth of a run that counts for a gauge, from 0."""
    return TENTHS // 2 if name in GIVEN else DROPPED


def tenths(
    samples: Sequence[Sample], name: str, of: Callable[[Iterable[float]], float]
) -> list[tuple[float, float]]:
    """What `of` makes of the values in each tenth of the run that counts, at the tenth's middle."""
    begin, end = samples[0].at_s, samples[-1].at_s
    width = (end - begin) / TENTHS
    values: dict[int, list[float]] = {}
    for each in samples:
        tenth = min(int((each.at_s - begin) / width), TENTHS - 1)
        values.setdefault(tenth, []).append(each.values[name])
    return [
        (begin + (tenth + 0.5) * width, of(found))
        for tenth, found in sorted(values.items())
        if tenth >= first_judged(name)
    ]


def growth(samples: Sequence[Sample], name: str, share: float = GROWTH) -> tuple[float, float]:
    """By how much a gauge grows over the judged part of a run, and by how much it may."""
    part = (TENTHS - first_judged(name)) / TENTHS
    duration = samples[-1].at_s - samples[0].at_s
    lows = tenths(samples, name, min)
    slopes = [theil_sen(lows)]
    if name not in GIVEN:
        slopes.append(theil_sen(tenths(samples, name, statistics.median)))
    if name not in MEMORY:
        slopes.append(theil_sen(tenths(samples, name, max)))
    grown = min(slopes) * duration * part
    allowed = share * statistics.median(value for _, value in lows)
    if name in GIVEN:
        # Of a shorter part the same slope is allowed.
        return grown, allowed * part * TENTHS / (TENTHS - DROPPED)
    return grown, allowed if name in IN_USE else max(allowed, FEW.get(name, FEW_OF_OTHERS))


def growing(samples: Sequence[Sample], share: float = GROWTH) -> list[str]:
    """A sentence for each gauge that grows by more than this share of its median."""
    found = []
    for name in GAUGES:
        grown, allowed = growth(samples, name, share)
        if grown > allowed:
            found.append(f"{name} grows by {grown:,.0f} in the run; {allowed:,.0f} were allowed")
    return found


def kept(warm: dict[str, float], rest: dict[str, float]) -> list[str]:
    """A sentence for each kind of memory that is still in use.

    Args:
        warm: Values after the warm-up, when its clients had left and what they leave behind had gone.
        rest: Values at the end, likewise.
    """
    found = []
    for name in IN_USE:
        most = warm[name] * (1 + REST_SHARE) + REST_FEW[name]
        if rest[name] > most:
            found.append(f"{name} is {rest[name]:,.0f} at the end; {most:,.0f} were allowed")
    return found
