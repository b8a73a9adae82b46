"""What a credential opened ends with it: connections are listed here under who came in, and closed at expiry or revocation.

One timer serves all of them: it sleeps until the next credential expires.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from clarion.auth.principal import Principal, Revoked
from clarion.clock import Clock
from clarion.errors import Blocked, ClarionError, TokenExpired, Unauthenticated
from clarion.telemetry import Tasks, get_logger

_log = get_logger(__name__)

Close = Callable[[ClarionError], None]
"""Ends a connection; called at most once, with the reason."""

# A jump of the calendar is noticed at the latest after this.
LONGEST_SLEEP_S = 5.0


class Opened:
    """Live connections by the credential that opened them.

    Args:
        clock: Expiry is calendar time, as in the token.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Invariant: a ticket is in _entries <=> its connection is open and was not told to close.
        self._entries: dict[int, tuple[Principal, Close]] = {}
        self._tickets: dict[tuple[str, str, str], dict[int, None]] = {}
        self._expiries: list[tuple[int, int]] = []
        self._serial = itertools.count(1)
        self._sooner = asyncio.Event()
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to watch the clock."""
        self._tasks.spawn_forever(self._watch, name="credentials: expiry")

    async def close(self) -> None:
        """Watch no more."""
        await self._tasks.close()

    def add(self, principal: Principal, close: Close) -> int:
        """List a connection; returns the ticket for `remove`."""
        ticket = next(self._serial)
        self._entries[ticket] = principal, close
        self._tickets.setdefault(principal.key, {})[ticket] = None
        if principal.expires_ms is not None:
            heapq.heappush(self._expiries, (principal.expires_ms, ticket))
            if self._expiries[0][1] == ticket:
                self._sooner.set()
        return ticket

    def remove(self, ticket: int) -> None:
        """The connection has ended by itself; a second call does nothing."""
        entry = self._entries.pop(ticket, None)
        if entry is None:
            return
        key = entry[0].key
        del self._tickets[key][ticket]
        if not self._tickets[key]:
            del self._tickets[key]
        # The heap keeps the ticket until it would have expired; more than half of them dead, it is made anew.
        if len(self._expiries) > 2 * len(self._entries) + 64:
            self._expiries = [item for item in self._expiries if item[1] in self._entries]
            heapq.heapify(self._expiries)

    def revoked(self, revoked: Revoked) -> None:
        """End what a login, a key or a user who is blocked opened."""
        for ticket in list(self._tickets.get((revoked.tenant, revoked.kind, revoked.id), ())):
            if revoked.ends(self._entries[ticket][0]):
                self._end(ticket, Blocked() if revoked.is_blocked else _ended())

    def principals(self, kind: str) -> list[Principal]:
        """Who has something open: users, or keys."""
        return [who for who, _ in self._entries.values() if who.kind == kind]

    def expire(self) -> None:
        """End what has expired by now."""
        now_ms = self._clock.now_ms()
        while self._expiries and self._expiries[0][0] <= now_ms:
            self._end(heapq.heappop(self._expiries)[1], TokenExpired())

    def _end(self, ticket: int, why: ClarionError) -> None:
        entry = self._entries.get(ticket)
        self.remove(ticket)
        if entry is None:
            return
        try:
            entry[1](why)
        except Exception:  # noqa: BLE001  logged; one that cannot be closed must not keep the others open
            _log.exception("a connection whose credential has ended could not be closed")

    async def _watch(self) -> None:
        while True:
            self.expire()
            wait_s = LONGEST_SLEEP_S
            if self._expiries:
                due_s = (self._expiries[0][0] - self._clock.now_ms()) / 1000
                wait_s = min(max(due_s, 0.01), LONGEST_SLEEP_S)
            self._sooner.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()
            except TimeoutError:
                continue


def _ended() -> Unauthenticated:
    return Unauthenticated("this login or API key has ended")
