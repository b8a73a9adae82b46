"""Which of many intervals contain a point: in about the logarithm of their number, and the size of the answer.

Two static trees, a small one and a large one, and a short list of what is new. The list goes into the small tree, the small one into the large
one, so that an addition costs little on the average and a look little always. What was removed is met in the trees, and passed over.
"""

from collections.abc import Iterable
from math import isqrt
from typing import Final

_NEW: Final = 64
_Interval = tuple[float, float, str]


class Intervals:
    """Closed intervals by name."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, float]] = {}
        self._new: dict[str, tuple[float, float]] = {}
        self._small, self._large = _Tree(()), _Tree(())
        self._removed = 0

    def __len__(self) -> int:
        return len(self._of)

    def add(self, name: str, low: float, high: float) -> None:
        """Add an interval under a name that has none."""
        self._of[name] = self._new[name] = (low, high)
        self._tidy()

    def remove(self, name: str) -> None:
        """Take an interval away."""
        del self._of[name]
        if self._new.pop(name, None) is None:
            self._removed += 1
            self._tidy()

    def containing(self, point: float) -> dict[str, None]:
        """The names of the intervals that contain a point."""
        found = [name for name, (low, high) in self._new.items() if low <= point <= high]
        for low, high, name in (*self._small.containing(point), *self._large.containing(point)):
            if self._of.get(name) == (low, high):  # else it is gone, or another now
                found.append(name)
        return dict.fromkeys(found)

    def _tidy(self) -> None:
        if len(self._new) <= _NEW and self._removed <= len(self._of) + _NEW:
            return
        small = {name for _, _, name in self._small.all} | self._new.keys()
        if len(small) > isqrt(_NEW * len(self._of)) or self._removed > len(self._of) + _NEW:
            self._large = _Tree((low, high, name) for name, (low, high) in self._of.items())
            self._small, self._removed = _Tree(()), 0
        else:
            self._small = _Tree((*self._of[name], name) for name in small if name in self._of)
        self._new.clear()


class _Tree:
    """Intervals sorted by their low ends, read as a tree: the root of a run is its middle, and knows the highest end in the run."""

    def __init__(self, intervals: Iterable[_Interval]) -> None:
        self.all: list[_Interval] = sorted(intervals)
        self._highest = [0.0] * len(self.all)
        self._measure(0, len(self.all))

    def containing(self, point: float) -> list[_Interval]:
        found: list[_Interval] = []
        runs = [(0, len(self.all))]
        while runs:
            begin, end = runs.pop()
            middle = (begin + end) // 2
            if begin >= end or self._highest[middle] < point:
                continue
            runs.append((begin, middle))
            each = self.all[middle]
            if each[0] <= point:
                runs.append((middle + 1, end))
                if point <= each[1]:
                    found.append(each)
        return found

    def _measure(self, begin: int, end: int) -> float:
        if begin >= end:
            return float("-inf")
        middle = (begin + end) // 2
        below = max(self._measure(begin, middle), self._measure(middle + 1, end))
        self._highest[middle] = max(self.all[middle][1], below)
        return self._highest[middle]
