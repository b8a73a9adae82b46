"""What a codec of Socket.IO packets is, and the two that there are.

Nothing on the wire says which one is spoken: a server and all of its clients are set to the same, as in Node.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from clarion.protocol import msgpack_parser, socketio
from clarion.protocol.socketio import DecoderLimits, Encoded, Packet


class PacketDecoder(Protocol):
    """Makes packets of the messages of one session, in order."""

    @property
    def is_waiting(self) -> bool:
        """Whether more messages are due before a packet is whole."""
        ...

    def add(self, message: str | bytes, start: int = 0) -> Packet | None:
        """Take one message, text from `start` on; raises ProtocolError."""
        ...

    def clear(self) -> None:
        """Drop what waits."""
        ...


class Parser(Protocol):
    """A codec; the modules `socketio` and `msgpack_parser` are two."""

    @property
    def Decoder(self) -> Callable[[DecoderLimits], PacketDecoder]:
        """A decoder for one session."""
        ...

    def encode(self, packet: Packet) -> Encoded:
        """Any packet as messages; raises UsageError."""
        ...

    def encode_event(self, namespace: str, event: Sequence[Any], id: int | None = None) -> Encoded:
        """An EVENT; raises UsageError."""
        ...

    def encode_ack(self, namespace: str, arguments: Sequence[Any], id: int | None) -> Encoded:
        """An ACK; raises UsageError."""
        ...


PARSERS: Final[dict[str, Parser]] = {"json": socketio, "msgpack": msgpack_parser}
"""By their names in the settings (`realtime.parser`)."""
