"""What one domain of recipients gets at a time: who sends faster than it likes is refused by it, then by others.

A message that must wait is given a time of its own, in the order of asking, and put back until then: it is not asked about again
and again, and keeps nobody else waiting.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels.base import NotYet
from clarion.telemetry import limit_exceeded

BOOKED: Final = 10_000  # messages with a time of their own, of one domain; later ones ask again
KEPT_S: Final = 600.0  # a time that nobody came at is forgotten after so long
BUSY_S: Final = 2.0


class _Domain:
    def __init__(self) -> None:
        self.in_hand = 0
        self.free_at = 0.0
        self.booked: dict[str, float] = {}


class Domains:
    """The domains that are sent to, as this process knows them.

    Args:
        clock: The time.
        ids: Jitter.
        rate: Messages a second to one of them; 0: no limit.
        concurrency: Messages under way to one of them; 0: no limit.
    """

    def __init__(self, clock: Clock, ids: Ids, *, rate: float, concurrency: int) -> None:
        self._clock, self._ids, self._rate, self._concurrency = clock, ids, rate, concurrency
        self._domains: dict[str, _Domain] = {}

    @contextmanager
    def turn(self, domain: str, id: str) -> Iterator[None]:
        """A message's turn.

        Raises:
            NotYet: It is not yet; says when.
        """
        found = self._domains.setdefault(domain, _Domain())
        try:
            self._take(found, domain, id)
            found.in_hand += 1
            try:
                yield
            finally:
                found.in_hand -= 1
        finally:
            if not found.in_hand and not found.booked and found.free_at <= self._clock.monotonic():
                self._domains.pop(domain, None)

    def _take(self, found: _Domain, domain: str, id: str) -> None:
        if self._concurrency and found.in_hand >= self._concurrency:
            limit_exceeded.labels("email.domain_concurrency").inc()
            raise NotYet(self._ids.uniform(BUSY_S / 2, BUSY_S), f"{domain} has its messages in hand")  # fmt: skip
        if not self._rate:
            return
        now = self._clock.monotonic()
        at = found.booked.get(id)
        if at is None:
            self._forget(found.booked, now - KEPT_S)
            at = max(found.free_at, now)
            if at <= now or len(found.booked) < BOOKED:
                found.free_at = at + 1 / self._rate
                found.booked[id] = at
        if at <= now:
            del found.booked[id]
            return
        limit_exceeded.labels("email.domain_rate").inc()
        raise NotYet(at - now, f"{domain} gets {self._rate:g} messages a second")

    @staticmethod
    def _forget(booked: dict[str, float], before: float) -> None:
        """Those who did not come when it was their turn; times are given in their order, so the earliest stands first."""
        while booked and booked[first := next(iter(booked))] <= before:
            del booked[first]
