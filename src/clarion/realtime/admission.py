"""Who may open a session: how many there may be, how many a second, of everybody and of one address; and how much one may send.

Rates are token buckets, each of which is one number, so that nothing runs in the background. What is kept by address is bounded:
an address without sessions is forgotten as soon as its bucket is full again, and earlier where very many come.
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from clarion.ids import Ids
from clarion.realtime.addresses import is_here, network
from clarion.realtime.transports.head import Networks, Refused, is_trusted
from clarion.settings import Limits


def spend(spent_until: float, now: float, rate: float, *, burst: float) -> tuple[float, float]:
    """Take one from a token bucket that holds `burst` and gains `rate` a second.

    The bucket is one number, the time at which it will be full again (GCRA, ITU-T I.371).

    Args:
        spent_until: That time; 0 for a full one.
        now: Seconds.
        rate: Tokens a second.
        burst: Tokens of a full bucket.

    Returns:
        The time afterwards, and how many seconds are to be waited: 0 if there was one to take.
    """
    spent_until = max(spent_until, now)
    wait_s = spent_until + 1 / rate - now - burst / rate
    if wait_s > ROUNDING_S:
        return spent_until, wait_s
    return spent_until + 1 / rate, 0.0


ROUNDING_S = 1e-6  # sums of floats miss by less

# Addresses whose bucket is remembered: about 2 MB. Whoever has more of them than that has no use for a bucket.
ADDRESSES: Final = 10_000
BURST_S: Final = 4  # of a session's bucket, at least


class Buckets:
    """A token bucket for each of many keys; twice the rate at once.

    Args:
        rate: Tokens a second; 0: any number.
        most: Buckets that are kept; the one that was used longest ago goes first.
    """

    def __init__(self, rate: float, most: int = ADDRESSES) -> None:
        self._rate, self._most = rate, most
        # The last used is last.
        self._spent: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._spent)

    def spend(self, key: str, now: float) -> float:
        """Take one; returns how many seconds are to be waited, 0 if there was one."""
        if not self._rate or not key:
            return 0.0
        before = self._spent.pop(key, 0.0)
        self._spent[key], wait_s = spend(before, now, self._rate, burst=2 * self._rate)
        # One comes at most, two may go: what is full again is gone soon.
        for _ in range(2):
            oldest, until = next(iter(self._spent.items()))
            if until <= now or len(self._spent) > self._most:
                del self._spent[oldest]
        return wait_s


class Admission:
    """The door of new sessions.

    Args:
        limits: `connections`, `handshakes_per_s`, `handshakes_per_address`, `sessions_per_address`, `refusals_per_address`.
        ids: Spreads when those who are refused come back.
        exempt: Networks of proxies: behind one address of theirs are many people. This machine's own is exempt too.
    """

    def __init__(self, limits: Limits, ids: Ids, exempt: Networks = ()) -> None:
        # Fixed at creation
        self._limits, self._ids = limits, ids
        # Changes while open. _sessions has no zeros.
        self._spent_until = 0.0
        self._sessions: dict[str, int] = {}
        self._handshakes = Buckets(limits.handshakes_per_address)
        self._refusals = Buckets(limits.refusals_per_address)
        self.exempt = exempt
        self.is_stopping = False

    def check(self, now: float, open_now: int, address: str = "") -> None:
        """Let one in.

        Args:
            now: Seconds.
            open_now: Sessions that are open.
            address: The client's; empty: none that could be counted.

        Raises:
            Refused: 503 where the server is at its limits, 429 where the address is; with Retry-After.
        """
        key = self.check_room(open_now, address)
        # First the address: one that floods must not take the node's tokens.
        if self._handshakes.spend(key, now):
            why = "too many new sessions of one address"
            raise self._refusal(429, why, "handshakes_per_address")
        per_s = self._limits.handshakes_per_s
        self._spent_until, wait_s = spend(self._spent_until, now, per_s, burst=2 * per_s)
        if wait_s:
            raise self._refusal(503, "too many new sessions at once", "handshakes_per_s")

    def check_room(self, open_now: int, address: str = "") -> str:
        """Whether there is room at all, whatever the rate; returns the address's key. Raises as `check`."""
        key, most = self.key(address), self._limits.sessions_per_address
        if self.is_stopping:
            raise self._refusal(503, "the server is stopping", "")
        if open_now >= self._limits.connections:
            raise self._refusal(503, "too many sessions", "connections")
        if key and 0 < most <= self._sessions.get(key, 0):
            raise self._refusal(429, "too many sessions of one address", "sessions_per_address")
        return key

    def entered(self, address: str) -> None:
        """A session has begun."""
        if key := self.key(address):
            self._sessions[key] = self._sessions.get(key, 0) + 1

    def left(self, address: str) -> None:
        """It has ended."""
        if key := self.key(address):
            count = self._sessions.get(key, 0) - 1
            if count > 0:
                self._sessions[key] = count
            else:
                self._sessions.pop(key, None)

    def delay_s(self, now: float, address: str) -> float:
        """A request of this address was wrong: how long to wait before it is told, so that who tries for ever tries slowly."""
        too_many = self._refusals.spend(self.key(address), now)
        return self._ids.uniform(1, 5) if too_many else 0.0

    def key(self, address: str) -> str:
        """Under which name an address is counted; empty: it is not counted."""
        if is_here(address) or (self.exempt and is_trusted(address, self.exempt)):
            return ""
        return network(address)

    def _refusal(self, status: int, why: str, limit: str) -> Refused:
        retry_s = round(self._ids.uniform(1, 10))
        told = f"{why} (limits.{limit})" if limit else why
        return Refused(status, told, retry_after_s=retry_s, limit=limit)


class Ingress(Struct, frozen=True):
    """How much one session may send: a bucket of bytes, in which each message counts as its size and a little more.

    A session holds its `credit`, takes off `size + message_bytes` with each message, and asks `refill` only when that runs below
    zero: the clock is not read on the way of a message. For that, one that was idle may send the burst twice.
    """

    rate: int
    """Bytes that are added a second; 0: there is no limit."""
    message_bytes: int
    """What a message counts for itself, so that `limits.packets_per_s` tiny ones use up the rate."""
    burst: int
    """Bytes of a full bucket."""

    @classmethod
    def of(cls, limits: Limits) -> "Ingress":
        """The bucket of `limits.bytes_per_s` and `packets_per_s`: 4 seconds' worth, no less than two packets with all attachments."""
        rate = limits.bytes_per_s
        message_bytes = rate // limits.packets_per_s if limits.packets_per_s else 0
        largest = (1 + limits.attachments) * (limits.max_payload_bytes + message_bytes)
        return cls(rate, message_bytes, max(BURST_S * rate, 2 * largest))

    def refill(self, credit: int, since: float, now: float) -> tuple[int, float]:
        """Add what has come since the last refill.

        Args:
            credit: What the session has left, below zero if it took too much.
            since: When this was done last, or the session began.
            now: Seconds.

        Returns:
            The credit afterwards, and for how long nothing should be read from this client: 0 if there is enough.
        """
        if not self.rate:
            return self.burst, 0.0
        credit = min(self.burst, credit + int((now - since) * self.rate))
        return credit, max(0.0, -credit / self.rate)
