"""Bounded egress of one session.

What is sent in one turn of the loop waits for its end and leaves in one write (`push`); of a broadcast the first message goes
straight on (`push_straight`, the one call per recipient). While the peer does not read, all wait until it does. Past the soft mark
volatile events are dropped, past the hard mark the session is closed with 3008 (slow). Nothing here knows rooms or topics.
"""

import asyncio
from enum import Enum
from threading import get_ident
from typing import Final, Protocol

from clarion.errors import UsageError
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.transports.base import Prepared, Transport
from clarion.telemetry import egress_dropped, get_logger, limit_exceeded

log = get_logger(__name__)


class Sent(Enum):
    """What became of something that was emitted to one client."""

    NOW = "sent"
    """It leaves with this turn of the loop."""
    QUEUED = "queued"
    """It waits for the peer to read, or to poll."""
    DROPPED = "dropped"
    """Volatile, and the peer is behind."""
    REFUSED = "refused"
    """The client is gone, or is being closed because it is too slow."""


_NOW, _QUEUED, _REFUSED = Sent.NOW, Sent.QUEUED, Sent.REFUSED
_POLLING = Kind.POLLING

# What `_debt` is made once nothing more may be sent, so that `push` needs one comparison: far above any mark. What still
# leaves is taken off it, so that it is recognised by its size.
_SHUT: Final = 1 << 62
_IS_SHUT: Final = 1 << 61


class Owner(Protocol):
    """Whose egress it is."""

    def overflowed(self, waiting: int) -> None:
        """More than the hard mark waits: end the session, but not before the loop's next turn."""
        ...


class Flusher:
    """The turns of the loop, and which egresses have something left at the end of this one. One a server.

    Args:
        soft_bytes: Above it volatile events are dropped.
        hard_bytes: Above it a session is closed.
    """

    __slots__ = ("dirty", "hard", "is_scheduled", "loop", "soft", "thread", "turn")

    def __init__(self, soft_bytes: int, hard_bytes: int) -> None:
        # Fixed at creation
        self.soft, self.hard = soft_bytes, hard_bytes
        # The server's, known from the first turn on
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = 0
        # Changes with each turn in which something is sent
        self.turn = 0
        self.is_scheduled = False
        self.dirty: list[Egress] = []

    def schedule(self) -> None:
        """End the turn when the loop does.

        Raises:
            UsageError: Another thread sends than the loop's. It would change rooms and queues under the loop's hands, and leave
                whenever that wakes. Here that is noticed once a turn, which costs nothing.
        """
        if self.loop is None:
            self.loop, self.thread = asyncio.get_running_loop(), get_ident()
        elif get_ident() != self.thread:
            raise UsageError(
                "sent from another thread than the event loop's: use loop.call_soon_threadsafe(io.emit, …), or make the view"
                " `async def`"
            )
        self.is_scheduled = True
        self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """End the turn: send what waits."""
        self.turn += 1
        self.is_scheduled = False
        dirty, self.dirty = self.dirty, []
        for egress in dirty:
            try:
                egress.flush()
            except Exception:
                log.exception("a session could not be sent what waits")


class Egress:
    """What one session still has to send. Does not know by which transport until it is given one."""

    __slots__ = ("_debt", "_first", "_flusher", "_owner", "_rest", "_stuck", "_transport", "_turn")

    def __init__(self, owner: Owner, flusher: Flusher, transport: Transport) -> None:
        # Fixed at creation
        self._flusher = flusher
        # Until the end: session and egress would otherwise keep each other until the garbage is collected
        self._owner: Owner | None = owner
        # Changes with an upgrade
        self._transport = transport
        # Changes while open. The first of the queue has its own place: nearly always it is alone, and needs no list.
        # Invariant: _rest is not empty  =>  _first is not None. _debt = sizes of the queue + _stuck, unless shut.
        self._first: Prepared | None = None
        self._rest: list[Prepared] | None = None
        self._debt = 0
        self._turn = -1  # in which it sent last
        self._stuck = 0  # bytes in the transport when it became full; 0 while it is not

    @property
    def waiting(self) -> int:
        """Bytes that are not on their way yet."""
        return 0 if self._debt >= _IS_SHUT else self._debt

    @property
    def is_past_soft(self) -> bool:
        """Whether more waits than the soft mark."""
        return _IS_SHUT > self._debt > self._flusher.soft < self._fresh_debt()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued."""
        return self._first is None

    def push(self, item: Prepared) -> Sent:
        """Send something behind all that was sent before, with the end of the loop's turn.

        An answer that is written while a hundred other clients still wait to be read wakes its receiver for one message; written
        behind each other they cost half as much: 45,000 acks/s became 67,000 (benchmarks, `ack`).
        """
        debt = self._debt + item.size
        flusher = self._flusher
        if debt > flusher.hard:
            if not self._fits(item):
                return _REFUSED
            debt = self._debt + item.size
        if self._first is None:
            if not flusher.is_scheduled:
                flusher.schedule()
            self._first = item
            flusher.dirty.append(self)
        elif self._rest is None:
            self._rest = [item]
        else:
            self._rest.append(item)
        self._debt = debt
        return _NOW if self._transport.is_writable else _QUEUED

    def push_straight(self, item: Prepared) -> Sent:
        """As `push`, but the first message of a turn does not wait for its end: for what goes to many.

        One pass over a room instead of two, of which the second finds nothing in the processor's cache: -7 % for 10,000 sockets
        (benchmarks, `broadcast`). A burst costs a second write for it, however long it is. Not on polling: a GET is answered
        only once, and all that is sent in a turn should be in that.
        """
        flusher = self._flusher
        if self._first is not None or self._turn == flusher.turn:
            return self.push(item)
        direct = self._transport.direct
        if direct is None or self._debt + item.size > flusher.hard:
            return self.push(item)
        if not flusher.is_scheduled:
            flusher.schedule()
        self._turn = flusher.turn
        try:
            direct(item.frames)
        except RuntimeError:
            self._transport.write(item)  # which knows what that means
        return _NOW

    def push_volatile(self, item: Prepared) -> Sent:
        """Send something that is worth nothing later: dropped above the soft mark, and on polling while no GET is held."""
        debt = self._debt + item.size
        if debt >= _IS_SHUT:
            return Sent.REFUSED
        transport = self._transport
        if debt > self._flusher.soft and self._fresh_debt() + item.size > self._flusher.soft:
            _dropped_slow.inc()
            return Sent.DROPPED
        if not transport.is_writable and transport.kind is _POLLING:
            _dropped_polling.inc()
            return Sent.DROPPED
        return self.push(item)

    def flush(self) -> None:
        """Give the transport what it takes now."""
        first, rest = self._first, self._rest
        if first is None or not self._transport.is_writable:
            return
        if rest is not None:
            self._flush_many([first, *rest])
            return
        self._first = None
        self._debt -= first.size
        direct = self._transport.direct
        if direct is None:
            self._transport.write(first)
            return
        try:
            direct(first.frames)
        except RuntimeError:
            self._transport.write(first)

    def _flush_many(self, queue: list[Prepared]) -> None:
        self._first = self._rest = None
        while queue and self._transport.is_writable:
            taken = self._transport.write_many(queue)
            self._debt -= sum(item.size for item in queue[:taken])
            del queue[:taken]
        if queue:
            self._first, self._rest = queue[0], queue[1:] or None

    # ── the transport's state ──
    def attach(self, transport: Transport) -> None:
        """Send by this transport from now on; what waits goes there."""
        self.resumed()
        self._transport = transport
        self.flush()

    def full(self) -> None:
        """The transport takes no more for now."""
        stuck = self._transport.buffered()
        self._debt += stuck - self._stuck
        self._stuck = stuck

    def resumed(self) -> None:
        """The transport takes more."""
        self._debt -= self._stuck
        self._stuck = 0

    # ── the end ──
    def finish(self, *, keep: bool) -> None:
        """Take nothing more. What waits leaves now, full transport or not, unless it must be fetched.

        Args:
            keep: Where it must be fetched and nobody does at the moment: keep it for who will.
        """
        self.flush()
        if self._transport.kind is Kind.WEBSOCKET:
            for item in [*filter(None, (self._first,)), *(self._rest or ())]:
                self._transport.write(item)
            keep = False
        self._shut(drop=not keep)

    def _shut(self, *, drop: bool) -> None:
        self._debt, self._stuck, self._owner = _SHUT, 0, None
        if drop:
            self._first = self._rest = None

    def _fresh_debt(self) -> int:
        """What waits, with a fresh look at what the transport still holds."""
        if self._stuck:
            self.full()
        return self._debt

    def _fits(self, item: Prepared) -> bool:
        """Whether something still fits although it looks like too much; if not, the session's end is on its way."""
        if self._debt >= _IS_SHUT:
            return False
        # Much was sent in one turn: whoever reads must get the chance to, before being called slow.
        self.flush()
        debt = self._fresh_debt() + item.size
        if debt <= self._flusher.hard:
            return True
        limit_exceeded.labels("egress_hard_bytes").inc()
        _dropped_overflow.inc()
        if self._owner is not None:
            # Not now: whoever is sending may be walking over the room that this session would leave.
            loop = self._flusher.loop or asyncio.get_running_loop()
            loop.call_soon(self._owner.overflowed, debt)
        self._shut(drop=True)
        return False


_dropped_slow = egress_dropped.labels("slow")
_dropped_polling = egress_dropped.labels("polling")
_dropped_overflow = egress_dropped.labels("overflow")
