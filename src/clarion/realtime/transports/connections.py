"""All connections of a process, and the one timer that ends those that have stopped moving.

HTTP connections are looked at every second; a WebSocket only while it is closing or its peer takes nothing, so that ten
thousand idle ones cost nothing. A timer object for each would cost memory and a heap.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from clarion.clock import Clock
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded

_log = get_logger(__name__)

SWEEP_S = 1.0
REFUSED_AT_ONCE = 50  # that are held until they have read why: half of `ports.RESERVED_FILES`
SAY_S = 60.0  # between two lines of the log about refusals


class Connection(Protocol):
    """What is needed of a connection here."""

    def sweep(self, now: float) -> None:
        """End it if it is late; `now` is the clock's monotonic time."""
        ...

    def abort(self) -> None:
        """Cut it off at once."""
        ...


class Connections:
    """Open connections of any kind, and which of them have a deadline.

    Args:
        limits: Sizes and deadlines that all of them share.
        clock: What deadlines are measured with.
        capacity: How many may be open; by default `limits.connections`.
    """

    def __init__(self, limits: Limits, clock: Clock, capacity: int | None = None) -> None:
        # Fixed at creation
        self.limits, self.now = limits, clock.monotonic
        self.capacity = limits.connections if capacity is None else capacity
        # Changes while open. Invariant: each of _watched is in _open. Dicts, because a set has no order to replay.
        self._open: dict[Connection, None] = {}
        self._watched: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.is_stopping = False  # nobody is kept for another request
        self._say_again = 0.0
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    @property
    def is_full(self) -> bool:
        """Whether more are open than may be."""
        return len(self._open) > self.capacity

    @property
    def is_overrun(self) -> bool:
        """Whether even those that are being refused are too many: another one is cut off without a word."""
        return len(self._open) > self.capacity + REFUSED_AT_ONCE

    def note_refusal(self) -> None:
        """One was refused because this is full: counted, and said once a minute."""
        limit_exceeded.labels("connections").inc()
        if (now := self.now()) >= self._say_again:
            self._say_again = now + SAY_S
            is_ours = self.capacity >= self.limits.connections
            why = "limits.connections" if is_ours else "the limit on open files (ulimit -n)"
            _log.warning("connections are refused: no room", capacity=self.capacity, limit=why)

    def add(self, connection: Connection) -> None:
        """Count a connection."""
        self._open[connection] = None
        self._empty.clear()

    def watch(self, connection: Connection) -> None:
        """Sweep a connection every second, until `unwatch` or its end."""
        if connection in self._open:
            self._watched[connection] = None
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def unwatch(self, connection: Connection) -> None:
        """Leave a connection in peace."""
        self._watched.pop(connection, None)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended, or has become another."""
        self._watched.pop(connection, None)
        self._open.pop(connection, None)
        if not self._open:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Return once none is open."""
        await self._empty.wait()

    def abort_all(self) -> None:
        """Cut all of them off."""
        for connection in self:
            connection.abort()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep_one(self, connection: Connection, now: float) -> None:
        try:
            connection.sweep(now)
        except Exception:  # noqa: BLE001  a bug of one must not leave the others without their deadlines
            _log.exception("a connection is cut off: its deadlines cannot be looked at")
            self.unwatch(connection)
            connection.abort()

    def _sweep(self) -> None:
        self._timer = None
        now = self.now()
        for connection in tuple(self._watched):
            if connection in self._watched:  # or the end of another was its end too
                self._sweep_one(connection, now)
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
