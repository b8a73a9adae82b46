"""Frames over WebSocket that break the protocol, are too much, or are not read."""

import asyncio
import contextlib

from tests.realtime.transports.attacks.target import Target, attack
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawWebSocket,
    close_frame,
    frame,
)


@attack
async def fragments_make_one_message(target: Target) -> None:
    """A message in pieces, with a ping between them and a character across them, arrives whole."""
    sent = (frame(TEXT, b"a\xc3", fin=0), frame(PING, b"p"), frame(CONTINUATION, b"\xa9", fin=0))
    got = await target.frames(*sent, frame(CONTINUATION, b"z"), close_frame(1000))
    assert got == [(PONG, b"p"), (TEXT, b"a\xc3\xa9z"), (CLOSE, b"1000")]


@attack
async def connection_lives_on_after_large_frames(target: Target) -> None:
    """Giving a grown read buffer back loses no byte, in bursts and one by one."""
    sizes = [100_000, 5, 1_000_000, 300, 70_000, 70_000, 1]
    socket = await target.websocket()
    for is_burst in (False, True, False):
        for size in sizes:
            socket.send(b"x" * size)
            if not is_burst:
                assert await socket.receive() == (BINARY, b"x" * size)
        for size in sizes if is_burst else ():
            assert await socket.receive() == (BINARY, b"x" * size)
    await socket.hang_up()


@attack
async def bad_utf8_gets_1007(target: Target) -> None:
    """Text that is no UTF-8 is refused, whole, in its first fragment, and cut in the middle of a character."""
    whole = frame(TEXT, b"\xff")
    surrogate = frame(TEXT, b"ok\xed\xa0\x80", fin=0)
    cut = frame(TEXT, b"a\xc3", fin=0) + frame(CONTINUATION)
    for sent in (whole, surrogate, cut):
        assert await target.frames(sent) == [(CLOSE, b"1007")]


@attack
async def reserved_bits_get_1002(target: Target) -> None:
    """No extension is agreed, so no reserved bit may be set, on any frame."""
    for sent in (*(frame(TEXT, b"x", rsv=bit) for bit in (1, 2, 4)), frame(PING, rsv=4)):
        assert await target.frames(sent) == [(CLOSE, b"1002")]


@attack
async def wrong_order_gets_1002(target: Target) -> None:
    """A continuation of nothing, and a new message inside another, break the protocol."""
    assert await target.frames(frame(CONTINUATION, b"x")) == [(CLOSE, b"1002")]
    assert await target.frames(frame(TEXT, b"x", fin=0), frame(TEXT, b"y")) == [(CLOSE, b"1002")]


@attack
async def unmasked_or_unknown_frames_get_1002(target: Target) -> None:
    """Frames without mask, of unknown type, and control frames that are long or in pieces break the protocol."""
    unmasked, unknown = frame(TEXT, b"x", masked=False), frame(3, b"x")
    for sent in (unmasked, unknown, frame(PING, b"x", fin=0), frame(PING, b"x" * 126)):
        assert await target.frames(sent) == [(CLOSE, b"1002")]


@attack
async def too_much_gets_1009(target: Target) -> None:
    """A message beyond its size, in one frame or in several, or of too many fragments, is refused."""
    one = frame(BINARY, b"x" * (1 << 20) + b"y")
    parts = frame(BINARY, b"x" * 700_000, fin=0) + frame(CONTINUATION, b"x" * 700_000)
    many = frame(BINARY, fin=0) + frame(CONTINUATION, fin=0) * 2000
    for sent in (one, parts, many):
        assert (await target.frames(sent))[-1:] == [(CLOSE, b"1009")]
    assert await target.frames(frame(BINARY, b"x" * (1 << 20)), close_frame(1000)) == [
        (BINARY, b"x" * (1 << 20)),
        (CLOSE, b"1000"),
    ]


@attack
async def bad_close_codes_get_1002(target: Target) -> None:
    """Close codes that may not be sent are answered with 1002, others with themselves."""
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        assert await target.frames(close_frame(code)) == [(CLOSE, b"1002")], code
    assert await target.frames(frame(CLOSE, b"\x03")) == [(CLOSE, b"1002")]
    for code in (1000, 1001, 3000, 4999):
        assert await target.frames(close_frame(code)) == [(CLOSE, b"%d" % code)]
    assert await target.frames(frame(CLOSE)) == [(CLOSE, b"1000")]
    assert await target.frames(close_frame(1000, b"\xff")) == [(CLOSE, b"1007")]


@attack
async def bug_in_a_hook_gets_1011(target: Target) -> None:
    """A hook that raises ends its own connection and no other."""
    assert await target.frames(frame(TEXT, b"raise")) == [(CLOSE, b"1011")]


@attack
async def closer_who_stays_is_cut_off(target: Target) -> None:
    """A peer that does not answer our close frame loses the connection all the same."""
    socket = await target.websocket()
    socket.writer.write(frame(TEXT, b"\xff"))
    with contextlib.suppress(ConnectionError):
        await socket.reader.read()
    await socket.hang_up()


@attack
async def closer_who_does_not_read_is_cut_off(target: Target) -> None:
    """A peer that breaks the protocol while it does not read, so that no close frame reaches it, is cut off too."""
    await is_cut_off_with_bytes_unread(await target.websocket(), frame(3, b"x"))


@attack
async def websocket_that_does_not_read_is_cut_off(target: Target) -> None:
    """A peer that takes nothing for `stall_s` is cut off."""
    await is_cut_off_with_bytes_unread(await target.websocket(), b"")


async def is_cut_off_with_bytes_unread(socket: RawWebSocket, then: bytes) -> None:
    socket.writer.transport.pause_reading()  # type: ignore[attr-defined]
    socket.writer.write(frame(TEXT, b"flood") + then)
    await asyncio.sleep(8)
    socket.writer.transport.resume_reading()  # type: ignore[attr-defined]
    size = 0
    with contextlib.suppress(ConnectionError):
        while chunk := await socket.reader.read(1 << 20):
            size += len(chunk)
    assert size < 50 << 20
    await socket.hang_up()
