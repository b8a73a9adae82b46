"""Conflation: of what is published faster than a topic may change, the newest value of each key is appended once per tick.

It happens before the append, so that there is one log for all. Publishers are answered when their change is in the log, or the newer one
that took its place. Changes that cannot be replaced (a guard, an id, no key) are all kept, in their order.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from clarion.errors import PeerError
from clarion.telemetry import publications_conflated, spawn
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Appended

Append = Callable[[Topic, list[Change]], Awaitable[Appended]]


_Done = asyncio.Future[tuple[Appended, int]]


class _Waiting:
    def __init__(self, changes: list[Change], done: list[_Done]) -> None:
        self.changes = changes
        self.done = done  # of each change
        self.places: dict[str, int] = {}  # of the replaceable change of each key


class Conflator:
    """Gathers the changes of one kind's topics.

    Args:
        append: Appends and announces.
        every_s: The tick (s). The first change after a pause is appended at once.
    """

    def __init__(self, append: Append, every_s: float) -> None:
        self._append = append
        self._every_s = every_s
        # Invariant: a topic is in it from its first change until a tick has passed without any.
        self._waiting: dict[Topic, _Waiting] = {}
        self._ticking: dict[Topic, asyncio.Task[Any]] = {}
        self._closing = asyncio.Event()

    async def add(self, topic: Topic, change: Change) -> tuple[Appended, int]:
        """Append a change with the next tick; returns what was appended then, and which outcome is this change's.

        Raises:
            What appending raises.
        """
        waiting = self._waiting.get(topic)
        if waiting is None:
            waiting = self._waiting[topic] = _Waiting([], [])
        place = self._place(waiting, change)
        if topic not in self._ticking:
            self._ticking[topic] = spawn(self._tick(topic), name="topics: conflation")
        return await asyncio.shield(waiting.done[place])

    async def close(self) -> None:
        """Append what waits now."""
        self._closing.set()
        await asyncio.gather(*self._ticking.values(), return_exceptions=True)

    def _place(self, waiting: _Waiting, change: Change) -> int:
        is_replaceable = change.key is not None and not change.id and change.guard.kind == "none"
        if change.key is None or not is_replaceable:
            # What follows a guarded change of a key must not take the place of one before it.
            waiting.places.pop(change.key or "", None)
            return self._add(waiting, change)
        place = waiting.places.get(change.key)
        if place is None:
            place = waiting.places[change.key] = self._add(waiting, change)
        else:
            waiting.changes[place] = change
            publications_conflated.inc()
        return place

    @staticmethod
    def _add(waiting: _Waiting, change: Change) -> int:
        waiting.changes.append(change)
        waiting.done.append(asyncio.get_running_loop().create_future())
        return len(waiting.changes) - 1

    async def _tick(self, topic: Topic) -> None:
        try:
            while topic in self._waiting:
                await self._flush(topic, self._waiting.pop(topic))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._closing.wait()
        finally:
            self._ticking.pop(topic, None)

    async def _flush(self, topic: Topic, waiting: _Waiting) -> None:
        try:
            appended = await self._append(topic, waiting.changes)
        except PeerError as exc:
            if len(waiting.changes) == 1:
                _fail(waiting.done[0], exc)
                return
            # One key too many: each alone, so that it costs nobody else their change.
            for change, done in zip(waiting.changes, waiting.done, strict=True):
                await self._flush(topic, _Waiting([change], [done]))
        except Exception as exc:  # noqa: BLE001  whoever published is told, whatever it was
            for done in waiting.done:
                _fail(done, exc)
        else:
            for place, done in enumerate(waiting.done):
                done.set_result((appended, place))


def _fail(done: _Done, exc: Exception) -> None:
    done.set_exception(exc)
    done.exception()  # a publisher who went away meanwhile is no reason for a warning
