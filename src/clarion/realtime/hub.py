"""The sockets of one namespace, their rooms, and how one event goes to many of them.

A broadcast walks over a room's dict and makes one call per recipient; the event was encoded before. Rooms are dicts, never
sets: a simulation replays the order. Nothing here knows sessions or packets.
"""

from collections.abc import Callable, Container, Iterable
from typing import Any, Generic, Protocol, TypeVar

from clarion.protocol import socketio
from clarion.protocol.parser import Parser
from clarion.realtime.egress import Egress, Sent
from clarion.realtime.emitter import Emitter
from clarion.realtime.handlers import Runner
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.history import Stays
from clarion.realtime.listeners import SharedListeners
from clarion.realtime.outgoing import Outgoing
from clarion.realtime.peers import Peers, Selection
from clarion.realtime.recovery import Recovery
from clarion.realtime.shelf import Parked
from clarion.realtime.transports.base import Prepared, prepared_messages
from clarion.settings import Limits
from clarion.telemetry import events, packet_bytes, packets


class Member(Protocol):
    """What a hub needs of a socket."""

    @property
    def id(self) -> str:
        """Its own room's name."""
        ...

    @property
    def egress(self) -> Egress:
        """Where its session's bytes go."""
        ...

    @property
    def stays(self) -> Stays | None:
        """The rooms that it was in, for as long as its client may come back to it."""
        ...


S = TypeVar("S", bound=Member)


ADAPTER_EVENTS = ("create_room", "join_room", "leave_room", "delete_room")
"""With the room's name, those in the middle also with the socket's id; told once all of it has happened."""


class Hub(Generic[S]):
    """Sockets and rooms of a namespace, and what its sockets share.

    Args:
        name: The namespace's.
        limits: The server's.
        wheel: The server's timer.
        runner: Calls the server's handlers.
        parser: How its packets are encoded.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        wheel: Wheel,
        runner: Runner,
        parser: Parser = socketio,
    ) -> None:
        # Fixed at creation
        self.name, self.limits, self.wheel, self.runner = name, limits, wheel, runner
        self.parser = parser
        # Connected sockets by id. It serves as the rooms of their ids, too: a dict for each would cost 232 bytes a socket.
        self.sockets: dict[str, S] = {}
        # Invariant: socket in _rooms[room]  <=>  room in _rooms_of[socket]; neither holds an empty dict.
        self._rooms: dict[str, dict[S, None]] = {}
        self._rooms_of: dict[S, dict[str, None]] = {}
        # Connected sockets that left the room of their own id.
        self._left_own: dict[S, None] = {}
        # Handlers for events of all its sockets, and who watches.
        self.listeners = SharedListeners()
        self.outgoing: Outgoing[S] = Outgoing(runner)
        self.adapter = Emitter(ADAPTER_EVENTS, runner)
        # Sockets that were made and have not gone, let in or not; who is told when the last one goes.
        self.guests = 0
        self.on_empty: Callable[[], None] | None = None
        self.namespace: Any = None  # whose it is
        # The same namespace on other nodes; None: there are none.
        self.peers: Peers | None = None
        # None: recovery is off.
        self.recovery: Recovery | None = None
        # One counter a namespace, from 0, as in Node.
        self._next_ack = 0

    # ── sockets ──
    def add(self, socket: S) -> None:
        """Count a socket in."""
        is_new = socket.id not in self._rooms
        self.sockets[socket.id] = socket
        if self.recovery is not None and (stays := socket.stays) is not None:
            stays.join(socket.id, self.recovery.history.top)
        if self.adapter.is_heard:
            self._tell_joined(socket, socket.id, is_new=is_new)

    def discard(self, socket: S) -> None:
        """Forget a socket and its places in rooms."""
        rooms = self.rooms_of(socket) if self.adapter.is_heard else ()
        for room in self._rooms_of.pop(socket, ()):
            self._drop(room, socket)
        self._left_own.pop(socket, None)
        self.sockets.pop(socket.id, None)
        for room in rooms:
            self._tell_left(socket, room)

    def departed(self) -> None:
        """One of those who were made has gone."""
        self.guests -= 1
        if not self.guests and self.on_empty is not None:
            self.on_empty()

    # ── rooms ──
    def join(self, socket: S, room: str) -> None:
        """Put a connected socket into a room."""
        is_told = self.adapter.is_heard and room not in self.rooms_of(socket)
        is_new = is_told and not self.has_room(room)
        if room == socket.id:
            self._left_own.pop(socket, None)
        else:
            self._rooms.setdefault(room, {})[socket] = None
            self._rooms_of.setdefault(socket, {})[room] = None
        if self.recovery is not None and (stays := socket.stays) is not None:
            stays.join(room, self.recovery.history.top)
            self.recovery.changed(socket.id)
        if is_told:
            self._tell_joined(socket, room, is_new=is_new)

    def leave(self, socket: S, room: str) -> None:
        """Take a socket out of a room."""
        is_told = self.adapter.is_heard and room in self.rooms_of(socket)
        if room == socket.id:
            self._left_own[socket] = None
        else:
            rooms = self._rooms_of.get(socket)
            if rooms is None or room not in rooms:
                return
            del rooms[room]
            if not rooms:
                del self._rooms_of[socket]
            self._drop(room, socket)
        if self.recovery is not None and (stays := socket.stays) is not None:
            history = self.recovery.history
            stays.leave(room, history.top, history.first)
            self.recovery.changed(socket.id)
        if is_told:
            self._tell_left(socket, room)

    def rooms_of(self, socket: S) -> tuple[str, ...]:
        """The rooms that a socket is in, its own first."""
        own = (socket.id,) if socket.id in self.sockets and socket not in self._left_own else ()
        return own + tuple(self._rooms_of.get(socket, ()))

    def rooms(self) -> dict[str, int]:
        """Rooms that somebody joined, and how many are in each; without the rooms of ids."""
        return {room: len(members) for room, members in self._rooms.items()}

    def size_of(self, room: str) -> int:
        """How many joined a room; 0 if there is none."""
        return len(self._rooms.get(room, ()))

    def _drop(self, room: str, socket: S) -> None:
        members = self._rooms[room]
        del members[socket]
        if not members:
            del self._rooms[room]

    def has_room(self, room: str) -> bool:
        """Whether anybody is in a room."""
        return room in self._rooms or self._own(room) is not None

    def _tell_joined(self, socket: S, room: str, *, is_new: bool) -> None:
        if is_new:
            self.adapter.tell("create_room", room)
        self.adapter.tell("join_room", room, socket.id)

    def _tell_left(self, socket: S, room: str) -> None:
        self.adapter.tell("leave_room", room, socket.id)
        if not self.has_room(room):
            self.adapter.tell("delete_room", room)

    # ── recipients ──
    def select(self, selection: Selection) -> Iterable[S]:
        """Whom a selection means, each once. Don't add or remove anybody while walking over it."""
        rooms, excluded = selection.rooms, selection.excluded
        if len(rooms) == 1:
            found = self._members(rooms[0])
        elif rooms:
            found = {socket: None for room in rooms for socket in self._members(room)}
        else:
            found = self.sockets.values()
        if not excluded:
            return found
        if len(excluded) == 1 and excluded[0] not in self._rooms:
            # The usual case, a sender who leaves itself out: one comparison each instead of a set.
            out = self._own(excluded[0])
            return [socket for socket in found if socket is not out]
        barred = self._barred(excluded)
        return [socket for socket in found if socket not in barred]

    def _barred(self, excluded: tuple[str, ...]) -> Container[S]:
        # One room that is there, such as that of all other tenants: asked as it is, where a copy took 0.4 ms for 10,000 sockets.
        if len(excluded) == 1 and self._own(excluded[0]) is None:
            return self._rooms[excluded[0]]
        return {socket: None for room in excluded for socket in self._members(room)}

    def _members(self, room: str) -> Iterable[S]:
        joined, own = self._rooms.get(room), self._own(room)
        if own is None:
            return joined or ()
        return (own,) if joined is None else {**joined, own: None}

    def _own(self, room: str) -> S | None:
        """The socket whose own room this is, unless it left that."""
        socket = self.sockets.get(room)
        return None if socket is None or socket in self._left_own else socket

    def away(self, selection: Selection) -> list[Parked]:
        """Whom a selection would mean if their clients had not gone for a while; what is done to those who are meant is done to them, too."""
        if self.recovery is None:
            return []
        return self.recovery.away(selection.rooms, selection.excluded)

    # ── sending ──
    def prepare(
        self, event: str, args: Iterable[object], ack: int | None = None, *, compress: bool = True
    ) -> Prepared:
        """An event of this namespace, encoded once.

        Raises:
            UsageError: A reserved name, or a value that JSON does not have.
        """
        named = [event, *args]
        encoded = self.parser.encode_event(self.name, named, ack)
        prepared = prepared_messages(encoded, compress=compress)
        if self.outgoing.is_heard:
            prepared.event = named
        return prepared

    def prepare_kept(
        self,
        recovery: Recovery,
        selection: Selection,
        event: str,
        args: tuple[object, ...],
        *,
        is_volatile: bool,
        compress: bool = True,
    ) -> Prepared:
        """As `prepare`, where recovery is on, for who is about to send it to these: with its offset, and kept unless it is volatile."""
        # A client takes the last argument of any event for its offset, if it is text: one that is not kept has the newest.
        offset = recovery.history.offset(is_next=not is_volatile)
        prepared = self.prepare(event, (*args, offset), compress=compress)
        if not is_volatile:
            recovery.keep(selection.rooms, selection.excluded, prepared)
        return prepared

    def hand_over(
        self,
        selection: Selection,
        event: str,
        args: tuple[object, ...],
        *,
        compress: bool = True,
    ) -> bool:
        """Let an event come to all nodes, this one too, where recovery is shared; False: it cannot, and is for this one alone.

        Raises:
            UsageError: As `prepare`.
        """
        if self.recovery is None or not self.recovery.is_shared or self.peers is None:
            return False
        self.prepare(event, args)
        return self.peers.emit(selection, (event, *args), is_compressed=compress)

    def deliver(
        self, selection: Selection, prepared: Prepared, *, is_volatile: bool = False
    ) -> int:
        """Send to everybody selected; returns how many of this process it is on the way to."""
        if self.outgoing.is_heard:
            self.outgoing.tell(self.select(selection), prepared.event)
        count = 0
        refused = _NOT_SENT
        if is_volatile:
            for socket in self.select(selection):
                count += socket.egress.push_volatile(prepared) not in refused
        else:
            for socket in self.select(selection):
                socket.egress.push_straight(prepared)
                count += 1
        _events_out.value += count
        _packets_out.value += count
        _bytes_out.value += count * prepared.size
        return count

    def next_ack(self) -> int:
        """A fresh id of an event that wants an answer."""
        self._next_ack += 1
        return self._next_ack - 1


_NOT_SENT = (Sent.DROPPED, Sent.REFUSED)
_events_out = events.labels("out")
_packets_out, _bytes_out = packets.labels("out"), packet_bytes.labels("out")
