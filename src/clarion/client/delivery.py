"""What both clients say of providers, and of messages that were kept instead of sent."""

from typing import Any

from clarion.client import delivery_calls
from clarion.client.calling import AsyncCalls, Calls


class DeliveryCalls(Calls):
    """The part of `Client` that speaks of delivery."""

    def providers(self) -> dict[str, Any]:
        """How messages leave: `{delivery, channels: [{channel, providers: [{provider, state, failures, …}]}]}`."""
        return self.call(delivery_calls.providers())

    def captures(
        self, *, channel: str = "", user: str = "", before: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """A page of the messages that were kept instead of sent, newest first: `{mode, items, next}`."""
        return self.call(delivery_calls.captures(channel, user, before, limit))

    def capture(self, id: str) -> dict[str, Any]:
        """One of them."""
        return self.call(delivery_calls.capture(id))

    def clear_captures(self) -> int:
        """Forget all of them; returns how many there were."""
        return int(self.call(delivery_calls.clear())["captures"])


class AsyncDeliveryCalls(AsyncCalls):
    """The same as coroutines."""

    async def providers(self) -> dict[str, Any]:
        """As `DeliveryCalls.providers`."""
        return await self.call(delivery_calls.providers())

    async def captures(
        self, *, channel: str = "", user: str = "", before: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """As `DeliveryCalls.captures`."""
        return await self.call(delivery_calls.captures(channel, user, before, limit))

    async def capture(self, id: str) -> dict[str, Any]:
        """As `DeliveryCalls.capture`."""
        return await self.call(delivery_calls.capture(id))

    async def clear_captures(self) -> int:
        """As `DeliveryCalls.clear_captures`."""
        return int((await self.call(delivery_calls.clear()))["captures"])
