"""The WebSocket transport of a session: prepared frames out, messages in.

It begins a session of its own, or probes to take over one that is on polling; which of the two is settled before the 101.
"""

from collections.abc import Callable
from typing import Final

from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.transports.base import Prepared, Session, Transport
from clarion.realtime.transports.message import WebSocket

# Written at once at most: behind it the connection's buffer is full (64 KiB), and the rest is better kept where it can be dropped.
WRITE_BYTES: Final = 64 * 1024


class SessionSocket(WebSocket):
    """A WebSocket that carries a session.

    Args:
        begin: Called once it is open: gives it to its session; None if that does not want it (any more).
    """

    __slots__ = ("_begin", "_session", "direct", "is_writable")

    kind: Final = Kind.WEBSOCKET

    def __init__(self, begin: Callable[[Transport], Session | None]) -> None:
        super().__init__()
        # Only until it opens
        self._begin: Callable[[Transport], Session | None] | None = begin
        # Changes while open
        self._session: Session | None = None
        self.is_writable = True
        # The connection's own write: 4 % of a broadcast to 10,000 were spent between it and the egress.
        self.direct: Callable[[bytes], object] | None = None

    # ── from the network ──
    def on_open(self) -> None:
        """Meet the session."""
        begin, self._begin = self._begin, None
        assert begin is not None
        self._go_direct()
        self._session = begin(self)
        if self._session is None:
            self.close(None)

    def on_message(self, data: str | bytes) -> None:
        """Hand it on."""
        if self._session is not None:
            self._session.receive(data, self)

    def on_signal(self, size: int) -> None:
        """It counts as a message does."""
        if self._session is not None:
            self._session.signalled(size, self)

    def on_control(self) -> None:
        """What was sent before goes first."""
        if self._session is not None:
            self._session.flush()

    def on_closed(self) -> None:
        """Tell the session."""
        session, self._session = self._session, None
        if session is not None:
            session.lost(self)

    def on_pause(self) -> None:
        """The peer does not read."""
        self.is_writable, self.direct = False, None
        if self._session is not None:
            self._session.full(self)

    def on_resume(self) -> None:
        """It reads again."""
        self.is_writable = True
        if self.is_open:
            self._go_direct()
        if self._session is not None:
            self._session.writable(self)

    def _go_direct(self) -> None:
        self.direct = self._write

    def _close_began(self) -> None:
        self.direct = None  # RFC 6455 §5.5.1: nothing follows a close frame
        super()._close_began()

    def on_drain(self) -> None:
        """The process stops."""
        if self._session is not None:
            self._session.drain()
        else:
            super().on_drain()

    # ── to the network ──
    def write(self, item: Prepared, /) -> None:
        """Send one."""
        self.write_frames(item.frames)

    def write_many(self, items: list[Prepared], /) -> int:
        """Send several in one write, up to what the connection's buffer takes."""
        taken = self.fits(items)
        self.write_frames(b"".join([each.frames for each in items[:taken]]))
        return taken

    def fits(self, items: list[Prepared]) -> int:
        """How many of these are worth writing at once, at least one."""
        size = 0
        for taken, item in enumerate(items):
            size += item.size
            if size > WRITE_BYTES and taken:
                return taken
        return len(items)
