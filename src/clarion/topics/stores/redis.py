"""Topics in Redis: one Lua script for each operation, so that each happens at one moment, whatever number of nodes write.

Topics are spread over shards, each of which is one hash tag: the keys of a topic and its shard's index of what is due are in one slot of
a Cluster, so that a change and its index entry are one. What the keys are: `lua/topic.lua`. An epoch lives as long as its keys; a Redis that
lost its last second keeps the epoch, and the marks tell.
"""

import binascii
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Struct

from clarion.bus.scripts import Part, Script
from clarion.clock import Clock
from clarion.errors import ClarionError, TooMany, UsageError
from clarion.ids import Ids
from clarion.telemetry import get_logger, limit_exceeded
from clarion.topics.changes import Change, Item, Outcome, Refusal
from clarion.topics.kinds import Read, Topic
from clarion.topics.stores.base import (
    UNBOUNDED,
    Appended,
    Expired,
    Items,
    Keep,
    TopicStore,
)
from clarion.topics.stream import Entry, Position

if TYPE_CHECKING:
    from clarion.bus.redis import RedisClient  # of an optional extra

_log = get_logger(__name__)

SHARDS: Final = 128
"""Hash tags that topics are spread over: a Cluster of 10 has 7 to 19 on each. Never changed: topics would be looked for elsewhere."""
TRIM_AT_ONCE: Final = 500  # topics
TRIM_SLICE: Final = 1_000  # entries of a topic in one script, which nobody comes between

_encode = msgspec.json.Encoder(order="deterministic").encode
# Floats are read by Python: see protocol.jsontext.
_decode_entries = msgspec.json.Decoder(list[Entry], float_hook=float).decode
_decode = msgspec.json.Decoder(float_hook=float).decode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode
_REFUSALS: Final[tuple[Refusal | None, ...]] = (None, "duplicate", "guard")


def _script(name: str) -> Script:
    folder = files("clarion.topics.stores") / "lua"
    return Script(
        "\n".join((folder / f"{each}.lua").read_text(encoding="utf-8") for each in ("topic", name))
    )


_APPEND, _TOP, _READ, _SINCE = (_script(name) for name in ("append", "top", "read", "since"))
_ITEMS, _RENEW, _EXPIRE, _TRIM, _CLEAR = (
    _script(name) for name in ("items", "renew", "expire", "trim", "clear")
)


class _Place(Struct, frozen=True):
    """A topic in Redis: its name, and its keys in the order in which scripts expect them."""

    name: bytes
    keys: tuple[bytes, ...]

    @property
    def items(self) -> bytes:
        return self.keys[2]


class RedisStore(TopicStore):
    """Topics of all nodes that share a Redis.

    Args:
        redis: The client; closed by who made it.
        clock: For ages and expiry: this node's, so nodes must agree about the time within seconds.
        ids: For epochs and marks.
        prefix: Of all keys.
        channel: Where in Redis a script publishes what it does to a topic, in the frame of `engine.announce`
            (`lambda topic: bus.name_of(books.channel(topic))`); None: nowhere, it is left to the engine.

    Raises:
        UsageError: The prefix has a brace in it.
    """

    def __init__(
        self,
        redis: "RedisClient",
        *,
        clock: Clock,
        ids: Ids,
        prefix: str = "clarion",
        channel: Callable[[Topic], str] | None = None,
    ) -> None:
        if "{" in prefix or "}" in prefix:
            raise UsageError(f"prefix {prefix!r}: braces would be the keys' hash tag")
        self._redis = redis
        self._clock = clock
        self._ids = ids
        self._channel = channel
        self.announces = channel is not None
        self._shards = [f"{prefix}:{{t{number}}}:".encode() for number in range(SHARDS)]
        self._place = lru_cache(maxsize=4096)(self._find_place)

    # ── reading ──
    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each topic, in their order.

        Raises:
            Unavailable: Redis is not there now. Likewise of all that follows.
        """
        calls = [(self._place(topic).keys, self._args(topic)) for topic in topics]
        replies = await self._redis.run_many(_TOP, calls, is_write=False)
        return [_position(_known(reply)) for reply in replies]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries with offsets above `after`, in order."""
        reply = await self._run(_READ, topic, after + 1, limit, is_write=False)
        return Read(_position(reply), _entries(reply[3]))

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry that was appended before a time."""
        found: int = await self._run(_SINCE, topic, at_ms, is_write=False)
        return found

    async def items(
        self, topic: Topic, after: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Items:
        """At most `limit` items with keys above `after`, of about `most_bytes`."""
        reply = await self._run(_ITEMS, topic, after, limit, most_bytes, is_write=False)
        some = [(reply[at].decode(), _item(reply[at + 1])) for at in range(4, len(reply), 2)]
        return Items(_position(reply), some, bool(reply[3]))

    async def get(self, topic: Topic, keys: Sequence[str]) -> list[Item | None]:
        """The items under these keys."""
        if not keys:
            return []
        place = self._place(topic).items
        found = await self._redis.call(place, "HMGET", place, *keys, is_write=False)
        items = [None if raw is None else _item(raw) for raw in found]
        return [None if item is None or item.is_gone else item for item in items]

    async def count(self, topic: Topic) -> int:
        """How many items the state has."""
        place = self._place(topic).items
        found: int = await self._redis.call(place, "HLEN", place, is_write=False)
        return found

    # ── writing ──
    async def append(self, topic: Topic, changes: Sequence[Change], keep: Keep) -> Appended:
        """Make changes, all at one moment.

        Raises:
            TooMany: The state would have more than `keep.keys` items.
            StorageFull: Redis has no memory left.
            Unavailable: Redis is not there now; `OutcomeUnknown` if it went away meanwhile.
        """
        age_ms = int(keep.age_s * 1000)
        parts = [part for change in changes for part in self._parts(change)]
        reply = await self._run(_APPEND, topic, keep.size, age_ms, keep.keys, *parts)
        if len(reply) == 1:
            limit_exceeded.labels("topic_keys").inc()
            raise TooMany(
                f"a topic has at most {keep.keys} keys (limits.topic_keys)", limit=keep.keys
            )
        outcomes = [
            Outcome(offset, mark, _REFUSALS[code], _item(raw) if raw else None)
            for offset, mark, code, raw in reply[4]
        ]
        return Appended(_position(reply), _entries(reply[3]), outcomes)

    async def renew(self, topic: Topic, keys: Sequence[str], expires_ms: int) -> int:
        """Let items that expire do so later."""
        count: int = await self._run(_RENEW, topic, max(1, expires_ms), *keys)
        return count

    async def expire(self, limit: int) -> list[Expired]:
        """Remove at most `limit` items whose time is over.

        If a part of Redis fails meanwhile, what was removed in the others is returned all the same.
        """
        due: dict[Topic, list[str]] = {}
        for member in await self._due(b"due", limit):
            topic, key = _due_item(member)
            due.setdefault(topic, []).append(key)
        calls = [
            (
                self._place(topic).keys,
                self._args(topic, *(part for key in keys for part in (key, self._ids.mark()))),
            )
            for topic, keys in due.items()
        ]
        replies = await self._redis.run_many(_EXPIRE, calls)
        failed = [reply for reply in replies if isinstance(reply, ClarionError)]
        if failed and len(failed) == len(replies):
            raise failed[0]
        if failed:
            _log.warning("some items do not expire now", topics=len(failed), error=failed[0].code)
        return [
            Expired(topic, reply[0].decode(), _entries(reply[1]))
            for topic, reply in zip(due, replies, strict=True)
            if not isinstance(reply, ClarionError) and reply[1]
        ]

    async def trim(self) -> int:
        """Forget what is kept no longer, and topics that nobody has used for that time."""
        count = 0
        # What was looked at is due again only if there was more than a slice to do.
        while names := await self._due(b"topics", TRIM_AT_ONCE):
            topics = [_topic(name) for name in names]
            calls = [(self._place(topic).keys, self._args(topic, TRIM_SLICE)) for topic in topics]
            count += sum(_known(reply) for reply in await self._redis.run_many(_TRIM, calls))
        return count

    async def clear(self, topic: Topic) -> Position:
        """Forget log and state; the topic goes on in a new epoch."""
        return _position(await self._run(_CLEAR, topic))

    async def close(self) -> None:
        """Let go of what is held: nothing, the client belongs to who made it."""

    # ── within ──
    def _find_place(self, topic: Topic) -> _Place:
        name = f"{topic.tenant}|{topic.kind}:{topic.name}".encode()
        shard = self._shards[binascii.crc32(name) % SHARDS]
        own = (b"head:", b"log:", b"items:", b"names:", b"ids:", b"order:")
        return _Place(
            name, (*(shard + kind + name for kind in own), shard + b"due", shard + b"topics")
        )

    def _args(self, topic: Topic, *more: Part) -> list[Part]:
        channel = "" if self._channel is None else self._channel(topic)
        name = self._place(topic).name
        return [name, self._clock.now_ms(), self._ids.token(9), channel, *more]

    async def _run(self, script: Script, topic: Topic, *args: Part, is_write: bool = True) -> Any:
        keys = self._place(topic).keys
        return await self._redis.run(script, keys, self._args(topic, *args), is_write=is_write)

    async def _due(self, index: bytes, limit: int) -> list[bytes]:
        """What is due by now in the shards' indexes of that name, at most so many."""
        now = self._clock.now_ms()
        keys = [shard + index for shard in self._shards]
        found = await self._redis.call_many(
            [(key, ("ZRANGEBYSCORE", key, "-inf", now, "LIMIT", 0, limit)) for key in keys],
            is_write=False,
        )
        return [member for some in found for member in some][:limit]

    def _parts(self, change: Change) -> tuple[Part, ...]:
        draws = f"{self._ids.mark()} {self._ids.mark()}"
        expires = 0 if change.expires_ms is None else max(1, change.expires_ms)
        guard = f"{change.guard.kind} {change.guard.value}"
        return (
            f"{draws} {guard} {change.version} {expires} {int(change.key is not None)}",
            change.key or "",
            change.id,
            _encode(change.event),
            _encode(change.data),
            b"" if change.tags is None else _encode(change.tags),
            b"" if change.item is UNSET else _encode(change.item),
        )


def _position(reply: Sequence[Any]) -> Position:
    return Position(reply[0].decode(), reply[1], reply[2])


def _known(reply: Any) -> Any:
    if isinstance(reply, ClarionError):
        raise reply
    return reply


def _entries(texts: Sequence[bytes]) -> list[Entry]:
    return _decode_entries(b"[" + b",".join(texts) + b"]")


def _item(raw: bytes) -> Item:
    offset, version, expires, gone, size, rest = raw.split(b" ", 5)
    tags = rest[: int(size)]
    return Item(
        _decode(rest[int(size) :]),
        int(offset),
        int(version),
        int(expires) or None,
        _decode_tags(tags) if tags else None,
        gone == b"1",
    )


def _topic(name: bytes) -> Topic:
    # A tenant's name has no `|`, a kind's no `:`.
    tenant, _, rest = name.decode().partition("|")
    kind, _, own = rest.partition(":")
    return Topic(tenant, kind, own)


def _due_item(member: bytes) -> tuple[Topic, str]:
    size, _, rest = member.partition(b":")
    return _topic(rest[: int(size)]), rest[int(size) :].decode()
