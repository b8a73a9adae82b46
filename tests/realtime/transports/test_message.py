"""The message layer, on a real connection to a real server in the same loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from clarion.protocol.frames import Opcode, server_frame
from clarion.realtime.transports import WebSocket, run
from clarion.settings import Limits
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    TEXT,
    RawClient,
    RawWebSocket,
    close_frame,
    frame,
)
from tests.support.serving import serving

LIMITS = Limits(close_s=0.1, stall_s=0.1, max_payload_bytes=100_000, fragments=3)


class Noted(WebSocket):
    """Notes what is called; `changed` is set at each call."""

    __slots__ = ("changed", "notes")

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[object] = []
        self.changed = asyncio.Event()

    def note(self, what: object) -> None:
        self.notes.append(what)
        self.changed.set()

    async def until(self, what: object) -> None:
        while what not in self.notes:
            self.changed.clear()
            await self.changed.wait()

    def on_open(self) -> None:
        self.note("open")

    def on_message(self, data: str | bytes) -> None:
        self.note(data)

    def on_closed(self) -> None:
        self.note(("closed", self.close_code))

    def on_pause(self) -> None:
        self.note("pause")

    def on_resume(self) -> None:
        self.note("resume")


@contextlib.asynccontextmanager
async def pair(limits: Limits = LIMITS) -> AsyncIterator[tuple[Noted, RawWebSocket]]:
    """The server's end and the client's."""
    ends: list[Noted] = []

    def admit(_upgrade: object) -> Noted:
        ends.append(Noted())
        return ends[0]

    async with serving(limits=limits, endpoints={"/socket.io/": admit}) as server:
        peer = await RawClient(server.port).websocket()
        await ends[0].until("open")
        try:
            yield ends[0], peer
        finally:
            await peer.hang_up()


async def test_a_life():
    """Open, messages in order, closed once: with the code that the peer gave."""
    async with pair() as (socket, peer):
        assert socket.is_open
        peer.send("text")
        peer.send(b"binary")
        peer.writer.write(close_frame(4000, b"bye"))
        assert await peer.receive() == (CLOSE, b"4000")
        await socket.until(("closed", 4000))
        assert not socket.is_open
        assert socket.notes == ["open", "text", b"binary", ("closed", 4000)]


async def test_a_close_without_code_is_told_as_1005():
    """A close frame may be empty (RFC 6455 §7.1.5)."""
    async with pair() as (socket, peer):
        peer.writer.write(frame(CLOSE))
        await socket.until(("closed", 1005))


async def test_a_lost_connection_is_told_as_1006():
    """A peer that leaves without a word has no code."""
    async with pair() as (socket, peer):
        assert socket.close_code == 1006
        await peer.hang_up()
        await socket.until(("closed", 1006))
        assert socket.close_code == 1006


@pytest.mark.parametrize("size", [0, 5, 125, 126, 512, 513, 65_535, 65_536])
async def test_messages_of_any_size_arrive(size):
    """Text and binary of every form of length."""
    async with pair() as (socket, peer):
        socket.send("x" * size)
        socket.send(b"y" * size)
        assert await peer.receive() == (TEXT, b"x" * size)
        assert await peer.receive() == (BINARY, b"y" * size)


async def test_prepared_frames_and_messages_keep_their_order():
    """What is sent in one turn of the loop arrives in the order of the calls, however it was sent."""
    async with pair() as (socket, peer):
        for i in range(50):
            socket.write_frames(server_frame(Opcode.TEXT, f"a{i}"))
            socket.send(f"b{i}")
            socket.send(f"c{i}" + "." * 1000)
        for i in range(50):
            assert await peer.receive() == (TEXT, b"a%d" % i)
            assert await peer.receive() == (TEXT, b"b%d" % i)
            assert (await peer.receive())[1].startswith(b"c%d." % i)


async def test_nothing_is_sent_after_the_close():
    """After our close frame nothing follows, and what the peer still says is not delivered (RFC 6455 §5.5.1, §1.4)."""
    async with pair() as (socket, peer):
        socket.close(3008, "é" * 100)
        socket.send("late")
        socket.send("late" * 1000)
        socket.write_frames(server_frame(Opcode.TEXT, "late"))
        socket.close(1000)
        socket.on_drain()
        assert not socket.is_open
        peer.send("unheard")
        assert await peer.receive() == (CLOSE, b"3008")
        peer.writer.write(close_frame(3008))
        assert await peer.reader.read() == b""
        await socket.until(("closed", 3008))
        assert "unheard" not in socket.notes
    socket.send("gone")
    socket.close()
    socket.abort()
    assert socket.buffered() == 0


async def test_a_peer_that_does_not_answer_the_close_is_cut_off():
    """The closing handshake has a deadline."""
    async with pair() as (socket, peer):
        socket.close()
        assert await peer.receive() == (CLOSE, b"1000")
        await socket.until(("closed", 1006))


async def test_abort_says_nothing():
    """An aborted connection ends without a close frame."""
    async with pair() as (socket, peer):
        socket.abort()
        socket.send("late")
        with contextlib.suppress(ConnectionError):
            assert await peer.reader.read() == b""
        await socket.until(("closed", 1006))


async def test_a_slow_peer_is_told_and_a_stalled_one_cut_off():
    """Bytes that wait are counted and announced; a peer that takes them again resumes, one that does not is cut off."""
    async with pair(Limits(stall_s=1)) as (socket, peer):
        peer.writer.transport.pause_reading()
        size = 0
        while "pause" not in socket.notes:
            socket.write_frames(server_frame(Opcode.BINARY, bytes(100_000)))
            size += 100_010
            await asyncio.sleep(0)
        assert socket.buffered() > 0
        peer.writer.transport.resume_reading()
        await peer.reader.readexactly(size)
        await socket.until("resume")
        assert socket.buffered() == 0
        peer.writer.transport.pause_reading()
        socket.write_frames(server_frame(Opcode.BINARY, bytes(50_000_000)))
        await socket.until(("closed", 1006))


async def test_a_peer_that_takes_something_is_not_stalled():
    """As long as bytes go, the deadline moves."""
    async with pair(Limits(stall_s=30)) as (socket, peer):
        peer.writer.transport.pause_reading()
        socket.write_frames(server_frame(Opcode.BINARY, bytes(50_000_000)))
        await socket.until("pause")
        waiting, deadline = socket._unsent, socket._deadline
        peer.writer.transport.resume_reading()
        while socket.buffered() == waiting:  # noqa: ASYNC110  the transport has no event for it
            await asyncio.sleep(0)
        socket.sweep(deadline - 1)
        assert socket._deadline == deadline - 1 + 30
        socket.sweep(deadline)
        assert socket.is_open


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"\xff"), b"1007"),
        (frame(TEXT, b"\xc3", fin=0) + frame(CONTINUATION, b"\x00"), b"1007"),
        (frame(BINARY, b"x" * 100_001), b"1009"),
        (frame(BINARY, b"x" * 60_000, fin=0) + frame(CONTINUATION, b"x" * 60_000), b"1009"),
        (frame(BINARY, b"x", fin=0) + frame(CONTINUATION, b"x", fin=0) * 3, b"1009"),
        (frame(CONTINUATION, b"x"), b"1002"),
        (frame(TEXT, b"x", rsv=4), b"1002"),
    ],
)
async def test_a_broken_message_has_its_code(sent, code):
    """Each breach closes with the code that RFC 6455 gives it, and nothing of it is delivered."""
    async with pair() as (socket, peer):
        peer.writer.write(sent)
        assert await peer.receive() == (CLOSE, code)
        assert socket.notes == ["open"]


async def test_fragments_at_their_limits_are_a_message():
    """Three fragments and 100,000 bytes are allowed where the limits say so; text stays text, bytes stay bytes."""
    async with pair() as (socket, peer):
        parts = frame(BINARY, b"x" * 50_000, fin=0) + frame(CONTINUATION, b"y" * 49_999, fin=0)
        peer.writer.write(parts + frame(CONTINUATION, b"z"))
        await socket.until(b"x" * 50_000 + b"y" * 49_999 + b"z")
        peer.writer.write(frame(TEXT, b"a\xc3", fin=0) + frame(CONTINUATION, b"\xa9"))
        await socket.until("aé")


def test_writing_to_a_reset_connection_is_no_error_on_uvloop():
    """A broadcast does not end at the first dead connection, though uvloop raises where asyncio does not."""

    async def main() -> None:
        async with pair() as (socket, peer):
            write = socket._write
            await peer.hang_up()
            await socket.until(("closed", 1006))
            with pytest.raises(RuntimeError):
                write(b"\x81\x00")
            socket._write = write
            socket.write_frames(b"\x81\x00")
            assert not socket.is_open

    run(main())
