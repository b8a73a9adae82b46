"""What a client missed, read from the stream when it comes back."""

import asyncio
from bisect import bisect_right
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
KEPT_S: Final = 2.0  # after the last client: a crowd comes back within seconds


class Place(History[Prepared]):
    """Where this node is in the stream: `top` is the id of the entry that was read last. The events are in Redis."""

    __slots__ = ()

    def offset(self, *, is_next: bool) -> str:
        """Of what a client is sent now."""
        return id_at(self.top)


class _Said(Struct):
    number: int
    message: Broadcast
    prepared: Prepared | None = None
    """For whom it was meant first; the others get the same."""

    @property
    def size(self) -> int:
        """Not known yet."""
        return 0


class Missed:
    """Reads for the clients of one namespace.

    Whoever comes back at the same time, as all clients of a node that has ended do, shares what is read: it is kept for `KEPT_S` after the last of them.

    Args:
        hub: The namespace's.
        stream: What all nodes read.
        place: Where this one is in it.
    """

    def __init__(self, hub: Hub[Socket], stream: Stream, place: Place) -> None:
        self._hub, self._stream, self._place = hub, stream, place
        self._one_at_a_time = asyncio.Lock()
        # Invariant: _read is all there is of this namespace behind _after, up to _upto.
        self._read: list[Event[_Said]] = []
        self._after = self._upto = 0
        self._forgetting: asyncio.TimerHandle | None = None

    async def read(self, stays: Stays, after: int) -> list[Prepared] | Outcome:
        """What was added behind a position, as far as this node has read it by the end: what it reads later comes anyway."""
        if (why := await self._reach(after)) is not None:
            return why
        top = self._place.top
        first = bisect_right(self._read, after, key=_number)
        last = bisect_right(self._read, top, key=_number)
        items = list(map(self._prepared, stays.selected(self._read[first:last])))
        size = sum(item.size for item in items)
        return items if size <= self._hub.limits.egress_hard_bytes // 2 else Outcome.TOO_MUCH

    async def _reach(self, after: int) -> Outcome | None:
        """Have read all from there to where this node is; or why that cannot be."""
        async with self._one_at_a_time:
            self._keep()
            if not self._is_kept or after < self._after:
                self._read, self._after, self._upto = [], after, after
            elif self._upto >= self._place.top:
                return None
            if not await self._is_whole(self._upto):
                self._upto = 0
                return Outcome.TRIMMED
            for _ in range(ROUNDS):
                if self._upto >= self._place.top:
                    return None
                await self._read_on()
            return Outcome.TOO_MUCH

    async def _read_on(self) -> None:
        redis, key, known = self._stream.redis, self._stream.key, self._place.top
        command = ("XRANGE", key, f"({id_at(self._upto)}", "+", "COUNT", AT_ONCE)
        some = await redis.call(key, *command, is_write=False)
        self._read += [event for id, said in some if (event := self._event(id, said)) is not None]
        self._upto = position_of(some[-1][0].decode()) if some else max(self._upto, known)

    @property
    def _is_kept(self) -> bool:
        return self._upto > 0

    def _keep(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(KEPT_S, self._forget)

    def _forget(self) -> None:
        if self._one_at_a_time.locked():
            self._keep()
            return
        self._read, self._after, self._upto, self._forgetting = [], 0, 0, None

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
        if said.prepared is not None:
            return said.prepared
        name, *args = said.message.event
        compress = said.message.options.compress is not False
        said.prepared = self._hub.prepare(name, (*args, id_at(said.number)), compress=compress)
        return said.prepared


def _number(event: Event[_Said]) -> int:
    return event.number


def _named(told: Any) -> dict[bytes, Any]:
    """What XINFO says; in RESP2 it is a list."""
    said: dict[bytes, Any] = told
    return said if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
