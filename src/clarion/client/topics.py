"""What both clients say of topics, and of users who are kept out."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from clarion.client import topic_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import ApiError, batches
from clarion.client.topic_calls import Block, Item, Occupancy, Publication, Published, State


class TopicCalls(Calls):
    """The part of `Client` that speaks of topics."""

    def publish(
        self,
        topic: str,
        event: str | None = None,
        data: Any = None,
        *,
        key: str | None = None,
        id: str | None = None,
        version: int = 0,
        only: str | Mapping[str, int] | None = None,
        ttl_s: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Published:
        """Publish to a topic: append `event` to a stream; with a `key` set an item of a map, or take it away (event `remove`).

        Args:
            topic: `kind:name`.
            event: What happened; may be left out where an item is set.
            data: JSON.
            key: Of a map's item.
            id: Makes calls from several processes one call; by default one is made for this call's retries.
            version: Written only if the key's is lower.
            only: `absent`, `present` or `{"at": offset}`; otherwise `conflict`, whose `problem["current"]` is what is there.
            ttl_s: The item goes by itself after so many seconds.
            tags: For filters.

        Raises:
            ApiError: The server refused it, or could not be reached.
        """
        given = topic_calls.publication(event, data, key, self._key(id), version, only, ttl_s, tags)
        return self.call(topic_calls.publish(topic, given))

    def publish_many(self, publications: Iterable[Mapping[str, Any]]) -> list[Published | ApiError]:
        """Publish to many topics, in calls of 1,000: dicts of `topic` and what `publish` takes (`if` for `only`).

        Returns:
            For each, in their order, where it stands, or the error: what is wrong with one does not keep the others.

        Raises:
            ApiError: A whole call failed. Those before it are done.
        """
        given = [{**each, "id": self._key(each.get("id"))} for each in publications]
        found: list[Published | ApiError] = []
        for some in batches(given):
            found += topic_calls.outcomes(self.call(topic_calls.publish_many(some)))
        return found

    def state(self, topic: str) -> State:
        """A topic's state and position; of a map the first page, see `items`."""
        return self.call(topic_calls.state(topic))

    def items(self, topic: str) -> Iterator[Item]:
        """All items of a map, in the order of their keys, page by page; each as it is when its page is read."""
        return self._each(partial(topic_calls.items, topic))

    def publications(
        self,
        topic: str,
        after: int | None = None,
        *,
        since_ms: int | None = None,
        page: int = 1_000,
    ) -> Iterator[Publication]:
        """What a topic's log still has, the oldest first, page by page.

        Args:
            topic: `kind:name`.
            after: Behind this offset; None: all that are kept.
            since_ms: Not older than this (ms since 1970).
            page: Publications of a call.

        Raises:
            LostPublications: Some behind `after` are kept no longer, or the log began anew meanwhile.
        """
        epoch: str | None = None
        while True:
            found = self.call(topic_calls.publications(topic, after, since_ms, page))
            topic_calls.check_page(found, epoch)
            yield from found.items
            if not found.more or not found.items:
                return
            epoch, after, since_ms = found.epoch, found.items[-1].offset, None

    def occupancy(self, topic: str) -> Occupancy:
        """How many are subscribed to a topic."""
        return self.call(topic_calls.occupancy(topic))

    def unsubscribe_user(self, user: str, topic: str | None = None) -> int:
        """End a user's subscriptions to a topic, or to all (None). Returns how many."""
        return (self.call(topic_calls.unsubscribe(user, topic))).subscriptions

    def block_user(self, user: str, *, for_s: float | None = None, reason: str = "") -> Block:
        """Keep a user out, for so many seconds or for ever (None): what they opened ends at once."""
        return self.call(topic_calls.block(user, for_s, reason))

    def block_of(self, user: str) -> Block | None:
        """A user's block; None: there is none."""
        try:
            return self.call(topic_calls.find_block(user))
        except ApiError as exc:
            if exc.code != "not_found":
                raise
            return None

    def unblock_user(self, user: str) -> None:
        """Let a user in again."""
        self.call(topic_calls.unblock(user))


class AsyncTopicCalls(AsyncCalls):
    """The same as coroutines, and asynchronous iterators."""

    async def publish(
        self,
        topic: str,
        event: str | None = None,
        data: Any = None,
        *,
        key: str | None = None,
        id: str | None = None,
        version: int = 0,
        only: str | Mapping[str, int] | None = None,
        ttl_s: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Published:
        """As `TopicCalls.publish`."""
        given = topic_calls.publication(event, data, key, self._key(id), version, only, ttl_s, tags)
        return await self.call(topic_calls.publish(topic, given))

    async def publish_many(
        self, publications: Iterable[Mapping[str, Any]]
    ) -> list[Published | ApiError]:
        """As `TopicCalls.publish_many`."""
        given = [{**each, "id": self._key(each.get("id"))} for each in publications]
        found: list[Published | ApiError] = []
        for some in batches(given):
            found += topic_calls.outcomes(await self.call(topic_calls.publish_many(some)))
        return found

    async def state(self, topic: str) -> State:
        """As `TopicCalls.state`."""
        return await self.call(topic_calls.state(topic))

    def items(self, topic: str) -> AsyncIterator[Item]:
        """As `TopicCalls.items`."""
        return self._each(partial(topic_calls.items, topic))

    async def publications(
        self,
        topic: str,
        after: int | None = None,
        *,
        since_ms: int | None = None,
        page: int = 1_000,
    ) -> AsyncIterator[Publication]:
        """As `TopicCalls.publications`."""
        epoch: str | None = None
        while True:
            found = await self.call(topic_calls.publications(topic, after, since_ms, page))
            topic_calls.check_page(found, epoch)
            for each in found.items:
                yield each
            if not found.more or not found.items:
                return
            epoch, after, since_ms = found.epoch, found.items[-1].offset, None

    async def occupancy(self, topic: str) -> Occupancy:
        """As `TopicCalls.occupancy`."""
        return await self.call(topic_calls.occupancy(topic))

    async def unsubscribe_user(self, user: str, topic: str | None = None) -> int:
        """As `TopicCalls.unsubscribe_user`."""
        return (await self.call(topic_calls.unsubscribe(user, topic))).subscriptions

    async def block_user(self, user: str, *, for_s: float | None = None, reason: str = "") -> Block:
        """As `TopicCalls.block_user`."""
        return await self.call(topic_calls.block(user, for_s, reason))

    async def block_of(self, user: str) -> Block | None:
        """As `TopicCalls.block_of`."""
        try:
            return await self.call(topic_calls.find_block(user))
        except ApiError as exc:
            if exc.code != "not_found":
                raise
            return None

    async def unblock_user(self, user: str) -> None:
        """As `TopicCalls.unblock_user`."""
        await self.call(topic_calls.unblock(user))
