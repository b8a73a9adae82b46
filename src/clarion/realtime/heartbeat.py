"""One timer for everything of a server that waits: heartbeats, upgrades, connects, acks.

Deadlines are rounded up to a resolution and collected in buckets; the loop holds one timer, for the nearest bucket. A timer per
session would cost memory and a walk through the loop's heap at every pong. A deadline that moves later is not moved here: its
item is asked at the old time, says the new one, and goes into that bucket.
"""

import asyncio
import heapq

from clarion.telemetry import get_logger

_log = get_logger(__name__)

RESOLUTION_S = 0.05  # at most; a client does not notice a ping that is 50 ms late


class Timed:
    """Something that waits. A subclass has `__slots__` and `on_time`."""

    __slots__ = ("bucket",)

    def __init__(self) -> None:
        # Number of the bucket that it is in; 0: in none.
        self.bucket = 0

    def on_time(self, now: float) -> float | None:
        """Its time has come.

        Args:
            now: Seconds of the loop, never before the time that was asked for.

        Returns:
            When to be called again; None: not again.
        """
        raise AssertionError  # a subclass says what to do


class Wheel:
    """The deadlines of a server.

    Args:
        resolution_s: Deadlines are met at most so much late.
    """

    def __init__(self, resolution_s: float = RESOLUTION_S) -> None:
        # Fixed at creation
        self._resolution = resolution_s
        self._loop: asyncio.AbstractEventLoop | None = None
        # Invariant: item.bucket == n  <=>  item in _buckets[n]; the keys of _buckets are those of _order.
        self._buckets: dict[int, dict[Timed, None]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = 0
        self._is_closed = False

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def now(self) -> float:
        """Seconds of the loop: what deadlines are measured with."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    def set(self, item: Timed, when: float) -> None:
        """Call `item.on_time` at `when`, or at an earlier time that was set before."""
        number = int(when / self._resolution) + 1
        if item.bucket:
            if item.bucket <= number:
                return
            self.cancel(item)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
            self._arm()
        bucket[item] = None
        item.bucket = number

    def cancel(self, item: Timed) -> None:
        """Forget an item."""
        bucket = self._buckets.get(item.bucket)
        if bucket is not None:
            bucket.pop(item, None)
        item.bucket = 0

    def close(self) -> None:
        """Stop; nothing is called any more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._buckets.clear()
        self._order.clear()

    def _arm(self) -> None:
        """Have a timer for the nearest bucket."""
        if self._is_closed or not self._order or self._timer_for == self._order[0]:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_for = self._order[0]
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(self._timer_for * self._resolution, self._turn)

    def _turn(self) -> None:
        """The nearest bucket's time has come, perhaps also that of the next ones."""
        assert self._loop is not None
        # uvloop rounds to milliseconds and may call early: a bucket's time has come when its timer says so.
        now = max(self._loop.time(), self._timer_for * self._resolution)
        self._timer_for, self._timer = 0, None
        due: list[Timed] = []
        while self._order and self._order[0] * self._resolution <= now:
            for item in self._buckets.pop(heapq.heappop(self._order)):
                item.bucket = 0
                due.append(item)
        for item in due:
            try:
                when = item.on_time(now)
            except Exception:  # noqa: BLE001  a bug of one must not cost the others, which are in no bucket now, their time
                _log.exception("what was due failed", what=type(item).__name__)
                continue
            if when is not None and not self._is_closed:
                self.set(item, when)
        self._arm()
