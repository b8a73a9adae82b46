"""Whether something grows: plateaus, not peaks, and no absolute times, so that a noisy machine neither hides a leak nor makes one.

A gauge's minimum in each tenth of the run is what was needed at least. The first two tenths are dropped: caches fill. Through the
others goes the line of Theil and Sen, the median of the slopes of all pairs, which a few odd points do not turn. What it would
add until the end of the run must be less than 5 % of the gauge's median. Then all clients leave, garbage is collected, and memory
must be what it was after the warm-up, and every count exactly what it was before the first client came.
"""

import statistics
from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct

TENTHS, DROPPED = 10, 2
GROWTH = 0.05  # of the median, over what is left of the run
REST_SHARE, REST_BYTES = 0.02, 8 << 20
# Where a gauge counts few things, so many more are no trend: five of a hundred sockets are 5 %. Of egress, what one connection buffers.
FEW = {"egress": 65_536.0}
FEW_OF_OTHERS = 8.0
MEMORY = ("rss", "uss")
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


def floors(samples: Sequence[Sample], name: str) -> list[tuple[float, float]]:
    """The least of each tenth of the run but the first two, at the tenth's middle."""
    begin, end = samples[0].at_s, samples[-1].at_s
    width = (end - begin) / TENTHS
    lowest: dict[int, float] = {}
    for each in samples:
        tenth = min(int((each.at_s - begin) / width), TENTHS - 1)
        value = each.values[name]
        lowest[tenth] = min(value, lowest.get(tenth, value))
    return [
        (begin + (tenth + 0.5) * width, value)
        for tenth, value in sorted(lowest.items())
        if tenth >= DROPPED
    ]


def growth(samples: Sequence[Sample], name: str, share: float = GROWTH) -> tuple[float, float]:
    """By how much a gauge grows over the judged part of a run, and by how much it may."""
    points = floors(samples, name)
    duration = samples[-1].at_s - samples[0].at_s
    grown = theil_sen(points) * duration * (TENTHS - DROPPED) / TENTHS
    allowed = share * statistics.median(value for _, value in points)
    return grown, allowed if name in MEMORY else max(allowed, FEW.get(name, FEW_OF_OTHERS))


def growing(samples: Sequence[Sample], share: float = GROWTH) -> list[str]:
    """A sentence for each gauge that grows by more than this share of its median."""
    found = []
    for name in GAUGES:
        grown, allowed = growth(samples, name, share)
        if grown > allowed:
            found.append(f"{name} grows by {grown:,.0f} in the run; {allowed:,.0f} were allowed")
    return found


def kept(warm: dict[str, float], rest: dict[str, float]) -> list[str]:
    """A sentence for each kind of memory that was not given back.

    Args:
        warm: Values after the warm-up, when its clients had left.
        rest: Values at the end, when all had left.
    """
    found = []
    for name in MEMORY:
        most = warm[name] * (1 + REST_SHARE) + REST_BYTES
        if rest[name] > most:
            found.append(f"{name} is {rest[name]:,.0f} at the end; {most:,.0f} were allowed")
    return found
