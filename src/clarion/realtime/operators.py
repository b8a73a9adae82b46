"""Whom an event goes to, said step by step: `io.to("a").except_("b").volatile.emit("x")`.

Each step gives a new operator, and none leaves a trace on the socket or the namespace: in Node `socket.volatile` sets a flag that
the next emit takes, whoever makes it.

Answers are awaited, never called back: `await io.to("a").timeout(2).emit_with_ack("q")`.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from clarion.errors import AckTimeout, UsageError
from clarion.realtime.acks import DEFAULT_TIMEOUT_S, Acks, Pending, checked_timeout
from clarion.realtime.egress import Sent
from clarion.realtime.hub import Hub, Member
from clarion.realtime.peers import Answers, Peers, Selection
from clarion.realtime.remote import RemoteSocket
from clarion.realtime.rooms import Rooms, check_room, chosen, flat
from clarion.realtime.transports.base import Prepared

NOBODY: Final = ("",)
"""Rooms in which nobody can be: no room has an empty name."""


class Recipient(Member, Protocol):
    """What operators need of a socket."""

    @property
    def acks(self) -> Acks:
        """The questions that it has not answered."""
        ...

    def deliver(self, prepared: Prepared, /) -> Sent:
        """Send it an event that was encoded before."""
        ...

    def join(self, *rooms: str | Iterable[str]) -> None:
        """Put it into rooms."""
        ...

    def leave(self, room: str) -> None:
        """Take it out of a room."""
        ...

    def disconnect(self, *, close: bool = False) -> None:
        """Put it out of its namespace."""
        ...


C = TypeVar("C", bound=Recipient)


class Operator(Struct, Generic[C], frozen=True):
    """A choice of sockets of one namespace, and how to send to them: on all nodes, unless it is `local`. This node's come first, at once."""

    hub: Hub[C]
    selection: Selection = Selection()
    is_volatile: bool = False
    timeout_s: float | None = None
    is_compressed: bool = True
    is_local: bool = False

    # ── choosing ──
    def to(self, *rooms: Rooms) -> Self:
        """Also those in these rooms, named one by one or in a list; an empty list means nobody, where Node takes it for everybody.

        Raises:
            Invalid: A name is no text. As for `Socket.join`, an error of the peer, since names come from clients.
        """
        rooms_now = _union(self.selection.rooms, rooms) or NOBODY
        return replace(self, selection=Selection(rooms_now, self.selection.excluded))

    def in_(self, *rooms: Rooms) -> Self:
        """The same as `to`."""
        return self.to(*rooms)

    def except_(self, *rooms: Rooms) -> Self:
        """But none of those in these rooms; raises as `to`."""
        excluded = _union(self.selection.excluded, rooms)
        return replace(self, selection=Selection(self.selection.rooms, excluded))

    @property
    def volatile(self) -> Self:
        """Drop the event for those who are behind in reading."""
        return replace(self, is_volatile=True)

    @property
    def local(self) -> Self:
        """Only those on this node."""
        return replace(self, is_local=True)

    def compress(self, wanted: bool) -> Self:
        """Whether connections that compress may do it with this event."""
        return replace(self, is_compressed=wanted)

    def timeout(self, seconds: float) -> Self:
        """How long to wait for answers.

        Raises:
            UsageError: It is no number above 0.
        """
        return replace(self, timeout_s=checked_timeout(seconds))

    # ── acting ──
    def emit(self, event: str, *args: Any) -> int:
        """Send an event to each of them: at most once, in order.

        Args:
            event: Its name.
            args: What JSON has, bytes, structs; see `protocol.jsontext.write`.

        Returns:
            How many sockets of this process it is on the way to.

        Raises:
            UsageError: A reserved name, or a value that can't be sent.
        """
        hub, is_volatile, is_lost = self.hub, self.is_volatile, False
        if hub.recovery is None:
            prepared = hub.prepare(event, args, compress=self.is_compressed)
        elif (is_kept := not (is_volatile or self.is_local)) and hub.hand_over(
            self.selection, event, args, compress=self.is_compressed
        ):
            return len(tuple(hub.select(self.selection)))
        else:
            prepared = hub.prepare_kept(
                hub.recovery,
                self.selection,
                event,
                args,
                is_volatile=is_volatile,
                compress=self.is_compressed,
            )
            is_lost = is_kept and hub.recovery.is_shared
        count = hub.deliver(self.selection, prepared, is_volatile=is_volatile)
        if hub.peers is not None and not (self.is_local or is_lost):
            hub.peers.emit(
                self.selection,
                (event, *args),
                is_volatile=is_volatile,
                is_compressed=self.is_compressed,
            )
        return count

    def send(self, *args: Any) -> int:
        """Emit the event `message`."""
        return self.emit("message", *args)

    def write(self, *args: Any) -> int:
        """The same as `send`."""
        return self.emit("message", *args)

    async def emit_with_ack(self, event: str, *args: Any, all_args: bool = False) -> list[Any]:
        """Send an event and wait for everybody's answer.

        Args:
            event: As for `emit`.
            args: As for `emit`.
            all_args: Want all arguments of each answer, as a tuple, instead of the first alone.

        Returns:
            The first argument of each answer (None where there was none), in order of arrival. Who leaves meanwhile is not
            waited for.

        Raises:
            AckTimeout: Not all answered; `responses` has what came, `missing` says how many did not.
            Unavailable: The other nodes cannot be reached.
            UsageError: No time-out was named, or as for `emit`.
        """
        if self.timeout_s is None:
            raise UsageError("a broadcast that wants answers needs a time-out: .timeout(seconds)")
        if (peers := self._peers) is None:
            return await self._ask_here(event, args, self.timeout_s, all_args=all_args)
        here, answers = await asyncio.gather(
            self._ask_here(event, args, self.timeout_s, all_args=all_args),
            peers.ask(self.selection, (event, *args), self.timeout_s),
            return_exceptions=True,
        )
        return _joined(here, answers, all_args=all_args)

    async def _ask_here(
        self, event: str, args: tuple[Any, ...], timeout_s: float, *, all_args: bool
    ) -> list[Any]:
        hub = self.hub
        id = hub.next_ack()
        prepared = hub.prepare(event, args, id, compress=self.is_compressed)
        asked = self.here()
        pending = Pending(hub.wheel, len(asked), timeout_s, only_one=False, all_args=all_args)
        for socket in asked:
            socket.acks.expect(id, pending, hub.limits.pending_acks)
            socket.deliver(prepared)
        try:
            return [pending.told(answer) for answer in await pending.wait()]
        finally:
            for socket in asked:
                socket.acks.forget(id)

    async def fetch_sockets(self) -> list[C | RemoteSocket]:
        """The sockets that are meant: this node's own, then those of others, as those described them.

        Raises:
            Unavailable: The other nodes cannot be reached, or one of them has not answered.
        """
        found: list[C | RemoteSocket] = [*self.here()]
        if (peers := self._peers) is not None:
            others = await peers.fetch(self.selection)
            found += [RemoteSocket.of(each, self.hub.name, peers) for each in others]
        return found

    async def sockets_join(self, *rooms: Rooms) -> None:
        """Put them into rooms.

        Raises:
            Unavailable: The other nodes cannot be reached; this node's are in them.
        """
        named = list(flat(rooms))
        for room in named:
            check_room(room, self.hub.limits.name_bytes)
        self.join_here(named)
        if (peers := self._peers) is not None:
            peers.join(self.selection, named)

    async def sockets_leave(self, *rooms: Rooms) -> None:
        """Take them out of rooms; raises as `sockets_join`."""
        named = list(chosen(rooms))
        self.leave_here(named)
        if (peers := self._peers) is not None:
            peers.leave(self.selection, named)

    async def disconnect_sockets(self, *, close: bool = False) -> None:
        """Put them out of the namespace; with `close` end their sessions. Raises as `sockets_join`."""
        self.disconnect_here(close=close)
        if (peers := self._peers) is not None:
            peers.disconnect(self.selection, close=close)

    # ── on this node ──
    @property
    def _peers(self) -> Peers | None:
        return None if self.is_local else self.hub.peers

    def here(self) -> list[C]:
        """Those of this node."""
        return list(self.hub.select(self.selection))

    def join_here(self, rooms: Iterable[str]) -> None:
        """Put those of this node into rooms; raises Invalid where a name is none."""
        named = list(rooms)
        for socket in self.here():
            socket.join(named)
        for parked in self.hub.away(self.selection):
            for room in named:
                parked.join(room)

    def leave_here(self, rooms: Iterable[str]) -> None:
        """Take those of this node out of rooms."""
        named = list(rooms)
        for socket in self.here():
            for room in named:
                socket.leave(room)
        for parked in self.hub.away(self.selection):
            for room in named:
                parked.leave(room)

    def disconnect_here(self, *, close: bool) -> None:
        """Put those of this node out."""
        for socket in self.here():
            socket.disconnect(close=close)
        if self.hub.recovery is not None:
            for parked in self.hub.away(self.selection):
                self.hub.recovery.put_out(parked)


class Addressee(Protocol):
    """What a socket's own operator needs of it."""

    def send_event(
        self, event: str, args: tuple[Any, ...], *, is_volatile: bool, compress: bool
    ) -> Sent:
        """Send an event to its client."""
        ...

    async def ask(
        self, event: str, args: tuple[Any, ...], *, timeout_s: float, all_args: bool, compress: bool
    ) -> Any:
        """Send an event and wait for the answer."""
        ...


class SocketOperator(Struct, frozen=True):
    """How to send to one client."""

    socket: Addressee
    is_volatile: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    is_compressed: bool = True

    @property
    def volatile(self) -> "SocketOperator":
        """Drop the event if the client is behind in reading."""
        return replace(self, is_volatile=True)

    def compress(self, wanted: bool) -> "SocketOperator":
        """Whether the connection may compress the event, where it compresses."""
        return replace(self, is_compressed=wanted)

    def timeout(self, seconds: float) -> "SocketOperator":
        """How long to wait for an answer.

        Raises:
            UsageError: It is no number above 0.
        """
        return replace(self, timeout_s=checked_timeout(seconds))

    def emit(self, event: str, *args: Any) -> Sent:
        """Send an event; see `Socket.emit`."""
        return self.socket.send_event(
            event, args, is_volatile=self.is_volatile, compress=self.is_compressed
        )

    def send(self, *args: Any) -> Sent:
        """Emit the event `message`."""
        return self.emit("message", *args)

    def write(self, *args: Any) -> Sent:
        """The same as `send`."""
        return self.emit("message", *args)

    async def emit_with_ack(self, event: str, *args: Any, all_args: bool = False) -> Any:
        """Send an event and wait for the answer; see `Socket.emit_with_ack`."""
        return await self.socket.ask(
            event,
            args,
            timeout_s=self.timeout_s,
            all_args=all_args,
            compress=self.is_compressed,
        )


def _joined(
    here: list[Any] | BaseException, others: Answers | BaseException, *, all_args: bool
) -> list[Any]:
    """The answers of this node's sockets and of the others'; raises what either raised."""
    if isinstance(others, BaseException):
        raise others
    values = [(value,) for value in others.values] if all_args else others.values
    if isinstance(here, AckTimeout):
        raise AckTimeout(
            responses=[*here.responses, *values], missing=here.missing + others.missing
        )
    if isinstance(here, BaseException):
        raise here
    if others.missing:
        raise AckTimeout(responses=[*here, *values], missing=others.missing)
    return [*here, *values]


def _union(first: tuple[str, ...], second: Iterable[Rooms]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *chosen(second))))
