"""Conflation: of what is published faster than a topic may change, the newest value of each key is appended once per tick.

It happens before the append, so that there is one log for all. Publishers are answered when their change is in the log, or the newer one
that took its place. Changes that cannot be replaced (a guard, an id, no key) are all kept, in their order.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from clarion.telemetry import publications_conflated, spawn
from clarion.topics.changes import Change
from clarion.topics.kinds import Topic
from clarion.topics.stores import Appended

Append = Callable[[Topic, list[Change]], Awaitable[Appended]]


class _Waiting:
    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.places: dict[str, int] = {}  # of the replaceable change of each key
        self.done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()


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

    async def add(self, topic: Topic, change: Change) -> tuple[Appended, int]:
        """Append a change with the next tick; returns what was appended then, and which outcome is this change's.

        Raises:
            What appending raises.
        """
        waiting = self._waiting.get(topic)
        if waiting is None:
            waiting = self._waiting[topic] = _Waiting()
        place = self._place(waiting, change)
        if topic not in self._ticking:
            self._ticking[topic] = spawn(self._tick(topic), name="topics: conflation")
        return await asyncio.shield(waiting.done), place

    async def close(self) -> None:
        """Append what waits now."""
        for task in list(self._ticking.values()):
            task.cancel()
        await asyncio.gather(*self._ticking.values(), return_exceptions=True)
        self._ticking.clear()
        for topic in list(self._waiting):
            await self._flush(topic)

    def _place(self, waiting: _Waiting, change: Change) -> int:
        is_replaceable = change.key is not None and not change.id and change.guard.kind == "none"
        if change.key is None or not is_replaceable:
            # What follows a guarded change of a key must not take the place of one before it.
            waiting.places.pop(change.key or "", None)
            waiting.changes.append(change)
            return len(waiting.changes) - 1
        place = waiting.places.get(change.key)
        if place is None:
            waiting.changes.append(change)
            place = waiting.places[change.key] = len(waiting.changes) - 1
        else:
            waiting.changes[place] = change
            publications_conflated.inc()
        return place

    async def _tick(self, topic: Topic) -> None:
        try:
            while topic in self._waiting:
                await self._flush(topic)
                await asyncio.sleep(self._every_s)
        finally:
            self._ticking.pop(topic, None)

    async def _flush(self, topic: Topic) -> None:
        waiting = self._waiting.pop(topic, None)
        if waiting is None:
            return
        try:
            waiting.done.set_result(await self._append(topic, waiting.changes))
        except Exception as exc:  # noqa: BLE001  whoever published is told, whatever it was
            waiting.done.set_exception(exc)
