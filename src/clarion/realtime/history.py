"""What was sent in a namespace, by number, and what of it a socket was meant to get: the core of connection state recovery.

Events are numbered from 1. An event's number, with the name of the history (its epoch), is the offset that travels with it as its last
argument; a client that comes back says the last one that it has seen. Which rooms a socket was in is known by numbers, too, so that
what it missed is exactly what a socket that never left would have got, also where it joined or left rooms in between.

Pure: no clock, no sockets. Source: Socket.IO, "Connection state recovery"; where Node asks for the rooms at the end alone, see `Stays`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct


class Sized(Protocol):
    """Something that was sent."""

    @property
    def size(self) -> int:
        """Bytes that it takes of a session's egress."""
        ...


T = TypeVar("T", bound=Sized)


class Entry(Struct, Generic[T], frozen=True):
    """One event: when it was sent, to whom (see `hub.Selection`), and what."""

    number: int
    at: float
    rooms: tuple[str, ...]
    excluded: tuple[str, ...]
    item: T


class History(Generic[T]):
    """The last events of a namespace; whoever appends also sees to the bounds, with `drop_oldest`.

    Args:
        epoch: Names this history among all others.
    """

    __slots__ = ("__weakref__", "_entries", "dropped_at", "epoch", "top")

    def __init__(self, epoch: str) -> None:
        self.epoch: Final = epoch
        self.top = 0
        """Number of the newest event; 0: there was none."""
        self.dropped_at = float("-inf")
        """When the newest of the events that are gone was sent."""
        self._entries: deque[Entry[T]] = deque()

    @property
    def first(self) -> int:
        """Number of the oldest event that is kept; one more than `top` where none is."""
        return self.top - len(self._entries) + 1

    @property
    def oldest(self) -> Entry[T]:
        """The oldest event that is kept; there must be one."""
        return self._entries[0]

    def offset(self, *, is_next: bool) -> str:
        """The offset of the next event, or of the newest: for one that is not kept, so that it cannot spoil what a client remembers."""
        return f"{self.epoch}.{self.top + is_next}"

    def append(self, at: float, rooms: tuple[str, ...], excluded: tuple[str, ...], item: T) -> None:
        """Keep an event, which travels with `offset(is_next=True)`."""
        self.top += 1
        self._entries.append(Entry(self.top, at, rooms, excluded, item))

    def drop_oldest(self) -> T:
        """Forget the oldest event."""
        entry = self._entries.popleft()
        self.dropped_at = entry.at
        return entry.item

    def after(self, number: int) -> Iterator[Entry[T]]:
        """The events behind a number that are kept, in order."""
        newest_first = islice(reversed(self._entries), self.top - number)
        return reversed(list(newest_first))

    def read_offset(self, offset: Any) -> int | None:
        """What a client says of where it is; None: nonsense.

        A client that has received nothing in its session says nothing, or what it remembers of an earlier session, whose history has another
        epoch: 0, which is before all. Node recovers neither.
        """
        if offset is None:
            return 0
        if type(offset) is not str or len(offset) > MAX_OFFSET:
            return None
        epoch, dot, digits = offset.partition(".")
        if not dot or len(epoch) != len(self.epoch) or not (digits.isascii() and digits.isdigit()):
            return None
        if epoch != self.epoch:
            return 0
        number = int(digits)
        return number if number <= self.top else None


MAX_OFFSET: Final = 40  # characters of an offset; the numbers of a million years have fewer


Stay = tuple[str, int, int]
"""A room, and the history's top when it was joined and left."""


class Stays:
    """Which rooms a socket was in, and when, in numbers of its namespace's history; its own room is one of them.

    Node filters by the rooms at the end. An event that was lost on the way to a room which the socket left before its end was noticed would be
    lost for good, and one that was sent to a room before the socket joined it would come, though nobody had meant it.

    Args:
        begin: The history's top when the socket connected.
    """

    __slots__ = ("_now", "_past", "begin", "known_from")

    def __init__(self, begin: int) -> None:
        self.begin: Final = begin
        self.known_from = begin
        """Of events up to this number it is not known any more whether they were meant for it."""
        # Room -> top when it was joined; and the stays that ended, in the order in which they did.
        self._now: dict[str, int] = {}
        self._past: list[Stay] = []

    @property
    def rooms(self) -> tuple[str, ...]:
        """Those that it is in."""
        return tuple(self._now)

    def since(self, room: str) -> int:
        """The history's top when a room was joined that it is in."""
        return self._now[room]

    def join(self, room: str, top: int) -> None:
        """It goes into a room, where it may be already."""
        self._now.setdefault(room, top)

    def leave(self, room: str, top: int, first: int) -> None:
        """It leaves a room, where it may not be.

        Args:
            room: Its name.
            top: Number of the newest event.
            first: Number of the oldest one that is kept.
        """
        since = self._now.pop(room, top)
        past = self._past
        # Nobody is sent events that are not kept. Without this a socket that moves all its life held 256 stays, 50 KB, and all but the
        # last few for nothing (tests/soak).
        while past and past[0][2] < first:
            del past[0]
        if since == top:
            return  # nothing was sent meanwhile
        if len(past) == MAX_PAST:
            self.known_from = past.pop(0)[2]
        past.append((room, since, top))

    def selects(self, rooms: tuple[str, ...], excluded: tuple[str, ...]) -> bool:
        """Whether a selection means it, as it is now."""
        now = self._now
        if rooms and not any(room in now for room in rooms):
            return False
        return not any(room in now for room in excluded)

    def selected(self, entries: Iterable[Entry[T]]) -> Iterator[T]:
        """Those events behind `known_from` that were meant for it."""
        past: dict[str, list[Stay]] = {}
        for stay in self._past:
            past.setdefault(stay[0], []).append(stay)
        # Most are for rooms in which it never was: one look in C instead of one for each room (10,000 events: 11 ms -> 3).
        is_strange = (self._now.keys() | past.keys()).isdisjoint

        def was_in_any(rooms: tuple[str, ...], number: int) -> bool:
            return any(self._now.get(room, number) < number for room in rooms) or any(
                since < number <= until for room in rooms for _, since, until in past.get(room, ())
            )

        for entry in entries:
            rooms, excluded, number = entry.rooms, entry.excluded, entry.number
            if rooms and (is_strange(rooms) or not was_in_any(rooms, number)):
                continue
            if not excluded or is_strange(excluded) or not was_in_any(excluded, number):
                yield entry.item


MAX_PAST: Final = 256  # stays that ended, kept of one socket


class Outcome(Enum):
    """What became of a client that asked to be recovered."""

    RECOVERED = "recovered"
    UNKNOWN = "unknown"
    """Nobody of this process is known by the `pid`: too long ago, dropped for others, ended for good, or it was another process."""
    OTHER_USER = "other_user"
    """The client is not who it was."""
    BAD_OFFSET = "bad_offset"
    """It says nonsense about what it has seen."""
    TRIMMED = "trimmed"
    """Something that it missed is not kept any more."""
    TOO_MUCH = "too_much"
    """It missed more than can be sent at once."""


def missed(
    history: History[T], stays: Stays, offset: Any, *, certain_until: float, most_bytes: int
) -> list[T] | Outcome:
    """What a socket did not get.

    Args:
        history: Of its namespace.
        stays: The socket's.
        offset: What the client says of where it is.
        certain_until: What was sent until then has arrived, whatever the client says of it: a pong that came later tells.
        most_bytes: That may be sent at once.

    Returns:
        What to send it, in order; or why that is impossible.
    """
    number = history.read_offset(offset)
    if number is None:
        return Outcome.BAD_OFFSET
    number = max(number, stays.begin)
    # A quiet client among busy ones is far behind the newest number, though it misses nothing: what is gone was sent before it was last
    # heard of. Node keeps no event longer than a client may be away, and never recovers such a client.
    if number < stays.known_from or (
        number < history.first - 1 and history.dropped_at > certain_until
    ):
        return Outcome.TRIMMED
    items = list(stays.selected(history.after(number)))
    if sum(item.size for item in items) > most_bytes:
        return Outcome.TOO_MUCH
    return items
