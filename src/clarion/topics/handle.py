"""One topic, as an application changes and reads it in Python: rights are not asked, limits hold."""

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from clarion.errors import Conflict, Forbidden, Invalid
from clarion.topics.changes import REMOVE, Change, Item
from clarion.topics.kinds import Kind, Topic
from clarion.topics.publishing import At, Call, Publish, Published
from clarion.topics.stores import Appended, Items, TopicStore

TRIES: Final = 16  # of compare and set: as many others may win
ItemOrNone = TypeVar("ItemOrNone", bound=Item | None)
_encode: Final = msgspec.json.Encoder().encode
# Floats are read by Python: see protocol.jsontext.
_decode: Final = msgspec.json.Decoder(float_hook=float).decode


class Home(Protocol):
    """Where a topic is: what a handle needs of `Topics`."""

    async def append(self, kind: Kind, call: Call, given: Publish) -> Published:
        """Append a publication, and announce it."""
        ...

    async def change(self, kind: Kind, topic: Topic, changes: Sequence[Change]) -> Appended:
        """Make changes, all at one moment, and announce them."""
        ...


class TopicHandle:
    """One topic, as the application uses it.

    Args:
        topics: Where it is.
        topic: Its name.
        kind: What it is.
    """

    def __init__(self, topics: Home, topic: Topic, kind: Kind) -> None:
        self._topics = topics
        self.topic = topic
        self.kind = kind

    async def publish(self, event: str, data: Any = None, **more: Any) -> Published:
        """Append to a stream. `more`: `id`, `tags`, see `Publish`.

        Raises:
            Invalid, TooLarge, Unavailable: It cannot be published.
        """
        return await self._append(Publish(event=event, data=data, **more))

    async def set(self, key: str, data: Any, **more: Any) -> Published:
        """Set an item of a map. `more`: `id`, `version`, `only`, `ttl_s`, `tags`, see `Publish`.

        Raises:
            Conflict: `only` did not hold.
            Invalid, TooLarge, TooMany, Unavailable: It cannot be set.
        """
        return await self._append(Publish(key=key, data=data, **more))

    async def remove(self, key: str, data: Any = None, **more: Any) -> Published:
        """Remove an item of a map. `more`: `id`, `version`, `only`, see `Publish`.

        Raises:
            Conflict: `only` did not hold.
            Unavailable: The store is not there now.
        """
        return await self._append(Publish(event=REMOVE, key=key, data=data, **more))

    async def increment(self, key: str, by: float = 1) -> Any:
        """Add to the number under a key, which begins at 0; returns the sum.

        Raises:
            Invalid: What is there is no number.
            Conflict: Others changed it all the time.
        """

        def add(data: Any) -> Any:
            if data is not None and (isinstance(data, bool) or not isinstance(data, int | float)):
                raise Invalid(f"what is under {key!r} is no number")
            return (data or 0) + by

        return await self.update(key, add)

    async def update(self, key: str, change: Any) -> Any:
        """Set an item to what a function makes of its data (None: there is no item); returns that. The function may be called again.

        Raises:
            Conflict: Others changed it all the time.
            Invalid, TooLarge, TooMany, Unavailable: It cannot be set.
        """
        for _ in range(TRIES):
            item = await self.get(key)
            data = change(None if item is None else item.data)
            try:
                await self.set(key, data, only="absent" if item is None else At(item.offset))
            except Conflict:
                continue
            return data
        raise Conflict(f"others changed {key!r} {TRIES} times meanwhile")

    async def give(self, given: Publish) -> Published:
        """Publish what has the form that clients send.

        Raises:
            Invalid, TooLarge, TooMany, Conflict, Unavailable: As `Topics.publish`.
        """
        return await self._append(given)

    async def get(self, key: str) -> Item | None:
        """The item under a key, or None."""
        return own((await store_of(self.kind).get(self.topic, [key]))[0])

    async def items(self, after: str = "", limit: int = 500) -> Items:
        """Items of a map in the order of their keys, behind one."""
        found = await store_of(self.kind).items(self.topic, after, limit)
        mine = [(key, own(item)) for key, item in found.items]
        return msgspec.structs.replace(found, items=mine)

    async def change(self, *changes: Change) -> Appended:
        """Make changes, all at one moment.

        Raises:
            TooMany, StorageFull, Unavailable: See `TopicStore.append`.
        """
        return await self._topics.change(self.kind, self.topic, changes)

    async def _append(self, given: Publish) -> Published:
        return await self._topics.append(self.kind, Call(self.topic), given)


def own(item: ItemOrNone) -> ItemOrNone:
    """An item whose data may be changed without changing the topic's."""
    if item is None:
        return item
    return msgspec.structs.replace(item, data=_decode(_encode(item.data)))


def store_of(kind: Kind) -> TopicStore:
    """The topic store of a kind.

    Raises:
        Forbidden: It has rows of its own.
    """
    if not isinstance(kind.log, TopicStore):
        raise Forbidden(f"topics of kind {kind.name} are changed in ways of their own")
    return kind.log
