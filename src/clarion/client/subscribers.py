"""What both clients say of subscribers."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from clarion.client import subscriber_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import Recipient, batches
from clarion.client.subscriber_calls import Address, Subscriber


class SubscriberCalls(Calls):
    """The part of `Client` that speaks of subscribers."""

    def put_subscriber(
        self,
        id: str,
        *,
        name: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        locale: str | None = None,
        time_zone: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Subscriber:
        """Keep a subscriber as they are described here: what is not said is not known any longer.

        Args:
            id: Of the application's choice, at most 128 characters.
            name: What templates call them.
            email: Where emails go.
            phone: Where texts go, `+491701234567`.
            locale: Their language, `de-AT`.
            time_zone: `Europe/Berlin`.
            attributes: JSON for conditions, filters and templates.
        """
        described = {"name": name, "email": email, "phone": phone, "locale": locale}
        described |= {"time_zone": time_zone}
        return self.call(subscriber_calls.put(id, {**described, "attributes": attributes}))

    def change_subscriber(self, id: str, changes: Mapping[str, Any]) -> Subscriber:
        """Change what is known: what is absent stays, None is forgotten, of `attributes` each member by itself."""
        return self.call(subscriber_calls.change(id, changes))

    def find_subscriber(self, id: str) -> Subscriber:
        """What is known of a subscriber."""
        return self.call(subscriber_calls.find(id))

    def delete_subscriber(self, id: str) -> str:
        """Forget a subscriber with everything of theirs: nobody can reach them at once, a job erases the rest. Its id."""
        return self.call(subscriber_calls.delete(id)).job

    def subscribers(self, *, filter: str | None = None) -> Iterator[Subscriber]:
        """All subscribers, or whom a condition lets through (`recipient.attributes.plan == "pro"`), in the order of their ids."""
        return self._each(lambda after: subscriber_calls.page(filter, after))

    def keep_subscribers(self, several: Sequence[Recipient]) -> int:
        """Make subscribers known, or say more of them: what is absent of one stays. A thousand go in one call.

        Args:
            several: As recipients of `trigger`.

        Returns:
            How many, each once.
        """
        return sum(self.call(subscriber_calls.keep(some)).subscribers for some in batches(several))

    def export_subscriber(self, id: str) -> Iterator[dict[str, Any]]:
        """Everything that is kept of a subscriber; `kind` says what each is."""
        return self._lines(subscriber_calls.export(id))

    def addresses(self, user: str) -> list[Address]:
        """Where a subscriber can be reached, on channels that have addresses of their own."""
        return self.call(subscriber_calls.addresses(user)).items

    def put_address(
        self,
        user: str,
        channel: str,
        address: str,
        *,
        data: Mapping[str, Any] | None = None,
        label: str = "",
    ) -> str:
        """Reach a subscriber there from now on, and nobody else.

        Args:
            user: Who.
            channel: `chat`, `webhook`, `push`, or an application's own.
            address: As the channel knows it.
            data: What the channel needs beside it.
            label: For people.

        Returns:
            The id of the address.
        """
        return self.call(subscriber_calls.put_address(user, channel, address, data, label)).id

    def remove_address(self, user: str, id: str) -> None:
        """Reach a subscriber there no longer."""
        self.call(subscriber_calls.remove_address(user, id))


class AsyncSubscriberCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_subscriber(
        self,
        id: str,
        *,
        name: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        locale: str | None = None,
        time_zone: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Subscriber:
        """As `SubscriberCalls.put_subscriber`."""
        described = {"name": name, "email": email, "phone": phone, "locale": locale}
        described |= {"time_zone": time_zone}
        return await self.call(subscriber_calls.put(id, {**described, "attributes": attributes}))

    async def change_subscriber(self, id: str, changes: Mapping[str, Any]) -> Subscriber:
        """As `SubscriberCalls.change_subscriber`."""
        return await self.call(subscriber_calls.change(id, changes))

    async def find_subscriber(self, id: str) -> Subscriber:
        """As `SubscriberCalls.find_subscriber`."""
        return await self.call(subscriber_calls.find(id))

    async def delete_subscriber(self, id: str) -> str:
        """As `SubscriberCalls.delete_subscriber`."""
        return (await self.call(subscriber_calls.delete(id))).job

    def subscribers(self, *, filter: str | None = None) -> AsyncIterator[Subscriber]:
        """As `SubscriberCalls.subscribers`."""
        return self._each(lambda after: subscriber_calls.page(filter, after))

    async def keep_subscribers(self, several: Sequence[Recipient]) -> int:
        """As `SubscriberCalls.keep_subscribers`."""
        kept = [await self.call(subscriber_calls.keep(some)) for some in batches(several)]
        return sum(each.subscribers for each in kept)

    def export_subscriber(self, id: str) -> AsyncIterator[dict[str, Any]]:
        """As `SubscriberCalls.export_subscriber`."""
        return self._lines(subscriber_calls.export(id))

    async def addresses(self, user: str) -> list[Address]:
        """As `SubscriberCalls.addresses`."""
        return (await self.call(subscriber_calls.addresses(user))).items

    async def put_address(
        self,
        user: str,
        channel: str,
        address: str,
        *,
        data: Mapping[str, Any] | None = None,
        label: str = "",
    ) -> str:
        """As `SubscriberCalls.put_address`."""
        return (
            await self.call(subscriber_calls.put_address(user, channel, address, data, label))
        ).id

    async def remove_address(self, user: str, id: str) -> None:
        """As `SubscriberCalls.remove_address`."""
        await self.call(subscriber_calls.remove_address(user, id))
