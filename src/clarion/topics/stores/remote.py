"""Topics of the workers of one host: they are in the memory of the process that owns the data, which is asked, and announces what it does.

Values travel as JSON, as they are stored elsewhere. `TopicService` is the owner's end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from clarion.topics.books import channel
from clarion.topics.changes import Change, Item
from clarion.topics.engine import Frame
from clarion.topics.kinds import Read, Topic
from clarion.topics.stores.base import (
    UNBOUNDED,
    Appended,
    Expired,
    Items,
    Keep,
    TopicStore,
)
from clarion.topics.stream import Position

_encode = msgspec.json.Encoder().encode


class Line(Protocol):
    """The way to the owner."""

    def begin(
        self, name: str, body: bytes = b"", *, is_write: bool = False
    ) -> "asyncio.Future[bytes]":
        """Ask at once; the answer is to be awaited."""
        ...


class _Asked(Struct, array_like=True, frozen=True):
    """What is asked of one topic, or of several."""

    topics: list[Topic]
    changes: list[Change] = []
    keep: Keep = Keep(0, 0.0, 0)
    keys: list[str] = []
    after: str = ""
    number: int = 0
    limit: int = 0


def _reader(type: Any) -> Callable[[bytes], Any]:
    # Floats are read by Python: see protocol.jsontext.
    return msgspec.json.Decoder(type, float_hook=float).decode


_asked = _reader(_Asked)
_positions, _position, _int = _reader(list[Position]), _reader(Position), _reader(int)
_read, _items, _appended = _reader(Read), _reader(Items), _reader(Appended)
_found, _expired = _reader(list[Item | None]), _reader(list[Expired])


class RemoteTopics(TopicStore):
    """The topic store of one worker.

    Args:
        line: The way to the owner; opened and closed by who made it.
        announces: Whether the owner publishes what it does; False: it is left to the engine.
    """

    def __init__(self, line: Line, *, announces: bool = True) -> None:
        self._line = line
        self.announces = announces

    # ── reading ──
    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each topic, in their order.

        Raises:
            Unavailable: The owner is not there now. Likewise of all that follows.
        """
        found: list[Position] = _positions(await self._ask("top", _Asked(list(topics))))
        return found

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries with offsets above `after`, in order."""
        found: Read = _read(await self._ask("read", _Asked([topic], number=after, limit=limit)))
        return found

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry that was appended before a time."""
        found: int = _int(await self._ask("since", _Asked([topic], number=at_ms)))
        return found

    async def items(
        self, topic: Topic, after: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Items:
        """At most `limit` items with keys above `after`, of about `most_bytes`."""
        asked = _Asked([topic], after=after, limit=limit, number=most_bytes)
        found: Items = _items(await self._ask("items", asked))
        return found

    async def get(self, topic: Topic, keys: Sequence[str]) -> list[Item | None]:
        """The items under these keys."""
        found: list[Item | None] = _found(await self._ask("get", _Asked([topic], keys=list(keys))))
        return found

    async def count(self, topic: Topic) -> int:
        """How many items the state has."""
        found: int = _int(await self._ask("count", _Asked([topic])))
        return found

    # ── writing ──
    async def append(self, topic: Topic, changes: Sequence[Change], keep: Keep) -> Appended:
        """Make changes, all at one moment; the owner announces them at that moment.

        Raises:
            TooMany: The state would have more than `keep.keys` items.
            StorageFull: All topics together would take more than the owner may.
            OutcomeUnknown: The owner went away meanwhile.
        """
        asked = _Asked([topic], list(changes), keep)
        found: Appended = _appended(await self._ask("append", asked, is_write=True))
        return found

    async def renew(self, topic: Topic, keys: Sequence[str], expires_ms: int) -> int:
        """Let items that expire do so later."""
        asked = _Asked([topic], keys=list(keys), number=expires_ms)
        found: int = _int(await self._ask("renew", asked, is_write=True))
        return found

    async def expire(self, limit: int) -> list[Expired]:
        """Remove at most `limit` items whose time is over; the owner announces that."""
        found: list[Expired] = _expired(
            await self._ask("expire", _Asked([], limit=limit), is_write=True)
        )
        return found

    async def trim(self) -> int:
        """Forget what is kept no longer, and topics that nobody has used for that time."""
        found: int = _int(await self._ask("trim", _Asked([]), is_write=True))
        return found

    async def clear(self, topic: Topic) -> Position:
        """Forget log and state; the topic goes on in a new epoch."""
        found: Position = _position(await self._ask("clear", _Asked([topic]), is_write=True))
        return found

    async def close(self) -> None:
        """Let go of what is held: nothing, the link belongs to who made it."""

    async def _ask(self, name: str, asked: _Asked, *, is_write: bool = False) -> bytes:
        return await self._line.begin(f"topics.{name}", _encode(asked), is_write=is_write)


class TopicService:
    """What workers may ask of topics.

    Args:
        store: In the owner's memory.
        publish: Takes a channel and a message for all workers.
    """

    def __init__(self, store: TopicStore, publish: Callable[[str, bytes], None]) -> None:
        self._store = store
        self._publish = publish

    @property
    def answers(self) -> Mapping[str, Callable[[bytes], Awaitable[bytes] | None]]:
        """What may be asked."""
        names = [
            "top",
            "read",
            "since",
            "items",
            "get",
            "count",
            "append",
            "renew",
            "expire",
            "trim",
            "clear",
        ]
        return {f"topics.{name}": getattr(self, f"_{name}") for name in names}

    def gone(self) -> None:
        """Nothing is kept for a worker."""

    async def _top(self, body: bytes) -> bytes:
        return _encode(await self._store.top(_asked(body).topics))

    async def _read(self, body: bytes) -> bytes:
        asked = _asked(body)
        return _encode(await self._store.read(asked.topics[0], asked.number, asked.limit))

    async def _since(self, body: bytes) -> bytes:
        asked = _asked(body)
        return _encode(await self._store.since(asked.topics[0], asked.number))

    async def _items(self, body: bytes) -> bytes:
        asked = _asked(body)
        found = await self._store.items(asked.topics[0], asked.after, asked.limit)
        size = 0
        for at, (_, item) in enumerate(found.items):
            if size >= asked.number:
                return _encode(Items(found.position, found.items[:at], more=True))
            size += len(_encode(item.data))
        return _encode(found)

    async def _get(self, body: bytes) -> bytes:
        asked = _asked(body)
        return _encode(await self._store.get(asked.topics[0], asked.keys))

    async def _count(self, body: bytes) -> bytes:
        return _encode(await self._store.count(_asked(body).topics[0]))

    async def _append(self, body: bytes) -> bytes:
        asked = _asked(body)
        appended = await self._store.append(asked.topics[0], asked.changes, asked.keep)
        self._announce(asked.topics[0], appended.position.epoch, appended.entries)
        return _encode(appended)

    async def _renew(self, body: bytes) -> bytes:
        asked = _asked(body)
        return _encode(await self._store.renew(asked.topics[0], asked.keys, asked.number))

    async def _expire(self, body: bytes) -> bytes:
        expired = await self._store.expire(_asked(body).limit)
        for each in expired:
            self._announce(each.topic, each.epoch, each.entries)
        return _encode(expired)

    async def _trim(self, _: bytes) -> bytes:
        return _encode(await self._store.trim())

    async def _clear(self, body: bytes) -> bytes:
        return _encode(await self._store.clear(_asked(body).topics[0]))

    def _announce(self, topic: Topic, epoch: str, entries: Sequence[Any]) -> None:
        # In the order of the log: the store in memory changes and returns without any waiting.
        if entries:
            self._publish(channel(topic), _encode(Frame(epoch, list(entries))))
