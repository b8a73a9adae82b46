"""Time: the only module that asks for it.

Every part gets a `Clock` in its constructor. A simulation gives one whose time is virtual, a test one that it moves by hand.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH, _MS = datetime.fromtimestamp(0, UTC), timedelta(milliseconds=1)


class Clock(Protocol):
    """What time it is, twice: by the calendar (may jump), and as a count of seconds that only grows."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC: what is stored and what tokens are compared with."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start: what deadlines are made of."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since the machine's start."""
        return time.monotonic()


class LoopClock:
    """The running event loop's time, on a calendar that begins at `start_ms`: virtual where the loop's is."""

    def __init__(self, start_ms: int = 1_790_000_000_000) -> None:
        self._start_ms = start_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        return self._start_ms + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        """Seconds of the running loop."""
        return asyncio.get_running_loop().time()


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms, self._monotonic = now_ms, 0.0

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds that were let pass."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds


def as_datetime(ms: int) -> datetime:
    """Milliseconds since 1970 as an aware datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def maybe_datetime(ms: int | None) -> datetime | None:
    """Milliseconds since 1970 as an aware datetime, None as None."""
    return None if ms is None else as_datetime(ms)


def as_ms(moment: datetime) -> int:
    """An aware datetime as whole milliseconds since 1970: exact, which a float of seconds is not."""
    return (moment - _EPOCH) // _MS


def pause(seconds: float) -> None:
    """Block this thread: for programs without an event loop, such as the synchronous client."""
    time.sleep(seconds)
