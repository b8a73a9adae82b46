"""Breaker and bucket: whether a provider may be asked now. Pure: the time is an argument (monotonic seconds).

The breaker leaves a provider alone that has failed several times in a row, longer each time, and then lets one message find out
whether it is back. The bucket holds to a rate. Source: Nygard, "Release It!" (circuit breaker); the token bucket of RFC 2697.
"""

from typing import Final, Literal

State = Literal["closed", "open", "half-open"]
GROWTH: Final = 2.0
PAUSE_CAP_S: Final = 3_600.0  # whatever a provider says in Retry-After


class Breaker:
    """Opens after so many failures in a row.

    Args:
        failures: How many.
        open_s: For how long at first (s); twice as long after each probe that fails.
        most_s: At most for so long (s).
    """

    def __init__(self, failures: int, open_s: float, most_s: float) -> None:
        self._limit, self._first_s, self._most_s = failures, open_s, most_s
        self.failures = 0
        """In a row."""
        self._opened = 0  # times in a row
        self._until: float | None = None  # None: closed
        self._paused_until = 0.0
        self._is_probing = False

    def state(self, now: float) -> State:
        """As it is called."""
        if self._until is None:
            return "closed"
        return "open" if now < self._until or self._is_probing else "half-open"

    def wait_s(self, now: float) -> float:
        """How long nobody may ask the provider; 0: ask. Infinite while another finds out whether it is back."""
        paused_s = max(0.0, self._paused_until - now)
        if self._until is None:
            return paused_s
        return float("inf") if self._is_probing else max(paused_s, self._until - now, 0.0)

    def begin(self) -> None:
        """Somebody asks it."""
        self._is_probing = self._until is not None

    def worked(self) -> None:
        """It answered, be it with a no to the message."""
        self.failures = self._opened = 0
        self._until, self._is_probing = None, False

    def failed(self, now: float, retry_after_s: float | None, jitter: float) -> None:
        """It failed; `retry_after_s` if it said when it may be asked again, `jitter` between 0 and 1."""
        self.failures += 1
        if retry_after_s is not None:
            self._paused_until = max(
                self._paused_until, now + min(max(0.0, retry_after_s), PAUSE_CAP_S)
            )
        was_open, was_probe = self._until is not None, self._is_probing
        if self.failures < self._limit and not was_open:
            return
        if was_open and not was_probe:
            return  # asked before it opened, answered after
        span_s = min(self._most_s, self._first_s * GROWTH ** min(self._opened, 30))
        # Up to a quarter less, so that processes that saw the same failure do not return together.
        self._until = now + span_s * (1 - jitter / 4)
        self._opened += 1
        self._is_probing = False

    def gave_up(self) -> None:
        """Nobody knows how it would have answered: whoever asked was stopped."""
        self._is_probing = False


class Bucket:
    """Holds to a rate.

    Args:
        rate: A second; None: as many as come.
        burst: So many at once after a pause.
    """

    def __init__(self, rate: float | None, burst: float) -> None:
        self._rate, self._burst = rate, max(1.0, burst)
        self._tokens, self._at = self._burst, 0.0

    def available(self, now: float) -> float:
        """How many may go now."""
        if self._rate is None:
            return float("inf")
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        return self._tokens

    def wait_s(self, now: float) -> float:
        """How long until one may go; 0: now."""
        missing = 1 - self.available(now)
        return 0.0 if missing <= 1e-9 or self._rate is None else missing / self._rate

    def take(self) -> None:
        """One goes."""
        if self._rate is not None:
            self._tokens -= 1
