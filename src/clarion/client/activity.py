"""What both clients say of activity."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from clarion.client import activity_calls
from clarion.client.activity_calls import (
    Activity,
    ActivityPage,
    ActivityWritten,
    Follow,
    Readers,
)
from clarion.client.calling import AsyncCalls, Calls


class ActivityCalls(Calls):
    """The part of `Client` that speaks of activity."""

    def add_activity(
        self,
        stream: str,
        actor: str,
        verb: str,
        object: str,
        *,
        target: str | None = None,
        data: Mapping[str, Any] | None = None,
        foreign_id: str | None = None,
        group: str | None = None,
        published: str | None = None,
    ) -> ActivityWritten:
        """Add an activity to a stream.

        Args:
            stream: Without `activity:`.
            actor: Who.
            verb: Did what.
            object: To what.
            target: Where, or for whom.
            data: Whatever else is to be shown.
            foreign_id: Its name in the application: adding it again changes what is there; without one a call is not tried again by itself.
            group: With which others a feed shows it as one: `{verb} {object} {day}`.
            published: When (RFC 3339); None: now.
        """
        given = activity_calls.activity(
            actor, verb, object, target, data, foreign_id, group, published
        )
        return self.call(activity_calls.add(stream, given))

    def activity_page(
        self, stream: str, *, cursor: str | None = None, limit: int = 50
    ) -> ActivityPage:
        """A page of a stream, newest first."""
        return self.call(activity_calls.page(stream, cursor, limit))

    def activities(self, stream: str) -> Iterator[Activity]:
        """All of a stream, newest first, page by page."""
        return self._each(lambda cursor: activity_calls.page(stream, cursor, 100))

    def activity(self, stream: str, id: str) -> Activity:
        """An activity."""
        return self.call(activity_calls.get(stream, id))

    def edit_activity(self, stream: str, id: str, **given: Any) -> ActivityWritten:
        """Say something else in an activity's place: `verb`, `object`, `target`, `data`; None takes the last two away."""
        return self.call(activity_calls.edit(stream, id, given))

    def remove_activity(self, stream: str, id: str) -> ActivityWritten:
        """Remove an activity."""
        return self.call(activity_calls.remove(stream, id))

    def follow(self, user: str, stream: str) -> Follow:
        """Let a user follow a stream: what is in it is in their timeline, as far as their token lets them read it."""
        return self.call(activity_calls.follow(user, stream))

    def unfollow(self, user: str, stream: str) -> None:
        """Let a user follow a stream no longer."""
        self.call(activity_calls.unfollow(user, stream))

    def set_readers(
        self,
        stream: str,
        *,
        everyone: bool = False,
        followers: bool = False,
        users: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> Readers:
        """Say who may read a stream, besides those whose token grants it: every signed-in user, who follows it, these, or whose token has such a tag."""
        readers = Readers(
            everyone=everyone, followers=followers, users=list(users), tags=list(tags)
        )
        return self.call(activity_calls.set_readers(stream, readers))

    def readers(self, stream: str) -> Readers:
        """Who may read a stream, besides those whose token grants it."""
        return self.call(activity_calls.readers(stream))

    def reactions(
        self, stream: str, id: str, kind: str, *, after: str = "", limit: int = 100
    ) -> dict[str, Any]:
        """A page of who has reacted so to an activity: `{items: [{user, at}], more}`."""
        return self.call(activity_calls.reactions(stream, id, kind, after, limit))

    def react(self, stream: str, id: str, kind: str, user: str) -> ActivityWritten:
        """Let a user react to an activity, `like`; twice is once."""
        return self.call(activity_calls.react(stream, id, kind, user))

    def take_back(self, stream: str, id: str, kind: str, user: str) -> ActivityWritten:
        """Take a reaction back."""
        return self.call(activity_calls.take_back(stream, id, kind, user))


class AsyncActivityCalls(AsyncCalls):
    """The same as coroutines."""

    async def add_activity(
        self,
        stream: str,
        actor: str,
        verb: str,
        object: str,
        *,
        target: str | None = None,
        data: Mapping[str, Any] | None = None,
        foreign_id: str | None = None,
        group: str | None = None,
        published: str | None = None,
    ) -> ActivityWritten:
        """As `ActivityCalls.add_activity`."""
        given = activity_calls.activity(
            actor, verb, object, target, data, foreign_id, group, published
        )
        return await self.call(activity_calls.add(stream, given))

    async def activity_page(
        self, stream: str, *, cursor: str | None = None, limit: int = 50
    ) -> ActivityPage:
        """As `ActivityCalls.activity_page`."""
        return await self.call(activity_calls.page(stream, cursor, limit))

    def activities(self, stream: str) -> AsyncIterator[Activity]:
        """As `ActivityCalls.activities`."""
        return self._each(lambda cursor: activity_calls.page(stream, cursor, 100))

    async def activity(self, stream: str, id: str) -> Activity:
        """As `ActivityCalls.activity`."""
        return await self.call(activity_calls.get(stream, id))

    async def edit_activity(self, stream: str, id: str, **given: Any) -> ActivityWritten:
        """As `ActivityCalls.edit_activity`."""
        return await self.call(activity_calls.edit(stream, id, given))

    async def remove_activity(self, stream: str, id: str) -> ActivityWritten:
        """As `ActivityCalls.remove_activity`."""
        return await self.call(activity_calls.remove(stream, id))

    async def follow(self, user: str, stream: str) -> Follow:
        """As `ActivityCalls.follow`."""
        return await self.call(activity_calls.follow(user, stream))

    async def unfollow(self, user: str, stream: str) -> None:
        """As `ActivityCalls.unfollow`."""
        await self.call(activity_calls.unfollow(user, stream))

    async def set_readers(
        self,
        stream: str,
        *,
        everyone: bool = False,
        followers: bool = False,
        users: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> Readers:
        """As `ActivityCalls.set_readers`."""
        readers = Readers(
            everyone=everyone, followers=followers, users=list(users), tags=list(tags)
        )
        return await self.call(activity_calls.set_readers(stream, readers))

    async def readers(self, stream: str) -> Readers:
        """As `ActivityCalls.readers`."""
        return await self.call(activity_calls.readers(stream))

    async def reactions(
        self, stream: str, id: str, kind: str, *, after: str = "", limit: int = 100
    ) -> dict[str, Any]:
        """As `ActivityCalls.reactions`."""
        return await self.call(activity_calls.reactions(stream, id, kind, after, limit))

    async def react(self, stream: str, id: str, kind: str, user: str) -> ActivityWritten:
        """As `ActivityCalls.react`."""
        return await self.call(activity_calls.react(stream, id, kind, user))

    async def take_back(self, stream: str, id: str, kind: str, user: str) -> ActivityWritten:
        """As `ActivityCalls.take_back`."""
        return await self.call(activity_calls.take_back(stream, id, kind, user))
