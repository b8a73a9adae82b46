"""How a socket says whom an event is for: its own client, or everybody else. Each step gives an operator and changes nothing."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from clarion.realtime.acks import checked_timeout
from clarion.realtime.egress import Sent
from clarion.realtime.hub import Hub
from clarion.realtime.operators import Operator, Recipient, SocketOperator
from clarion.realtime.peers import Selection
from clarion.realtime.rooms import Rooms

C = TypeVar("C", bound=Recipient)


class Addressing(ABC, Generic[C]):
    """Shortcuts of a socket to its operators."""

    __slots__ = ()

    id: str
    _hub: Hub[C]

    @abstractmethod
    def emit(self, event: str, *args: Any) -> Sent:
        """Send an event to this client."""

    @abstractmethod
    def send_event(
        self, event: str, args: tuple[Any, ...], *, is_volatile: bool, compress: bool = True
    ) -> Sent:
        """As `emit`, with everything said."""

    @abstractmethod
    async def ask(
        self, event: str, args: tuple[Any, ...], *, timeout_s: float, all_args: bool, compress: bool
    ) -> Any:
        """As `emit_with_ack`, with everything said."""

    # ── this client ──
    def send(self, *args: Any) -> Sent:
        """Emit the event `message`."""
        return self.emit("message", *args)

    def write(self, *args: Any) -> Sent:
        """The same as `send`."""
        return self.emit("message", *args)

    @property
    def volatile(self) -> SocketOperator:
        """For events that are dropped while the client is behind."""
        return SocketOperator(self, is_volatile=True)

    def compress(self, wanted: bool) -> SocketOperator:
        """Whether the connection may compress the event, where it compresses."""
        return SocketOperator(self, is_compressed=wanted)

    def timeout(self, seconds: float) -> SocketOperator:
        """For `emit_with_ack`: how long to wait; raises UsageError unless it is a number above 0."""
        return SocketOperator(self, timeout_s=checked_timeout(seconds))

    # ── the others ──
    @property
    def broadcast(self) -> Operator[C]:
        """Everybody else in the namespace."""
        return Operator(self._hub, Selection((), (self.id,)))

    @property
    def local(self) -> Operator[C]:
        """Everybody else in the namespace who is on this node."""
        return self.broadcast.local

    def to(self, *rooms: Rooms) -> Operator[C]:
        """Everybody else in these rooms."""
        return self.broadcast.to(*rooms)

    def in_(self, *rooms: Rooms) -> Operator[C]:
        """The same as `to`."""
        return self.broadcast.to(*rooms)

    def except_(self, *rooms: Rooms) -> Operator[C]:
        """Everybody else in the namespace who is not in these rooms."""
        return self.broadcast.except_(*rooms)
