"""Speaking to all of a namespace: what a namespace, a family of them and the server (to its `/`) have in common."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from clarion.realtime.emitter import Emitter
from clarion.realtime.hub import Hub
from clarion.realtime.operators import Operator, Recipient
from clarion.realtime.peers import EVERYBODY, Selection
from clarion.realtime.remote import RemoteSocket
from clarion.realtime.rooms import Rooms
from clarion.realtime.transports.base import Prepared

C = TypeVar("C", bound=Recipient)


class Speaking(Generic[C]):
    """Shortcuts to an `Operator` that means everybody."""

    _hub: Hub[C]

    @property
    def _everybody(self) -> Operator[C]:
        return Operator(self._hub)

    # ── who is there ──
    @property
    def sockets(self) -> Mapping[str, C]:
        """Those that are connected to this process, by id."""
        return self._hub.sockets

    @property
    def rooms(self) -> dict[str, int]:
        """Rooms that somebody of this process joined, and how many; without the rooms of ids."""
        return self._hub.rooms()

    @property
    def adapter(self) -> Emitter:
        """Tells of rooms: `create_room(room)`, `join_room(room, id)`, `leave_room(room, id)`, `delete_room(room)`."""
        return self._hub.adapter

    # ── choosing ──
    def to(self, *rooms: Rooms) -> Operator[C]:
        """Everybody in any of these rooms."""
        return self._everybody.to(*rooms)

    def in_(self, *rooms: Rooms) -> Operator[C]:
        """The same as `to`."""
        return self._everybody.to(*rooms)

    def except_(self, *rooms: Rooms) -> Operator[C]:
        """Everybody who is in none of these rooms."""
        return self._everybody.except_(*rooms)

    @property
    def volatile(self) -> Operator[C]:
        """Everybody; the event is dropped for those who are behind."""
        return self._everybody.volatile

    @property
    def local(self) -> Operator[C]:
        """Everybody on this node."""
        return self._everybody.local

    def compress(self, wanted: bool) -> Operator[C]:
        """Everybody; whether connections that compress may do it with the event."""
        return self._everybody.compress(wanted)

    def timeout(self, seconds: float) -> Operator[C]:
        """Everybody; how long to wait for answers."""
        return self._everybody.timeout(seconds)

    # ── acting ──
    def emit(self, event: str, *args: Any) -> int:
        """Send an event to everybody; see `Operator.emit`."""
        return self._everybody.emit(event, *args)

    def send(self, *args: Any) -> int:
        """Emit the event `message`."""
        return self._everybody.emit("message", *args)

    def write(self, *args: Any) -> int:
        """The same as `send`."""
        return self._everybody.emit("message", *args)

    def prepare(self, event: str, *args: Any) -> Prepared:
        """Encode an event once, for `deliver` of many sockets. Recovery does not keep it.

        Raises:
            UsageError: A reserved name, or a value that can't be sent.
        """
        if self._hub.recovery is not None and isinstance((event, *args)[-1], str):
            args = (*args, None)  # a client would take the text for its offset
        return self._hub.prepare(event, args)

    def deliver(self, prepared: Prepared, selection: Selection = EVERYBODY) -> int:
        """Send an event that was encoded by `prepare`; returns to how many of this process."""
        return self._hub.deliver(selection, prepared)

    async def fetch_sockets(self) -> list[C | RemoteSocket]:
        """Everybody, on whatever node."""
        return await self._everybody.fetch_sockets()

    async def sockets_join(self, *rooms: Rooms) -> None:
        """Put everybody into rooms."""
        await self._everybody.sockets_join(*rooms)

    async def sockets_leave(self, *rooms: Rooms) -> None:
        """Take everybody out of rooms."""
        await self._everybody.sockets_leave(*rooms)

    async def disconnect_sockets(self, *, close: bool = False) -> None:
        """Put everybody out; with `close` end their sessions."""
        await self._everybody.disconnect_sockets(close=close)
