"""What both clients say of audiences."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from clarion.client import subscriber_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.subscriber_calls import Audience, MembersChanged


class AudienceCalls(Calls):
    """The part of `Client` that speaks of audiences."""

    def put_audience(
        self,
        audience: str,
        *,
        name: str = "",
        filter: str | None = None,
        includes: Sequence[str] = (),
        did: Sequence[Mapping[str, Any]] = (),
    ) -> Audience:
        """Make an audience, or describe it anew: who was put in stays.

        Args:
            audience: Its key.
            name: For people.
            filter: Whom it has besides: `recipient.attributes.plan == "pro"`.
            includes: Audiences whose people it has, too.
            did: Who did something, too: `{"event": "order.paid", "within": "30d", "times"?: 2}`.
        """
        described = {"name": name, "filter": filter, "includes": includes, "did": did}
        return self.call(subscriber_calls.put_audience(audience, described))

    def find_audience(self, audience: str) -> Audience:
        """An audience."""
        return self.call(subscriber_calls.find_audience(audience))

    def audiences(self) -> Iterator[Audience]:
        """All audiences, in the order of their keys."""
        return self._each(subscriber_calls.audiences)

    def delete_audience(self, audience: str) -> None:
        """Forget an audience that no other includes; its people stay."""
        self.call(subscriber_calls.delete_audience(audience))

    def change_members(
        self, audience: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> MembersChanged:
        """Put people in, and take people out, up to 1,000 of each; who is not known is named in the answer."""
        return self.call(subscriber_calls.change_members(audience, add, remove))

    def people(self, audience: str) -> Iterator[str]:
        """The ids of all whom a send to the audience would reach now, with those of audiences inside and of filters."""
        return self._each(lambda after: subscriber_calls.people(audience, after))


class AsyncAudienceCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_audience(
        self,
        audience: str,
        *,
        name: str = "",
        filter: str | None = None,
        includes: Sequence[str] = (),
        did: Sequence[Mapping[str, Any]] = (),
    ) -> Audience:
        """As `AudienceCalls.put_audience`."""
        described = {"name": name, "filter": filter, "includes": includes, "did": did}
        return await self.call(subscriber_calls.put_audience(audience, described))

    async def find_audience(self, audience: str) -> Audience:
        """As `AudienceCalls.find_audience`."""
        return await self.call(subscriber_calls.find_audience(audience))

    def audiences(self) -> AsyncIterator[Audience]:
        """As `AudienceCalls.audiences`."""
        return self._each(subscriber_calls.audiences)

    async def delete_audience(self, audience: str) -> None:
        """As `AudienceCalls.delete_audience`."""
        await self.call(subscriber_calls.delete_audience(audience))

    async def change_members(
        self, audience: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> MembersChanged:
        """As `AudienceCalls.change_members`."""
        return await self.call(subscriber_calls.change_members(audience, add, remove))

    def people(self, audience: str) -> AsyncIterator[str]:
        """As `AudienceCalls.people`."""
        return self._each(lambda after: subscriber_calls.people(audience, after))
