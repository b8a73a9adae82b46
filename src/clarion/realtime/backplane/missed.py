"""What a client missed, read from the stream when it comes back."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from clarion.bus.stream import Stream
from clarion.errors import PeerError
from clarion.protocol.redis_adapter import Broadcast, Entry
from clarion.protocol.redis_adapter.streams import id_at, position_of
from clarion.realtime.history import Entry as Event
from clarion.realtime.history import History, Outcome, Stays
from clarion.realtime.hub import Hub
from clarion.realtime.socket import Socket
from clarion.realtime.transports.base import Prepared

AT_ONCE: Final = 1_000  # entries that are read together
ROUNDS: Final = 100  # of reading after a stream that grows; as in Node


class Place(History[Prepared]):
    """Where this node is in the stream: `top` is the id of the entry that was read last. The events are in Redis."""

    __slots__ = ()

    def offset(self, *, is_next: bool) -> str:
        """Of what a client is sent now."""
        return id_at(self.top)


class _Said(Struct, frozen=True):
    number: int
    message: Broadcast

    @property
    def size(self) -> int:
        """Not known yet."""
        return 0


class Missed:
    """Reads for the clients of one namespace.

    Args:
        hub: The namespace's.
        stream: What all nodes read.
        place: Where this one is in it.
    """

    def __init__(self, hub: Hub[Socket], stream: Stream, place: Place) -> None:
        self._hub, self._stream, self._place = hub, stream, place

    async def read(self, stays: Stays, after: int) -> list[Prepared] | Outcome:
        """What was added behind a position, as far as this node has read it by the end: what it reads later comes anyway."""
        redis, key = self._stream.redis, self._stream.key
        if not await self._is_whole(after):
            return Outcome.TRIMMED
        read: list[Event[_Said]] = []
        at = after
        for _ in range(ROUNDS):
            known = self._place.top
            command = ("XRANGE", key, f"({id_at(at)}", "+", "COUNT", AT_ONCE)
            some = await redis.call(key, *command, is_write=False)
            read += [event for id, fields in some if (event := self._event(id, fields)) is not None]
            at = position_of(some[-1][0].decode()) if some else max(at, known)
            if len(some) < AT_ONCE and self._place.top <= max(at, known):
                break
        else:
            return Outcome.TOO_MUCH
        top = self._place.top
        meant = stays.selected(event for event in read if event.number <= top)
        items = list(map(self._prepared, meant))
        size = sum(item.size for item in items)
        return items if size <= self._hub.limits.egress_hard_bytes // 2 else Outcome.TOO_MUCH

    async def _is_whole(self, after: int) -> bool:
        """Whether nothing behind a position was dropped."""
        redis, key = self._stream.redis, self._stream.key
        if not await redis.call(key, "EXISTS", key, is_write=False):
            return after == 0
        told = _named(await redis.call(key, "XINFO", "STREAM", key, is_write=False))
        first: Any = told.get(b"first-entry")
        return told.get(b"entries-added") == told.get(b"length") or (
            bool(first) and position_of(first[0].decode()) <= after
        )

    def _event(self, id: bytes, fields: Sequence[bytes]) -> Event[_Said] | None:
        said = dict(zip(fields[::2], fields[1::2], strict=True))
        if said.get(b"nsp") != self._hub.name.encode() or said.get(b"type") != b"3":
            return None
        try:
            message = Entry.read(said).message
        except PeerError:
            return None  # counted when it was read
        if not isinstance(message, Broadcast) or message.options.is_volatile:
            return None
        number, options = position_of(id.decode()), message.options
        return Event(number, 0.0, options.rooms, options.excluded, _Said(number, message))

    def _prepared(self, said: "_Said") -> Prepared:
        name, *args = said.message.event
        compress = said.message.options.compress is not False
        return self._hub.prepare(name, (*args, id_at(said.number)), compress=compress)


def _named(told: Any) -> dict[bytes, Any]:
    """What XINFO says; in RESP2 it is a list."""
    said: dict[bytes, Any] = told
    return said if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
