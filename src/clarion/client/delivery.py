"""What both clients say of providers, and of messages that were kept instead of sent."""

from typing import Any

from clarion.client import delivery_calls, webhook_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.webhook_calls import WebhookSecret


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

    def webhook_secret(self, url: str) -> WebhookSecret:
        """What an endpoint checks signatures with; made, if it has none yet."""
        return self.call(webhook_calls.secret(url))

    def rotate_webhook_secret(self, url: str, *, keep_s: int = 86_400) -> WebhookSecret:
        """Give an endpoint another secret; the former signs beside it for `keep_s`. Within that time only the new one is replaced."""
        return self.call(webhook_calls.rotate(url, keep_s))


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

    async def webhook_secret(self, url: str) -> WebhookSecret:
        """As `DeliveryCalls.webhook_secret`."""
        return await self.call(webhook_calls.secret(url))

    async def rotate_webhook_secret(self, url: str, *, keep_s: int = 86_400) -> WebhookSecret:
        """As `DeliveryCalls.rotate_webhook_secret`."""
        return await self.call(webhook_calls.rotate(url, keep_s))
