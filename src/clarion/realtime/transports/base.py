"""What a session needs of a transport, what a transport tells its session, and the form in which data passes between them.

Five implementations exist: polling, WebSocket and ASGI beside this file, the simulator's and the tests' in memory. Nothing in this
folder imports the session: it is handed in.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from clarion.protocol import engineio, socketio
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.frames import message_frame


class Prepared:
    """Messages, encoded once for everybody they go to: WebSocket frames, and the messages themselves for polling.

    Make one with `prepared_messages` or `prepared_engine`. Never changes, but for the compressed frames that are made late.
    """

    __slots__ = ("compress", "deflated", "event", "frames", "messages", "size")

    def __init__(self, messages: list[str | bytes], *, compress: bool = True) -> None:
        # Whether a transport that compresses may do it with this.
        self.compress = compress
        # Name and arguments, where somebody listens to what goes out: see `hub.Outgoing`.
        self.event: list[Any] | None = None
        # Engine.IO messages in order, as `engineio.encode` makes them.
        self.messages = messages
        # A text frame, then the frames of its attachments.
        if len(messages) == 1:
            self.frames = message_frame(messages[0])
        else:
            self.frames = b"".join(map(message_frame, messages))
        # Bytes that count against a session's marks.
        self.size = len(self.frames)
        # The frames for those who agreed on compression, once somebody needed them: see `deflated.SharedPacker`.
        self.deflated: bytes | None = None

    def __repr__(self) -> str:
        return f"Prepared({self.messages!r})"


def prepared_messages(encoded: socketio.Encoded, *, compress: bool = True) -> Prepared:
    """A Socket.IO packet's messages, ready to send: text gets Engine.IO's digit."""
    head = encoded[0]
    if type(head) is str:
        encoded[0] = "4" + head
    return Prepared(encoded, compress=compress)


def prepared_engine(packet: engineio.Packet) -> Prepared:
    """An Engine.IO packet, ready to send."""
    return _ENGINE.get(packet) or Prepared([engineio.encode(packet)])


# The packets that every session sends all the time; structs are equal by value.
_ENGINE: Final = {
    packet: Prepared([engineio.encode(packet)])
    for packet in (engineio.PING, engineio.NOOP, engineio.CLOSE, engineio.PONG_PROBE)
}


class Transport(Protocol):
    """What a session needs of a transport. No method waits, none raises because the peer is gone."""

    is_writable: bool
    """Whether the peer can take more now: a GET is held, or the connection's buffer is not full."""

    @property
    def direct(self) -> Callable[[bytes], object] | None:
        """Takes `Prepared.frames` as they are, without a detour through `write`; None while or where that can't be done.

        It raises RuntimeError for a peer that has reset the connection; `write` then knows what to do.
        """
        ...

    @property
    def kind(self) -> Kind:
        """Polling or WebSocket."""
        ...

    def write(self, item: Prepared, /) -> None:
        """Send one; called only while `is_writable`."""
        ...

    def write_many(self, items: list[Prepared], /) -> int:
        """Send several; returns how many were taken, at least one. Called only while `is_writable`."""
        ...

    def buffered(self) -> int:
        """Bytes that were taken and still wait in this process."""
        ...

    def throttle(self, seconds: float) -> None:
        """Take nothing from the peer for so long: it has sent too much. What is on its way already still comes."""
        ...

    def close(self, code: int | None, text: str) -> None:
        """Say goodbye behind what was taken; None: without a code. Later writes are dropped."""
        ...


class Session(Protocol):
    """What a transport tells its session."""

    def receive(self, message: str | bytes, via: Transport) -> None:
        """One message came in."""
        ...

    def signalled(self, size: int, via: Transport) -> None:
        """A WebSocket's ping or pong came in: it counts against what the peer may send."""
        ...

    def writable(self, via: Transport) -> None:
        """The peer can take more (again)."""
        ...

    def full(self, via: Transport) -> None:
        """The peer takes no more for now."""
        ...

    def flush(self) -> None:
        """A WebSocket is about to answer a ping, or to close, perhaps by itself: send what waits for the end of this turn."""
        ...

    def lost(self, via: Transport) -> None:
        """The connection has ended."""
        ...

    def drain(self) -> None:
        """The process stops, and it is this session's turn to go."""
        ...
