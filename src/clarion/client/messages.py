"""What both clients say of messages, as operators see them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

from clarion.client import message_calls as calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.message_calls import DeadLetterGroup, DeadLettersDone, MessageStory, Stats


class MessageCalls(Calls):
    """The part of `Client` that speaks of what became of messages."""

    def messages(self, **asked: str | datetime | None) -> Iterator[dict[str, Any]]:
        """Messages of inboxes and channels, newest first; read page by page.

        Args:
            asked: `user`, `workflow`, `channel`, `status`, `provider`, `category`, `trigger`, `run`, `button`, `from_`, `to`, `q`.
        """
        yield from self._pages("messages", asked)

    def triggers(self, **asked: str | datetime | None) -> Iterator[dict[str, Any]]:
        """Triggers, newest first: `workflow`, `state`, `actor`, `from_`, `to`, `q`."""
        yield from self._pages("triggers", asked)

    def all_runs(self, **asked: str | datetime | None) -> Iterator[dict[str, Any]]:
        """Runs of all triggers, newest first: `user`, `workflow`, `status`, `trigger`, `from_`, `to`, `q`."""
        yield from self._pages("runs", asked)

    def message(self, id: str, *, user: str | None = None) -> MessageStory:
        """One message with its timeline and attempts.

        Args:
            id: Its id.
            user: Whose inbox it is in, where many were told the same.
        """
        return self.call(calls.find(id, user))

    def stats(self, **asked: str | datetime | None) -> Stats:
        """Numbers: `what`, `from_`, `to`, `interval`, `by`, `workflow`, `channel`, `provider`, `category`."""
        return self.call(calls.stats(asked))

    def dead_letters(self, **asked: str) -> list[DeadLetterGroup]:
        """Dead letters that are alike, the largest groups first: `kind`, `channel`, `provider`, `workflow`, `reason`, `job`."""
        return self.call(calls.dead_letters(asked)).items

    def dead_letter_jobs(self, *, before: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of jobs that came to nothing, the newest first: `{items, next}`."""
        return self.call(calls.letters("jobs", before, limit))

    def dead_letter_acts(self, *, before: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of who has sent again or dropped what, the newest first: `{items, next}`."""
        return self.call(calls.letters("acts", before, limit))

    def replay_dead_letters(
        self, ids: Sequence[str] | None = None, *, idempotency_key: str | None = None, **asked: str
    ) -> DeadLettersDone:
        """Send dead letters again: these, or without `ids` all that a filter names (as `dead_letters` takes it). Where `more` is true, call it again with its key."""
        return self.call(calls.do("replay", ids, asked, self._key(idempotency_key)))

    def drop_dead_letters(
        self, ids: Sequence[str] | None = None, *, idempotency_key: str | None = None, **asked: str
    ) -> DeadLettersDone:
        """Give dead letters up."""
        return self.call(calls.do("drop", ids, asked, self._key(idempotency_key)))

    def _pages(self, what: str, asked: calls.Asked) -> Iterator[dict[str, Any]]:
        after: str | None = ""
        while after is not None:
            page = self.call(calls.page(what, asked, after))
            yield from page.items
            after = page.next


class AsyncMessageCalls(AsyncCalls):
    """The same as coroutines."""

    async def messages(self, **asked: str | datetime | None) -> AsyncIterator[dict[str, Any]]:
        """As `MessageCalls.messages`."""
        async for item in self._pages("messages", asked):
            yield item

    async def triggers(self, **asked: str | datetime | None) -> AsyncIterator[dict[str, Any]]:
        """As `MessageCalls.triggers`."""
        async for item in self._pages("triggers", asked):
            yield item

    async def all_runs(self, **asked: str | datetime | None) -> AsyncIterator[dict[str, Any]]:
        """As `MessageCalls.all_runs`."""
        async for item in self._pages("runs", asked):
            yield item

    async def message(self, id: str, *, user: str | None = None) -> MessageStory:
        """As `MessageCalls.message`."""
        return await self.call(calls.find(id, user))

    async def stats(self, **asked: str | datetime | None) -> Stats:
        """As `MessageCalls.stats`."""
        return await self.call(calls.stats(asked))

    async def dead_letters(self, **asked: str) -> list[DeadLetterGroup]:
        """As `MessageCalls.dead_letters`."""
        return (await self.call(calls.dead_letters(asked))).items

    async def dead_letter_jobs(self, *, before: str = "", limit: int = 50) -> dict[str, Any]:
        """As `MessageCalls.dead_letter_jobs`."""
        return await self.call(calls.letters("jobs", before, limit))

    async def dead_letter_acts(self, *, before: str = "", limit: int = 50) -> dict[str, Any]:
        """As `MessageCalls.dead_letter_acts`."""
        return await self.call(calls.letters("acts", before, limit))

    async def replay_dead_letters(
        self, ids: Sequence[str] | None = None, *, idempotency_key: str | None = None, **asked: str
    ) -> DeadLettersDone:
        """As `MessageCalls.replay_dead_letters`."""
        return await self.call(calls.do("replay", ids, asked, self._key(idempotency_key)))

    async def drop_dead_letters(
        self, ids: Sequence[str] | None = None, *, idempotency_key: str | None = None, **asked: str
    ) -> DeadLettersDone:
        """As `MessageCalls.drop_dead_letters`."""
        return await self.call(calls.do("drop", ids, asked, self._key(idempotency_key)))

    async def _pages(self, what: str, asked: calls.Asked) -> AsyncIterator[dict[str, Any]]:
        after: str | None = ""
        while after is not None:
            page = await self.call(calls.page(what, asked, after))
            for item in page.items:
                yield item
            after = page.next
