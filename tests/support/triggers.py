"""A taker of triggers that notes them."""

import asyncio

from clarion.errors import Fault, Invalid
from clarion.topics.triggers import Trigger


class NotedTriggers:
    """Notes what is handed on, and refuses while it is told to.

    Attributes:
        taken: What was handed on, in order.
        refuses: Raised instead of taking anything; None: takes.
        is_asked: Whether it looks at what it is to be handed later.
    """

    def __init__(self) -> None:
        self.taken: list[Trigger] = []
        self.refuses: Exception | None = None
        self.is_asked = True
        self._arrived = asyncio.Condition()

    async def check(self, trigger: Trigger) -> None:
        """A notification has a title."""
        if self.is_asked and "title" not in trigger.asks:
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
