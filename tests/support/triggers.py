"""A taker of triggers that notes them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from clarion.errors import Fault, Invalid
from clarion.topics.triggers import Trigger


class NotedTriggers:
    """Notes what is handed on, and refuses while it is told to.

    Attributes:
        taken: What was handed on, in order.
        refuses: Raised instead of taking anything; None: takes.
    """

    def __init__(self) -> None:
        self.taken: list[Trigger] = []
        self.refuses: Exception | None = None
        self._arrived = asyncio.Condition()

    def check(self, notification: Mapping[str, Any]) -> None:
        """A notification has a title."""
        if "title" not in notification:
            raise Invalid(faults=[Fault("/title", "missing")])

    async def hand(self, trigger: Trigger) -> None:
        """Note it."""
        if self.refuses is not None:
            raise self.refuses
        async with self._arrived:
            self.taken.append(trigger)
            self._arrived.notify_all()

    async def at_least(self, count: int) -> list[Trigger]:
        """What was taken, once it is so many."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.taken) >= count)
        return self.taken
