"""Which of many intervals contain a point: in the time of their number's logarithm and of the answer's size.

An implicit tree over the intervals sorted by their low ends, each node knowing the highest end below it. Additions wait in a short list
until they are an eighth of all; removals are remembered until then.
"""

from typing import Final

_REBUILD: Final = 64


class Intervals:
    """Closed intervals by name."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, float]] = {}
        self._sorted: list[tuple[float, float, str]] = []
        self._highest: list[float] = []
        self._new: dict[str, tuple[float, float]] = {}
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

    def containing(self, point: float) -> list[str]:
        """The names of the intervals that contain a point."""
        found = [name for name, (low, high) in self._new.items() if low <= point <= high]
        spans = [(0, len(self._sorted))]
        while spans:
            begin, end = spans.pop()
            if begin >= end:
                continue
            middle = (begin + end) // 2
            if self._highest[middle] < point:
                continue
            spans.append((begin, middle))
            low, high, name = self._sorted[middle]
            if low <= point:
                # Gone, or gone and come back as another.
                if point <= high and self._of.get(name) == (low, high) and name not in self._new:
                    found.append(name)
                spans.append((middle + 1, end))
        return found

    def _tidy(self) -> None:
        if len(self._new) + self._removed <= max(_REBUILD, len(self._sorted) // 8):
            return
        self._sorted = sorted((low, high, name) for name, (low, high) in self._of.items())
        self._highest = [0.0] * len(self._sorted)
        self._measure(0, len(self._sorted))
        self._new.clear()
        self._removed = 0

    def _measure(self, begin: int, end: int) -> float:
        if begin >= end:
            return float("-inf")
        middle = (begin + end) // 2
        highest = max(
            self._sorted[middle][1],
            self._measure(begin, middle),
            self._measure(middle + 1, end),
        )
        self._highest[middle] = highest
        return highest
