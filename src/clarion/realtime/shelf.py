"""What one server keeps for clients that may come back: events and sockets, bounded in number, bytes and time.

One timer serves all of it. What a limit drops before its time is counted by the limit's name.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from msgspec import Struct

from clarion.ids import Ids
from clarion.protocol.session import Timing
from clarion.realtime.heartbeat import Timed, Wheel
from clarion.realtime.history import History, Stays
from clarion.realtime.transports.base import Prepared
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded, recovery_kept

SWEEP_S: Final = 1.0  # at least, between two looks for what is too old

# What an event costs beside its frames and their text: Prepared, Entry, their lists and numbers (measured: 350).
ENTRY_BYTES: Final = 400


class Recoverable(Struct):
    """What a socket carries so that its client may come back to it."""

    asked: tuple[Any, Any] | None
    """Who its client says that it was, and where: `pid` and `offset` as they came. None: it is new, or was heard already."""
    pid: str = ""
    """The client's name for this socket; empty until it is connected."""
    stays: Stays | None = None
    """The rooms that it was in; None until it is connected."""
    recovered: bool = False


class Client(Protocol):
    """What recovery needs of a socket."""

    user: str | None
    user_room: str | None
    principal: Any
    recoverable: Recoverable | None

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """The application's own."""
        ...

    def superseded(self) -> None:
        """Its client is back on another connection: end this one now."""
        ...


class Expired(Struct, frozen=True):
    """A socket to which nobody can come back any more: what `recovery_expired` handlers get."""

    id: str
    user: str | None
    rooms: tuple[str, ...]
    data: dict[str, Any]
    why: str
    """`time`; `limit`, others needed the place; `disconnect`, it was put out while it was away; `too_many`, its user has come with others; or an
    `Outcome`, its client came in vain."""


class Parked(Struct):
    """A socket whose client is away."""

    id: str
    user: str | None
    user_room: str | None
    principal: Any
    data: dict[str, Any]
    pid: str
    stays: Stays
    left_at: float
    history: History[Prepared]
    on_lost: Callable[[Expired], None]

    def join(self, room: str) -> None:
        """It is put into a room: from now on it misses what is sent there."""
        self.stays.join(room, self.history.top)

    def leave(self, room: str) -> None:
        """It is taken out of a room."""
        self.stays.leave(room, self.history.top, self.history.first)

    def lost(self, why: str) -> None:
        """Tell that nobody can come back to it."""
        self.on_lost(Expired(self.id, self.user, self.stays.rooms, self.data, why))


class Shelf(Timed):
    """What one server keeps for clients that may come back.

    Args:
        seconds: How long a client may be away.
        limits: `recovery_events`, `recovery_bytes`, `recovery_sockets`, `egress_hard_bytes`.
        timing: The heartbeat's.
        wheel: The server's timer.
        ids: Makes `pid`s, and names of histories.
        skips_middlewares: Whether who can be recovered need not pass the middlewares, as by default in Node.
    """

    __slots__ = (
        "_bytes", "_histories", "_order", "_parked", "certain_s", "ids", "is_stopping", "limits", "live", "seconds",
        "skips_middlewares", "wheel",
    )  # fmt: skip

    def __init__(
        self,
        seconds: float,
        limits: Limits,
        timing: Timing,
        wheel: Wheel,
        ids: Ids,
        *,
        skips_middlewares: bool = False,
    ) -> None:
        super().__init__()
        # Fixed at creation
        self.seconds, self.limits, self.wheel, self.ids = seconds, limits, wheel, ids
        self.skips_middlewares = skips_middlewares
        # A session ends at most so long after the last ping that was answered was sent: an interval, twice the time for a pong for each of
        # two (it may be restarted once), and the wheel's rounding. What was sent before that ping has arrived.
        self.certain_s = timing.ping_interval_s + 4 * timing.ping_timeout_s + 1.0
        # By namespace. A history lives as long as its namespace, one of its events or one of its parked sockets.
        self._histories: WeakValueDictionary[str, History[Prepared]] = WeakValueDictionary()
        # Changes all the time; whose event each is, oldest first, and who is away, by pid, who left first being first
        self._order: deque[History[Prepared]] = deque()
        self._bytes = 0
        self._parked: dict[str, Parked] = {}
        self.live: dict[str, tuple[History[Prepared], Client]] = {}
        """Connected sockets by `pid`."""
        self.is_stopping = False

    # ── events ──
    def history(self, namespace: str) -> History[Prepared]:
        """The history of a namespace."""
        found = self._histories.get(namespace)
        if found is None:
            found = self._histories[namespace] = History(self.ids.epoch())
        return found

    def keep(
        self,
        history: History[Prepared],
        rooms: tuple[str, ...],
        excluded: tuple[str, ...],
        item: Prepared,
    ) -> None:
        """Keep an event that is being sent."""
        now, limits = self.wheel.now(), self.limits
        history.append(now, rooms, excluded, item)
        self._order.append(history)
        self._count(1, _cost(item))
        if len(self._order) > limits.recovery_events:
            limit_exceeded.labels("recovery_events").inc()
            self._drop_oldest()
        if self._bytes > limits.recovery_bytes:
            limit_exceeded.labels("recovery_bytes").inc()
            while self._bytes > limits.recovery_bytes:
                self._drop_oldest()
        self._watch(now)

    def _drop_oldest(self) -> None:
        item = self._order.popleft().drop_oldest()
        self._count(-1, -_cost(item))

    def _count(self, events: int, size: int) -> None:
        self._bytes += size
        _kept_events.inc(events)
        _kept_bytes.inc(size)

    # ── sockets ──
    def park(self, parked: Parked) -> None:
        """Keep a socket whose client is away."""
        if self.is_stopping:
            return  # there is nothing to come back to
        self._parked[parked.pid] = parked
        _kept_sockets.inc()
        if len(self._parked) > self.limits.recovery_sockets:
            limit_exceeded.labels("recovery_sockets").inc()
            self.lose(next(iter(self._parked.values())), "limit")
        self._watch(parked.left_at)

    def find(self, pid: str) -> Parked | None:
        """Who is away by this `pid`."""
        parked = self._parked.get(pid)
        if parked is not None and self._is_late(parked, self.wheel.now()):
            self.lose(parked, "time")
            return None
        return parked

    def who(self, pid: str) -> tuple[History[Prepared], str | None, Client | None] | None:
        """Where somebody of this `pid` was, whose room that was, and the socket if it is still connected."""
        living = self.live.get(pid)
        if living is not None:
            history, client = living
            return history, client.user_room, client
        parked = self.find(pid)
        return None if parked is None else (parked.history, parked.user_room, None)

    def take(self, parked: Parked) -> None:
        """Keep it no more: its client is back, or it is lost."""
        del self._parked[parked.pid]
        _kept_sockets.dec()

    def parked(self) -> Iterator[Parked]:
        """Everybody who is away, who left first first."""
        return iter(self._parked.values())

    def lose(self, parked: Parked, why: str) -> None:
        """Keep it no more, and tell so."""
        self.take(parked)
        parked.lost(why)

    # ── time ──
    def on_time(self, now: float) -> float | None:
        """Something may be too old. An event must be kept for a client that left just now and has not had it, see `certain_s`."""
        until = now - self.seconds - self.certain_s
        while self._order and self._order[0].oldest.at <= until:
            self._drop_oldest()
        while (parked := next(self.parked(), None)) is not None and self._is_late(parked, now):
            self.lose(parked, "time")
        times = [parked.left_at + self.seconds] if parked is not None else []
        if self._order:
            times.append(self._order[0].oldest.at + self.seconds + self.certain_s)
        return max(min(times), now + SWEEP_S) if times else None

    def _is_late(self, parked: Parked, now: float) -> bool:
        return parked.left_at + self.seconds <= now

    def _watch(self, now: float) -> None:
        if not self.bucket:
            self.wheel.set(self, now + min(self.seconds, SWEEP_S))

    def close(self) -> None:
        """Forget everything; nobody is told."""
        while self._order:
            self._drop_oldest()
        for parked in list(self.parked()):
            self.take(parked)
        self.live.clear()


def _cost(item: Prepared) -> int:
    # Frames for WebSockets, and the text for polling.
    return 2 * item.size + ENTRY_BYTES


_kept_events, _kept_bytes, _kept_sockets = map(recovery_kept.labels, ("events", "bytes", "sockets"))
