"""What both clients say of presence."""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial

from clarion.client import presence_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import batches
from clarion.client.presence_calls import Member, MemberPage, UserStatus, Visibility


class PresenceCalls(Calls):
    """The part of `Client` that speaks of presence."""

    def member_page(self, room: str, *, after: str | None = None, limit: int = 500) -> MemberPage:
        """A page of the users in a room, and how many there are in all."""
        return self.call(presence_calls.members(room, after, limit))

    def members(self, room: str) -> Iterator[Member]:
        """The users in a room, in the order of their ids, page by page."""
        return self._each(lambda after: presence_calls.members(room, after, 500))

    def status(
        self, users: Sequence[str], *, viewer: str | None = None, regardless: bool = False
    ) -> list[UserStatus]:
        """How users are, in their order, in calls of 1,000.

        Args:
            users: Their ids.
            viewer: The user who is to see it; None: what everyone may see.
            regardless: Whatever users let others see: for decisions, not to be shown.
        """
        return [
            status
            for some in batches(users)
            for status in self.call(presence_calls.statuses(some, viewer, regardless)).items
        ]

    def visibility(self, user: str) -> Visibility:
        """Who may see that a user is here: `everyone`, `contacts`, `nobody`."""
        return self.call(presence_calls.visibility(user)).visibility

    def set_visibility(self, user: str, visibility: Visibility) -> None:
        """Say who may see that a user is here; it holds at once."""
        self.call(presence_calls.set_visibility(user, visibility))

    def contacts(self, user: str) -> Iterator[str]:
        """Whom a user knows, in the order of their ids."""
        return self._each(partial(presence_calls.contacts, user))

    def change_contacts(
        self, user: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> int:
        """Let a user know others, or know them no longer; returns how many they know then.

        Raises:
            ApiError: `too_many`: more than `presence.contacts`; nothing is changed.
        """
        return self.call(presence_calls.change_contacts(user, add, remove)).contacts


class AsyncPresenceCalls(AsyncCalls):
    """The same as coroutines."""

    async def member_page(
        self, room: str, *, after: str | None = None, limit: int = 500
    ) -> MemberPage:
        """As `PresenceCalls.member_page`."""
        return await self.call(presence_calls.members(room, after, limit))

    def members(self, room: str) -> AsyncIterator[Member]:
        """As `PresenceCalls.members`."""
        return self._each(lambda after: presence_calls.members(room, after, 500))

    async def status(
        self, users: Sequence[str], *, viewer: str | None = None, regardless: bool = False
    ) -> list[UserStatus]:
        """As `PresenceCalls.status`."""
        found: list[UserStatus] = []
        for some in batches(users):
            answer = await self.call(presence_calls.statuses(some, viewer, regardless))
            found += answer.items
        return found

    async def visibility(self, user: str) -> Visibility:
        """As `PresenceCalls.visibility`."""
        return (await self.call(presence_calls.visibility(user))).visibility

    async def set_visibility(self, user: str, visibility: Visibility) -> None:
        """As `PresenceCalls.set_visibility`."""
        await self.call(presence_calls.set_visibility(user, visibility))

    def contacts(self, user: str) -> AsyncIterator[str]:
        """As `PresenceCalls.contacts`."""
        return self._each(partial(presence_calls.contacts, user))

    async def change_contacts(
        self, user: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> int:
        """As `PresenceCalls.change_contacts`."""
        return (await self.call(presence_calls.change_contacts(user, add, remove))).contacts
