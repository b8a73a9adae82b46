"""What both clients say of events."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from clarion.client import event_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.event_calls import EventLine, EventNumbers, Tracked


class EventCalls(Calls):
    """The part of `Client` that speaks of what people did."""

    def track(
        self,
        event: str,
        user: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        at: datetime | None = None,
        consent: bool = True,
    ) -> Tracked:
        """Tell what somebody did.

        Args:
            event: Its name, `order.paid`.
            user: Who; None: nobody in particular, or whoever the token is of.
            properties: JSON for conditions and templates.
            id: Names it, so that it counts once however often it is told; by default one is made for this call's retries.
            at: When it happened, with a time zone; None: now.
            consent: False: it is counted, and neither the person nor the properties are kept.
        """
        given = event_calls.event_of(event, user, properties, self._key(id), at, consent)
        return self.call(event_calls.track([given]))

    def track_many(self, events: Sequence[Mapping[str, Any]]) -> Tracked:
        """Tell up to 1,000 events, each `{event, user?, properties?, id?, at?, consent?}`; one without an id gets one for the retries."""
        given = [{"id": self._key(None), **each} for each in events]
        return self.call(event_calls.track(given))

    def event_names(self, *, after: str = "", limit: int = 100) -> dict[str, Any]:
        """A page of what events there are, and how many: `{items, next}`."""
        return self.call(event_calls.names(after, limit))

    def event_numbers(self, event: str, within: str = "1h") -> EventNumbers:
        """How often something happened in a window that ends now (`30m`, `1h`, `30d`), and how many people did it."""
        return self.call(event_calls.numbers(event, within))

    def export_events(self, *, user: str | None = None) -> Iterator[EventLine]:
        """All events in the order in which they came, or those of one person; read page by page."""
        after = ""
        while lines := self.call(event_calls.export(user, after)):
            yield from lines
            after = lines[-1].cursor

    def forget_events(self, user: str) -> int:
        """Remove all that is known of what a person did; returns how many events that were."""
        return self.call(event_calls.forget(user))["events"]


class AsyncEventCalls(AsyncCalls):
    """The same as coroutines."""

    async def track(
        self,
        event: str,
        user: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        at: datetime | None = None,
        consent: bool = True,
    ) -> Tracked:
        """As `EventCalls.track`."""
        given = event_calls.event_of(event, user, properties, self._key(id), at, consent)
        return await self.call(event_calls.track([given]))

    async def track_many(self, events: Sequence[Mapping[str, Any]]) -> Tracked:
        """As `EventCalls.track_many`."""
        given = [{"id": self._key(None), **each} for each in events]
        return await self.call(event_calls.track(given))

    async def event_names(self, *, after: str = "", limit: int = 100) -> dict[str, Any]:
        """As `EventCalls.event_names`."""
        return await self.call(event_calls.names(after, limit))

    async def event_numbers(self, event: str, within: str = "1h") -> EventNumbers:
        """As `EventCalls.event_numbers`."""
        return await self.call(event_calls.numbers(event, within))

    async def export_events(self, *, user: str | None = None) -> AsyncIterator[EventLine]:
        """As `EventCalls.export_events`."""
        after = ""
        while lines := await self.call(event_calls.export(user, after)):
            for line in lines:
                yield line
            after = lines[-1].cursor

    async def forget_events(self, user: str) -> int:
        """As `EventCalls.forget_events`."""
        return (await self.call(event_calls.forget(user)))["events"]
