"""WebSockets that agreed on permessage-deflate (RFC 7692). Off by default: see docs/explanation/one-port.md for what it costs.

Without context takeover a message is compressed once for all who get it, and an idle connection keeps nothing. With it each
connection has a window of its own. A connection without compression runs none of this.
"""

from typing import Final, Protocol

from picows import WSFrame, WSMsgType

from clarion.errors import ProtocolError
from clarion.protocol.codes import CloseCode
from clarion.protocol.deflate import Agreed, Deflate, Deflater, Inflater, negotiate
from clarion.protocol.frames import Opcode, server_frame
from clarion.realtime.transports.asgi import Begin
from clarion.realtime.transports.base import Prepared
from clarion.realtime.transports.fragments import Partial
from clarion.realtime.transports.head import Refused, Upgrade
from clarion.realtime.transports.message import BINARY, TEXT
from clarion.realtime.transports.websocket import SessionSocket
from clarion.settings import Realtime


class Packer(Protocol):
    """Makes the frames of one connection, or of many."""

    def frames(self, item: Prepared) -> bytes:
        """What goes over the wire."""
        ...


class SharedPacker:
    """Compresses once for everybody: who reads the message needs no earlier one.

    Args:
        ours: How.
    """

    def __init__(self, ours: Deflate) -> None:
        self._ours = ours
        self._deflater = Deflater(ours, ours.window_bits, has_takeover=False)

    def frames(self, item: Prepared) -> bytes:
        """The frames, from the first who asks on."""
        if item.deflated is None:
            item.deflated = _frames(item, self._deflater, self._ours.threshold_bytes)
        return item.deflated


class OwnPacker:
    """Compresses for one connection, whose window is not like another's.

    Args:
        ours: How.
        agreed: The window.
    """

    __slots__ = ("_deflater", "_threshold")

    def __init__(self, ours: Deflate, agreed: Agreed) -> None:
        takeover = agreed.server_takeover
        self._deflater = Deflater(ours, agreed.server_bits, has_takeover=takeover)
        self._threshold = ours.threshold_bytes

    def frames(self, item: Prepared) -> bytes:
        """The frames; each call is one message of the connection."""
        return _frames(item, self._deflater, self._threshold)


def _frames(item: Prepared, deflater: Deflater, threshold: int) -> bytes:
    if not item.compress or item.size < threshold:
        return item.frames
    return b"".join([_frame(message, deflater, threshold) for message in item.messages])


def _frame(message: str | bytes, deflater: Deflater, threshold: int) -> bytes:
    kind = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    payload = message.encode() if isinstance(message, str) else message
    if len(payload) < threshold:
        return server_frame(kind, payload)
    return server_frame(kind, deflater.deflate(payload), is_compressed=True)


class DeflatedSocket(SessionSocket):
    """A WebSocket on which messages may be compressed, in both directions.

    Args:
        begin: As for `SessionSocket`.
        agreed: In the handshake.
        packer: Makes its frames.
    """

    __slots__ = ("_agreed", "_inflater", "_packer")

    def __init__(self, begin: Begin, agreed: Agreed, packer: Packer) -> None:
        super().__init__(begin)
        # Fixed at creation
        self._agreed, self._packer = agreed, packer
        # Only with takeover: from the first compressed message on
        self._inflater: Inflater | None = None

    def _go_direct(self) -> None:
        """Never: `Prepared.frames` are the plain ones."""

    def write(self, item: Prepared, /) -> None:
        """Send one."""
        self.write_frames(self._packer.frames(item))

    def write_many(self, items: list[Prepared], /) -> int:
        """Send several in one write; those above `WRITE_BYTES` before compression wait, as without."""
        taken = self.fits(items)
        self.write_frames(b"".join([self._packer.frames(each) for each in items[:taken]]))
        return taken

    def _extended(self, kind: WSMsgType, frame: WSFrame) -> None:
        """RSV1: the first frame of a compressed message (RFC 7692 §6)."""
        if frame.rsv2 or frame.rsv3 or kind not in {TEXT, BINARY}:
            super()._extended(kind, frame)
        elif self._partial is not None:
            self.close(CloseCode.PROTOCOL_ERROR, "the last message is not finished")
        else:
            self._partial = Partial(is_text=kind is TEXT, inflater=self._inflating())
            self._continue(self._partial, frame)

    def _inflating(self) -> Inflater:
        if self._inflater is not None:
            return self._inflater
        assert self._connections is not None
        takeover = self._agreed.client_takeover
        limit = self._connections.limits.max_payload_bytes
        inflater = Inflater(self._agreed.client_bits, has_takeover=takeover, limit=limit)
        if takeover:
            self._inflater = inflater
        return inflater


class Deflating:
    """Agrees on compression with those who offer it.

    Args:
        ours: How this side compresses.
    """

    def __init__(self, ours: Deflate) -> None:
        self._ours = ours
        self._shared: Final = SharedPacker(ours)

    @classmethod
    def of(cls, settings: Realtime) -> "Deflating | None":
        """What the settings say; None: off."""
        if not settings.deflate:
            return None
        return cls(
            Deflate(
                threshold_bytes=settings.deflate_threshold_bytes,
                window_bits=settings.deflate_window_bits,
                memory_level=settings.deflate_memory_level,
            )
        )

    def socket(self, upgrade: Upgrade, begin: Begin) -> SessionSocket:
        """The socket for an upgrade: one that compresses if something acceptable was offered, as its answer then says.

        Args:
            upgrade: The request.
            begin: As for `SessionSocket`.

        Raises:
            Refused: 400 for a header that breaks the grammar.
        """
        try:
            agreed = negotiate(upgrade.header(b"sec-websocket-extensions"), self._ours)
        except ProtocolError as exc:
            raise Refused(400, exc.message) from exc
        if agreed is None:
            return SessionSocket(begin)
        upgrade.answer.append(("Sec-WebSocket-Extensions", agreed.header.decode()))
        is_own = agreed.server_takeover or agreed.server_bits < self._ours.window_bits
        packer = OwnPacker(self._ours, agreed) if is_own else self._shared
        return DeflatedSocket(begin, agreed, packer)
