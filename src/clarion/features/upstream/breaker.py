"""A circuit breaker: an application that is down is not asked by everybody; one call finds out whether it is back.

closed → (so many failures in a row) → open, for a while that doubles each time → half open: one call → closed, or open again.
Pure: time is an argument.
"""

from typing import Final

FAILURES: Final = 5
FIRST_S: Final = 1.0
LONGEST_S: Final = 30.0


class Breaker:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_S
        # Not None <=> open, or half open once that time has come
        self._open_until: float | None = None
        self._is_trying = False

    def is_open(self, now: float) -> bool:
        """Whether no call may be made now: a pause, or one call is finding out."""
        return self._open_until is not None and (now < self._open_until or self._is_trying)

    def allows(self, now: float) -> bool:
        """Whether a call may be made, which then is made; after a pause this says so to one."""
        if self._open_until is None:
            return True
        if self.is_open(now):
            return False
        self._is_trying = True
        return True

    def retry_after_s(self, now: float) -> float:
        """How long the pause still is."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now)

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures, self._pause_s = 0, FIRST_S
        self._open_until, self._is_trying = None, False

    def failed(self, now: float) -> None:
        """A call was not answered, or not with an answer."""
        self._failures += 1
        if self._is_trying:
            self._pause_s = min(2 * self._pause_s, LONGEST_S)
        elif self._open_until is not None or self._failures < FAILURES:
            return  # calls that were under way when it opened say nothing new
        self._open_until, self._is_trying = now + self._pause_s, False
