"""What is to be done in rooms, and when: changes to be written with the next tick, and what ends by itself.

While a command runs nothing is written: the room is marked, and once per tick its changes are written together, whatever their number; then those
who wait for them are answered. The first change after a pause is written at once.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Final

from clarion.clock import Clock
from clarion.errors import ServerError
from clarion.features.presence.room import Device, Room
from clarion.telemetry import Tasks, get_logger
from clarion.topics import Position, Topic

_log = get_logger(__name__)

AT_ONCE: Final = 16  # rooms that are written at a time

Write = Callable[[Topic, Room | None], Awaitable[Position]]
"""Writes a room's changes and gives the position of its log then; None: nobody is there. May leave some: the room is not settled then."""


class Agenda:
    """The rooms of this node, and what is to be done in them.

    Args:
        node: Its name.
        tick_s: Between two ticks (s).
        clock: For what ends by itself.
        write: Writes a room.
    """

    def __init__(self, node: str, tick_s: float, clock: Clock, write: Write) -> None:
        # Fixed at creation
        self._node = node
        self._tick_s = tick_s
        self._clock = clock
        self._write = write
        # Changes while open
        self.rooms: dict[Topic, Room] = {}
        self._dirty: dict[Topic, None] = {}
        self._waiting: dict[Topic, list[asyncio.Future[Position]]] = {}
        # A device that is away, with its `gone_ms`, or a user's text. What was changed since is passed over; the number keeps topics from being compared.
        self._due: list[tuple[int, int, Topic, str, Device | None]] = []
        self._numbers = count()
        self._woken = asyncio.Event()
        self._is_frozen = False
        self._tasks = Tasks()

    def room(self, topic: Topic) -> Room:
        """The room, which begins if nobody is there."""
        found = self.rooms.get(topic)
        if found is None:
            found = self.rooms[topic] = Room(self._node)
        return found

    def mark(self, topic: Topic) -> None:
        """Something has happened in a room."""
        self._dirty[topic] = None
        self._woken.set()

    def written(self, topic: Topic) -> asyncio.Future[Position]:
        """Done when everything is written that has happened in a room until now."""
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, []).append(done)
        self.mark(topic)
        return done

    def note(self, due_ms: int | None, topic: Topic, user: str, device: Device | None) -> None:
        """A device goes for good unless somebody takes its place, or (None) a text ends, at a time (ms since 1970; None: never)."""
        if due_ms is not None:
            heapq.heappush(self._due, (due_ms, next(self._numbers), topic, user, device))
            self._woken.set()

    def start(self) -> None:
        """Begin to tick."""
        self._tasks.spawn_forever(self._tick_forever, name="presence: ticks")

    def freeze(self) -> None:
        """Whoever is away from now on stays."""
        self._is_frozen = True

    async def close(self) -> None:
        """Tick no more; who waits is told nothing."""
        await self._tasks.close()
        for waiting in self._waiting.values():
            for each in waiting:
                each.cancel()

    async def tick(self) -> None:
        """Do what is to be done now."""
        self._end_what_is_due()
        dirty, self._dirty = list(self._dirty), {}
        for at in range(0, len(dirty), AT_ONCE):
            await asyncio.gather(*map(self._write_room, dirty[at : at + AT_ONCE]))

    def _end_what_is_due(self) -> None:
        now_ms = self._clock.now_ms()
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, topic, user, device = heapq.heappop(self._due)
            room = self.rooms.get(topic)
            if room is None:
                continue
            if device is None:
                room.end_text(user, now_ms)
            elif device.gone_ms == due_ms and not self._is_frozen:
                room.leave(user, device)
            if not room.is_settled:
                self._dirty[topic] = None

    async def _write_room(self, topic: Topic) -> None:
        waiting = self._waiting.pop(topic, [])
        try:
            at = await self._write(topic, self.rooms.get(topic))
        except ServerError as exc:
            _log.warning("presence not written", error=exc.code)
            _fail(waiting, exc)
        except Exception as exc:  # noqa: BLE001  a bug that one room meets must not end presence
            _log.exception("presence failed")
            _fail(waiting, exc)
        else:
            for each in waiting:
                if not each.done():
                    each.set_result(at)
        room = self.rooms.get(topic)
        if room is None:
            return
        if not room.is_settled:
            self._dirty[topic] = None
        elif not room.people:
            del self.rooms[topic]

    async def _tick_forever(self) -> None:
        while True:
            if not self._dirty:
                self._woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._woken.wait()
            await self.tick()
            await asyncio.sleep(self._tick_s)

    def _pause_s(self) -> float | None:
        if not self._due:
            return None
        return max(0.0, (self._due[0][0] - self._clock.now_ms()) / 1000)


def _fail(waiting: list[asyncio.Future[Position]], exc: Exception) -> None:
    for each in waiting:
        if not each.done():
            each.set_exception(exc)
