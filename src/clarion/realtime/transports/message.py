"""Messages out of frames: the part of RFC 6455 that picows leaves to its user.

picows checks masks, opcodes, lengths and control frames; here are fragments, sizes, UTF-8, reserved bits, close codes, pongs, the
closing handshake and its deadline. Subclass `WebSocket` and fill in its hooks. Nothing here knows Engine.IO, nor what the reserved
bits mean: a subclass that has agreed on an extension takes such frames in `_extended`.
"""

from asyncio import Transport, get_running_loop
from collections.abc import Callable, Sequence
from typing import Final

from picows import WSFrame, WSMsgType, WSTransport

from clarion.errors import ProtocolError, TooLarge
from clarion.protocol.codes import TOO_BIG_MESSAGE, CloseCode
from clarion.protocol.frames import Opcode, close_payload, may_be_sent, message_frame, server_frame
from clarion.realtime.transports import wire
from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.fragments import Partial
from clarion.telemetry import limit_exceeded

TEXT: Final = WSMsgType.TEXT
BINARY: Final = WSMsgType.BINARY
CONTINUATION: Final = WSMsgType.CONTINUATION
PING: Final = WSMsgType.PING
PONG: Final = WSMsgType.PONG
CLOSE: Final = WSMsgType.CLOSE

# What a close without code, and no close at all, count as (RFC 6455 §7.1.5).
NO_CODE, NO_CLOSE = 1005, 1006

# picows doubles its read buffer up to twice the largest frame and never gives it back: 990 KB kept after 1 MB (measured).
RENEW_ABOVE = 16 * 1024

# After so many frames the other connections have their turn. libuv reads 32 times in one turn from a peer that sends without pause:
# 65,000 pings, or 26,000 tiny events, for which it held the loop 0.4 s (measured).
FRAMES_A_TURN = 64
FRAME_BYTES = 16 * 1024  # what a fragmented or compressed message is long counts as further frames


def _drop(_data: bytes) -> None:
    """What `write_frames` does once nothing more may be sent."""


class WebSocket(wire.Listener):
    """One WebSocket connection. `admit` makes one per upgrade; it opens, carries messages both ways, and closes once.

    A subclass declares `__slots__`: ten thousand of these are idle at a time. Hooks are called on the loop and must not block;
    a hook that raises is logged and its connection closed with 1011.
    """

    __slots__ = (
        "_connections",
        "_deadline",
        "_frames",
        "_held_until",
        "_is_held",
        "_partial",
        "_ping",
        "_tail",
        "_transport",
        "_unsent",
        "_wire",
        "_write",
    )

    def __init__(self) -> None:
        # Fixed when it opens
        self._connections: Connections | None = None
        self._transport: Transport | None = None
        # Changes while open. Invariant: _write is _drop  <=>  nothing more may be sent.
        self._wire: WSTransport | None = None
        self._write: Callable[[bytes], None] = _drop
        # Nothing is read: until this time of the loop (not 0), because the peer sends too much;
        # while this is True, because whoever takes the messages wants no more for now.
        self._held_until = 0.0
        self._is_held = False
        self._frames = 0  # since it was the others' turn
        # Only just after it opened: what came behind the request and is still to be read, before anything else is.
        self._tail = b""
        self._partial: Partial | None = None
        # Only while the peer takes nothing: the latest ping, and None where none came
        self._ping: bytes | None = None
        # Only while closing or while the peer takes nothing. Invariant: _deadline != 0  <=>  it is watched.
        self._deadline = 0.0
        self._unsent = 0

    # ── hooks ──
    def on_open(self) -> None:
        """The handshake is done: messages may be sent."""

    def on_message(self, data: str | bytes) -> None:
        """A whole message: text or binary."""

    def on_control(self) -> None:
        """A pong or a close frame is about to go: what was sent before it and still waits should go first."""

    def on_signal(self, size: int) -> None:
        """A ping or a pong of so many bytes came in."""

    def on_closed(self) -> None:
        """The connection has ended, whoever ended it; `close_code` says how. Called once, if `on_open` was."""

    def on_pause(self) -> None:
        """The peer is slower than we: 64 KiB wait to be sent. Whoever has more should keep it back."""

    def on_resume(self) -> None:
        """Most of what waited has gone."""

    def on_drain(self) -> None:
        """The server is about to stop and it is this connection's turn to go; by default it is closed with 3001."""
        self.close(CloseCode.DRAINING, "draining")

    # ── to the peer ──
    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._write is not _drop

    @property
    def close_code(self) -> int:
        """The code of the peer's close frame; 1005 if that had none, 1006 if there was no such frame."""
        shake = self._wire.close_handshake if self._wire is not None else None
        if shake is None or shake.recv is None:
            return NO_CLOSE
        return wire.as_int(shake.recv.code) or NO_CODE

    def send(self, data: str | bytes) -> None:
        """Send one message: text for `str`, binary for `bytes`. After the close began it is dropped."""
        self.write_frames(message_frame(data))

    def write_frames(self, data: bytes) -> None:
        """Send frames that are already made, one or many. They leave together at the end of the loop's turn.

        The hot path of a broadcast: one call, no copy on our side. After the close began they are dropped (RFC 6455 §5.5.1).
        """
        try:
            self._write(data)
        except RuntimeError:
            # uvloop raises once the peer has reset the connection, asyncio does not; a broadcast must not end here.
            self._write = _drop

    def buffered(self) -> int:
        """Bytes that wait in this process to be sent."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Begin to close: say so to the peer, wait `limits.close_s` for its answer, then cut it off.

        Args:
            code: None: without one; the peer sees 1005.
            reason: For people; cut to 123 bytes.
        """
        if self._write is not _drop:
            self.on_control()
            self.write_frames(server_frame(Opcode.CLOSE, close_payload(code, reason)))
            self._close_began()

    def hold(self) -> None:
        """Read no more for now; what has been read already is still delivered. Not even the end of the connection is noticed."""
        if self._write is not _drop and self._transport is not None:
            self._is_held = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read again."""
        if self._is_held:
            self._is_held = False
            self._resume()

    def throttle(self, seconds: float) -> None:
        """Read nothing from the peer for so long: TCP tells it to wait. What was read already still comes."""
        if self._transport is None or self._transport.is_closing():
            return
        now = get_running_loop().time()
        if not self._held_until:
            self._transport.pause_reading()
            get_running_loop().call_later(seconds, self._read_on)
        self._held_until = max(self._held_until, now + seconds)

    def _read_on(self) -> None:
        left_s = self._held_until - get_running_loop().time()
        if left_s > 0:  # more of what was read already came meanwhile
            get_running_loop().call_later(left_s, self._read_on)
            return
        self._held_until = 0.0
        self._resume()

    def _resume(self) -> None:
        """Read, unless there is another reason not to."""
        transport = self._transport
        if transport is not None and not (self._is_held or self._held_until or self._tail):
            if not transport.is_closing():
                transport.resume_reading()

    def _let_others(self) -> None:
        """Read on in the loop's next turn; the rest of what was read, 12 KB at most, still comes."""
        self._frames = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            get_running_loop().call_soon(self._resume)

    def abort(self) -> None:
        """Cut the connection off without a word."""
        self._write = _drop
        if self._transport is not None:
            self._transport.abort()

    # ── deadlines ──
    def _close_began(self) -> None:
        self._write, self._partial, self._ping = _drop, None, None
        self.release()  # or the peer's answer would never be read
        if self._connections is not None:
            late = self._connections.now() + self._connections.limits.close_s
            self._deadline = min(late, self._deadline or late)
            self._connections.watch(self)

    def sweep(self, now: float) -> None:
        """Once a second while closing or stalled."""
        unsent = self.buffered()
        if self._write is not _drop and unsent < self._unsent and self._connections is not None:
            self._deadline = now + self._connections.limits.stall_s  # it takes something
        self._unsent = unsent
        if now > self._deadline:
            limit_exceeded.labels("close_s" if self._write is _drop else "stall_s").inc()
            self.abort()

    # ── picows calls these ──
    def on_ws_connected(self, transport: WSTransport) -> None:
        """The 101 is out; again after `_renew`."""
        is_first, self._wire = self._wire is None, transport
        wire.forget_head(transport)
        if is_first:
            assert self._transport is not None
            self._write = self._transport.write
            self.on_open()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """TCP has ended."""
        self.on_wire_lost()

    def on_wire_lost(self) -> None:
        """TCP has ended."""
        self._write, self._partial, self._ping = _drop, None, None
        if self._connections is not None:
            self._connections.discard(self)
        try:
            self.on_closed()
        finally:
            self._wire = self._transport = None

    def pause_writing(self) -> None:
        """The transport holds more than its high-water mark."""
        if self._connections is not None and self._write is not _drop:
            self._deadline = self._connections.now() + self._connections.limits.stall_s
            self._unsent = self.buffered()
            self._connections.watch(self)
        self.on_pause()

    def resume_writing(self) -> None:
        """The transport is below its low-water mark."""
        if self._connections is not None and self._write is not _drop:
            self._deadline = 0.0
            self._connections.unwatch(self)
            self._pong()
        self.on_resume()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame, of any kind."""
        kind = frame.msg_type
        self._frames += 1
        if self._frames > FRAMES_A_TURN:
            self._let_others()
        if frame.payload_size > RENEW_ABOVE and frame.last_in_buffer and not frame.tail_size:
            assert self._transport is not None
            self._transport.pause_reading()
            get_running_loop().call_soon(self._renew)
        if self._write is _drop:
            if kind is CLOSE and self._transport is not None:
                self._transport.close()  # 7.1.1: the server closes TCP first
            return  # 1.4: all else after our close frame is discarded
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._extended(kind, frame)
        elif kind is CLOSE:
            self._peer_closes(frame)
        elif kind is PING:
            # 5.5.3: only the latest ping need be answered. A peer that takes nothing gets no pile of pongs.
            self._ping = frame.get_payload_as_bytes()
            if not self._deadline:
                self._pong()
            self.on_signal(frame.payload_size)
        elif kind is PONG:
            self.on_signal(frame.payload_size)
        elif kind is CONTINUATION:
            if self._partial is None:
                self.close(CloseCode.PROTOCOL_ERROR, "nothing to continue")
            else:
                self._continue(self._partial, frame)
        elif self._partial is not None:
            self.close(CloseCode.PROTOCOL_ERROR, "the last message is not finished")  # 5.4
        elif frame.fin:  # nearly all frames
            self._whole(kind, frame)
        else:
            self._partial = Partial(is_text=kind is TEXT)
            self._continue(self._partial, frame)

    def _extended(self, kind: WSMsgType, frame: WSFrame) -> None:
        """A frame with reserved bits: no extension was agreed (5.2)."""
        self.close(CloseCode.PROTOCOL_ERROR, "reserved bits")
        if kind is CLOSE and self._transport is not None:
            self._transport.close()  # as for any other close frame

    def _pong(self) -> None:
        """Answer the latest ping, if there is one."""
        ping, self._ping = self._ping, None
        if ping is not None:
            self.on_control()
            self.write_frames(server_frame(Opcode.PONG, ping))

    # ── messages ──
    def _whole(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind is BINARY:
            self.on_message(frame.get_payload_as_bytes())
            return
        try:
            text = frame.get_payload_as_utf8_text()
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_DATA, "not UTF-8")  # 8.1
            return
        self.on_message(text)

    def _continue(self, partial: Partial, frame: WSFrame) -> None:
        assert self._connections is not None
        limits = self._connections.limits
        if partial.size + frame.payload_size > limits.max_payload_bytes:
            limit_exceeded.labels("max_payload_bytes").inc()
            self.close(CloseCode.TOO_BIG, TOO_BIG_MESSAGE)
        elif partial.count >= limits.fragments:
            limit_exceeded.labels("fragments").inc()
            self.close(CloseCode.TOO_BIG, "too many fragments (limits.fragments)")
        else:
            try:
                partial.add(frame.get_payload_as_bytes(), is_last=bool(frame.fin))
            except UnicodeDecodeError:
                self.close(CloseCode.INVALID_DATA, "not UTF-8")
                return
            except ProtocolError as exc:
                self.close(CloseCode.INVALID_DATA, exc.message)
                return
            except TooLarge:
                limit_exceeded.labels("max_payload_bytes").inc()
                self.close(CloseCode.TOO_BIG, TOO_BIG_MESSAGE)
                return
            if frame.fin:
                self._partial = None
                message = partial.join()
                # A kilobyte may hold a megabyte: 64 such frames in one turn held the loop 0.3 s (measured).
                self._frames += len(message) // FRAME_BYTES
                self.on_message(message)

    def _peer_closes(self, frame: WSFrame) -> None:
        code = wire.as_int(frame.get_close_code()) if frame.payload_size else 1000
        # 7.4: picows lets 0, 1006 and 5000 and above through.
        self.close(code if may_be_sent(code) else CloseCode.PROTOCOL_ERROR)
        if self._transport is not None:
            self._transport.close()

    def _renew(self) -> None:
        """Put a new picows on the same transport: the only way to get its grown read buffer back.

        Safe because the frame was the last in the buffer, nothing was behind it, and reading has paused since.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._write is not _drop:
            assert self._connections is not None
            wire.read(self, transport, self._connections.limits.max_payload_bytes)
        self._resume()

    def _read_behind(self, tail: bytes) -> None:
        """Read what came behind the request, no more of it in a turn of the loop than from the network."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self._tail = b""
            return
        piece, self._tail = tail[: wire.READ_BYTES], tail[wire.READ_BYTES :]
        wire.feed(transport, piece)
        if self._tail:
            transport.pause_reading()
            get_running_loop().call_soon(self._read_behind, self._tail)
        else:
            self._resume()

    def _opens(self, transport: Transport, connections: Connections) -> None:
        self._transport, self._connections = transport, connections
        connections.add(self)

    def on_wire_failed(self, code: int, why: str) -> None:
        """The library reads no more. Its last good frame may follow in this turn, and an answer to that goes before the close."""
        self.hold()
        get_running_loop().call_soon(self._fail, code, why)

    def _fail(self, code: int, why: str) -> None:
        """Close a connection whose parser has stopped: what comes is thrown away, the peer's close frame included."""
        if self._write is _drop:
            return
        if code == CloseCode.TOO_BIG:
            limit_exceeded.labels("max_payload_bytes").inc()
            why = TOO_BIG_MESSAGE
        self.close(code, why)
        transport = self._transport
        if transport is not None and not transport.is_closing():
            wire.deafen(self, transport)
            if transport.can_write_eof():
                transport.write_eof()  # and `sweep` ends it if the peer does not: with unread input a close would be a reset


def adopt(
    socket: WebSocket,
    transport: Transport,
    key: bytes,
    tail: bytes,
    connections: Connections,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    """Answer an upgrade with 101 and give its transport to `socket`.

    Args:
        socket: What `admit` made.
        transport: The connection; its protocol is exchanged, so call this last.
        key: `Sec-WebSocket-Key`, already judged.
        tail: Bytes that came behind the request's head.
        connections: Where the WebSocket is counted from now on.
        headers: Further headers of the answer.
    """
    socket._opens(transport, connections)
    wire.begin(socket, transport, connections.limits.max_payload_bytes, key, headers)
    if tail:
        socket._read_behind(tail)
