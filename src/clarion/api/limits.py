"""How often a door may be used: each declares its limit as data, and one table of buckets counts callers.

    PerCaller()                 limits.api_requests in limits.api_window_s, by caller, or by address where nobody is signed in
    PerItem("publications", 100)  the same, and one call more for each hundred items of a list in the body
    PerAccount("username")      the same by address, and limits.login_tries a minute for the account that the body names
    Unlimited(reason="…")       never refused; the reason is for the reviewer

A bucket is one number, the time at which it is full again (GCRA, ITU-T I.371 in the form of a clock): a caller who comes when
that lies a window or more ahead is too early. Nobody is exempt for where they come from; the local socket does not come here.
"""

import math
from collections.abc import Hashable, Iterator, Mapping

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import RateLimited, UndeclaredRight
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded

# A bucket costs about 250 bytes. Idle ones are dropped as time goes by, beyond this many also the longest unused.
MOST_BUCKETS = 50_000
LOGIN_WINDOW_S = 60.0


class PerCaller(Struct, frozen=True):
    """Every caller, or every address where nobody is signed in, alike."""


class PerAccount(Struct, frozen=True):
    """Every address alike, and less often for one account from one address; `field` of the body names the account."""

    field: str


class PerItem(Struct, frozen=True):
    """Every caller alike, by how much they ask for: one call, and one more for each `each` items of the body's list `field`."""

    field: str
    each: int


class Unlimited(Struct, frozen=True):
    """Never refused, because of `reason`."""

    reason: str


Limit = PerCaller | PerItem | PerAccount | Unlimited


def declared(door: str, limit: object) -> Limit:
    """The limit as a declaration, or the reason why nothing starts.

    Raises:
        UndeclaredRight: It is not a declaration, or `Unlimited` without a reason.
    """
    if not isinstance(limit, Limit):
        raise UndeclaredRight(
            f"{door} does not declare how often it may be used (PerCaller, PerItem, PerAccount, Unlimited)"
        )
    if isinstance(limit, Unlimited) and not limit.reason:
        raise UndeclaredRight(f"{door} is unlimited without a reason")
    return limit


class Buckets:
    """The buckets of one limit.

    Args:
        name: As in the settings; names the breach in answers and metrics.
        quantity: Calls that may come at once; as many flow back in a window.
        window_s: The window.
        clock: Monotonic time.
    """

    def __init__(self, name: str, quantity: int, window_s: float, clock: Clock) -> None:
        # Fixed at creation
        self.name = name
        self._quantity = quantity
        self._window_s = window_s
        self._interval_s = window_s / quantity
        self._clock = clock
        self._policy = f'"{name}";q={quantity};w={math.ceil(window_s)}'
        # Who → when their bucket is full again (monotonic s), in the order of last use.
        self._full_at: dict[Hashable, float] = {}
        # Who → calls that other processes do not know of yet; None: there are none.
        self._spent: dict[Hashable, int] | None = None

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, who: Hashable, calls: int = 1) -> Mapping[str, str]:
        """Count one call, or one that is worth several; never more than a full bucket holds.

        Returns:
            Headers that say what is left (draft-ietf-httpapi-ratelimit-headers-10): `RateLimit` and `RateLimit-Policy`.

        Raises:
            RateLimited: Too early; `retry_after` says when it fits.
        """
        now = self._clock.monotonic()
        cost_s = min(calls, self._quantity) * self._interval_s
        full_at = max(self._full_at.pop(who, now), now) + cost_s
        # A hair of tolerance: sums of intervals must not lose the last call of a window to rounding.
        over_s = full_at - now - self._window_s
        if over_s > 1e-9 * self._window_s:
            self._full_at[who] = full_at - cost_s
            limit_exceeded.labels(self.name).inc()
            raise RateLimited(
                f"more than limits.{self.name} allows; try again in {_seconds(over_s)} s",
                retry_after_s=_seconds(over_s),
                limit=self.name,
            )
        self._full_at[who] = full_at
        if self._spent is not None:
            self._spent[who] = self._spent.get(who, 0) + min(calls, self._quantity)
        self._forget(now)
        left = int((self._window_s - (full_at - now)) / self._interval_s + 1e-9)
        state = f'"{self.name}";r={left};t={math.ceil(full_at - now)}'
        return {"ratelimit": state, "ratelimit-policy": self._policy}

    def share(self) -> None:
        """Note from now on what other processes are to be told."""
        self._spent = {}

    def spent(self, most: int) -> list[tuple[Hashable, int]]:
        """Who has made how many calls since the last time, the busiest of them; who has made less than a hundredth of the limit is kept for the next."""
        if not self._spent:
            return []
        least = self._quantity / 100
        told = [each for each in self._spent.items() if each[1] >= least]
        told = sorted(told, key=lambda each: -each[1])[:most]
        for who, _ in told:
            del self._spent[who]
        while len(self._spent) > MOST_BUCKETS:
            del self._spent[next(iter(self._spent))]
        return told

    def add(self, who: Hashable, calls: int) -> None:
        """Count calls that another process has let in. At worst the bucket is empty then: who was told to come at a time may."""
        now = self._clock.monotonic()
        full_at = max(self._full_at.pop(who, now), now) + calls * self._interval_s
        self._full_at[who] = min(full_at, now + self._window_s)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """A full bucket says nothing that its absence would not."""
        while self._full_at:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= MOST_BUCKETS:
                return
            del self._full_at[oldest]


class RateLimits:
    """The buckets of all limits.

    Args:
        limits: `api_requests`, `api_window_s`, `login_tries`.
        clock: Monotonic time.
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.calls = Buckets("api_requests", limits.api_requests, limits.api_window_s, clock)
        self.logins = Buckets("login_tries", limits.login_tries, LOGIN_WINDOW_S, clock)

    def __iter__(self) -> Iterator[Buckets]:
        return iter((self.calls, self.logins))


def _seconds(delay: float) -> float:
    """Rounded up to what a person would say, never to nothing."""
    return math.ceil(delay) if delay > 1 else math.ceil(delay * 1000) / 1000
