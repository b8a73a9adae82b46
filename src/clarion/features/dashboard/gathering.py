"""Gathering: what is given to the widgets of a dashboard between two ticks is written together, and everybody is answered then.

The first after a pause is written at once. Order is kept, and nothing is left out: how much of it viewers are told is decided by who writes it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from clarion.errors import Overloaded
from clarion.telemetry import limit_exceeded, spawn
from clarion.topics.kinds import Topic
from clarion.topics.publishing import Published

WAITING: Final = 10_000


class Given(Struct, eq=False):
    """One publication, and whoever waits for its answer."""

    widget: str
    event: str
    data: Any
    id: str
    done: "asyncio.Future[Published]"

    def answer(self, answer: Published | Exception) -> None:
        """Say what became of it."""
        if self.done.done():  # whoever asked has gone
            return
        if isinstance(answer, Exception):
            self.done.set_exception(answer)
        else:
            self.done.set_result(answer)


Write = Callable[[Topic, list[Given]], Awaitable[None]]
"""Writes what was given, in its order, and answers each. What it raises is the answer of those that have none."""


class Gathering:
    """What waits for the next tick, by topic.

    Args:
        write: See `Write`.
        every_s: The tick (s).
    """

    def __init__(self, write: Write, every_s: float) -> None:
        self._write = write
        self._every_s = every_s
        self._waiting: dict[Topic, list[Given]] = {}
        # Invariant: a topic is in it from its first publication until a tick has passed without any.
        self._ticking: dict[Topic, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()

    async def add(self, topic: Topic, widget: str, event: str, data: Any, id: str) -> Published:
        """Write a publication with the next tick; its place in the order is taken before anything is waited for.

        Raises:
            Overloaded: Too many wait.
            What writing it raises.
        """
        waiting = self._waiting.setdefault(topic, [])
        if len(waiting) >= WAITING:
            limit_exceeded.labels("dashboard_waiting").inc()
            raise Overloaded("too many publications to this dashboard wait", retry_after_s=1)
        given = Given(widget, event, data, id, asyncio.get_running_loop().create_future())
        waiting.append(given)
        if topic not in self._ticking:
            self._ticking[topic] = spawn(self._tick(topic), name="dashboards: gathering")
        return await given.done

    async def close(self) -> None:
        """Write what waits now."""
        self._closing.set()
        await asyncio.gather(*self._ticking.values(), return_exceptions=True)

    async def _tick(self, topic: Topic) -> None:
        try:
            while topic in self._waiting:
                await self._flush(topic)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._closing.wait()
        finally:
            self._ticking.pop(topic, None)

    async def _flush(self, topic: Topic) -> None:
        given = self._waiting.pop(topic, None)
        if not given:
            return
        try:
            await self._write(topic, given)
        except Exception as exc:  # noqa: BLE001  whoever published is told, whatever it was
            for each in given:
                each.answer(exc)
