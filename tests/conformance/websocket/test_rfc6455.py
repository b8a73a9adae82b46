"""RFC 6455, rule by rule, against the echo server: what a peer may send comes back, what it may not is answered with the close code.

Each test sends bytes and reads frames until the server closes. The sections follow the RFC; the cases are those that suites of other
projects ask for, too.
"""

import asyncio
import struct
from itertools import accumulate

import pytest

from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    close_frame,
    frame,
)

MIB = 1 << 20
MASK = b"\x80\x01\x02\x03\x04"  # of an empty frame: MASK bit, length 0, key
BYE = close_frame(1000)
GOODBYE = (CLOSE, b"1000")
BROKEN = (CLOSE, b"1002")


async def chopped(echo: RawClient, sent: bytes, size: int) -> list[tuple[int, bytes]]:
    """What comes back when the bytes arrive in pieces, each of which the server has read before the next is sent."""
    socket = await echo.websocket()
    for start in range(0, len(sent), size):
        socket.writer.write(sent[start : start + size])
        await socket.writer.drain()
        await asyncio.sleep(0)
    got: list[tuple[int, bytes]] = []
    while not got or got[-1][0] != CLOSE:
        got.append(await socket.receive())
    await socket.hang_up()
    return got


# ── 5.2: frames ──
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537])
@pytest.mark.parametrize("op", [TEXT, BINARY])
async def test_a_message_of_any_size_comes_back_as_what_it_was(echo, op, size):
    """Text as text, binary as binary, in each of the three forms of a length."""
    data = b"*" * size if op == TEXT else b"\xfe" * size
    assert await echo.frames(frame(op, data), BYE) == [(op, data), GOODBYE]


@pytest.mark.parametrize("size", [1, 2, 7, 997])
async def test_frames_may_arrive_in_pieces_of_any_size(echo, size):
    """The boundaries of reads mean nothing, also inside a head."""
    sent = frame(TEXT, b"x" * 300) + frame(BINARY, b"") + frame(TEXT, b"y" * 126) + BYE
    got = await chopped(echo, sent, size)
    assert got == [
        (TEXT, b"x" * 300),
        (BINARY, b""),
        (TEXT, b"y" * 126),
        GOODBYE,
    ]


@pytest.mark.parametrize("op", [TEXT, BINARY])
@pytest.mark.parametrize(("size", "pieces"), [(4 * MIB, 65_536), (16 * MIB, 1 << 20)])
async def test_messages_of_megabytes_come_back(echo, op, size, pieces):
    """Up to 16 MiB, in one frame and in many."""
    data = bytes(range(65, 91)) * (size // 26) + b"." * (size % 26)
    parts = [data[i : i + pieces] for i in range(0, size, pieces)]
    fragments = [
        frame(op if i == 0 else CONTINUATION, part, fin=int(i == len(parts) - 1))
        for i, part in enumerate(parts)
    ]
    got = await echo.frames(frame(op, data), *fragments, BYE, wait_s=30)
    assert got == [(op, data), (op, data), GOODBYE]


async def test_more_than_the_limit_is_refused_with_1009(echo):
    """One byte above 16 MiB: told by the head alone, and as a sum of fragments."""
    head = bytes((0x82, 0xFF)) + struct.pack("!Q", 16 * MIB + 1) + MASK[1:]
    assert await echo.frames(head) == [(CLOSE, b"1009")]
    half = b"x" * (8 * MIB)
    sent = frame(BINARY, half, fin=0), frame(CONTINUATION, half, fin=0), frame(CONTINUATION, b"x")
    assert await echo.frames(*sent, wait_s=30) == [(CLOSE, b"1009")]


@pytest.mark.parametrize(
    "head",
    [
        b"\x81\xfe\x00\x7d" + MASK[1:] + b"x" * 125,
        b"\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05" + MASK[1:] + b"x" * 5,
        b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff" + MASK[1:] + b"x" * 65535,
        b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00" + MASK[1:],
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff" + MASK[1:],
    ],
    ids=["125-in-16-bits", "5-in-64-bits", "65535-in-64-bits", "top-bit", "all-bits"],
)
async def test_a_length_is_in_its_shortest_form_and_positive(echo, head):
    """A longer form than needed, and the highest bit of 64, break the protocol."""
    assert await echo.frames(frame(TEXT, b"before"), head) == [(TEXT, b"before"), BROKEN]


# ── 5.1: masks ──
@pytest.mark.parametrize("op", [TEXT, BINARY, PING, PONG, CLOSE])
async def test_a_client_masks_what_it_sends(echo, op):
    """An unmasked frame is refused, and what came before it was answered."""
    sent = frame(TEXT, b"before"), frame(op, b"", masked=False)
    assert await echo.frames(*sent) == [(TEXT, b"before"), BROKEN]


async def test_the_server_masks_nothing(echo):
    """No frame of the server has the MASK bit."""
    socket = await echo.websocket()
    for size in (5, 300, 70_000):
        socket.writer.write(frame(BINARY, b"x" * size))
        head = await socket.reader.readexactly(2)
        assert head[1] < 128
        extra = {126: 2, 127: 8}.get(head[1], 0)
        await socket.reader.readexactly(extra + size)
    await socket.hang_up()


# ── 5.2: reserved bits and opcodes ──
@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("op", [TEXT, BINARY, PING, PONG, CLOSE])
async def test_reserved_bits_without_an_extension_are_refused(echo, op, rsv):
    """Any of the three, on any frame; what came before it is answered, what follows is not."""
    sent = frame(TEXT, b"before") + frame(op, b"", rsv=rsv) + frame(PING, b"after")
    assert await echo.frames(sent) == [(TEXT, b"before"), BROKEN]


@pytest.mark.parametrize("op", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("data", [b"", b"reserved"])
@pytest.mark.parametrize("is_together", [True, False])
async def test_reserved_opcodes_are_refused(echo, op, data, is_together):
    """What came before is answered, whether it was read together with the bad frame or not; what follows is not."""
    sent = [frame(TEXT, b"before"), frame(op, data), frame(PING, b"after")]
    got = await echo.frames(b"".join(sent)) if is_together else await echo.frames(*sent)
    assert got == [(TEXT, b"before"), BROKEN]


# ── 5.4: fragments ──
async def test_fragments_become_one_message(echo):
    """Also empty ones, also many; each message is of the kind of its first frame."""
    got = await echo.frames(
        frame(TEXT, b"a", fin=0) + frame(CONTINUATION, b"b"),
        frame(BINARY, b"", fin=0) + frame(CONTINUATION, b"", fin=0) + frame(CONTINUATION, b""),
        frame(TEXT, b"", fin=0) + frame(CONTINUATION, b"mid", fin=0) + frame(CONTINUATION, b""),
        frame(BINARY, b"0", fin=0) + frame(CONTINUATION, b"1", fin=0) * 5000 + frame(CONTINUATION),
        BYE,
    )
    assert got == [(TEXT, b"ab"), (BINARY, b""), (TEXT, b"mid"), (BINARY, b"0" + b"1" * 5000), GOODBYE]  # fmt: skip


async def test_control_frames_may_come_between_fragments(echo):
    """A ping inside a message is answered before it; an empty one and a pong change nothing."""
    got = await echo.frames(
        frame(TEXT, b"a", fin=0)
        + frame(PING, b"1")
        + frame(CONTINUATION, b"b", fin=0)
        + frame(PONG, b"unasked")
        + frame(PING)
        + frame(CONTINUATION, b"c"),
        BYE,
    )
    assert got == [(PONG, b"1"), (PONG, b""), (TEXT, b"abc"), GOODBYE]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ([frame(CONTINUATION, b"x")], []),
        ([frame(CONTINUATION, b"x", fin=0)], []),
        ([frame(CONTINUATION)], []),
        ([frame(TEXT, b"a", fin=0), frame(TEXT, b"b")], []),
        ([frame(TEXT, b"a", fin=0), frame(BINARY, b"b", fin=0)], []),
        ([frame(TEXT, b"a", fin=0), frame(CONTINUATION, b"b"), frame(CONTINUATION, b"c")], [(TEXT, b"ab")]),
        ([frame(TEXT, b"a"), frame(CONTINUATION, b"b", fin=0), frame(TEXT, b"c")], [(TEXT, b"a")]),
    ],
    ids=["alone", "alone-open", "empty", "text-inside", "binary-inside", "after-the-last", "after-whole"],
)  # fmt: skip
@pytest.mark.parametrize("is_together", [True, False])
async def test_fragments_in_a_wrong_order_are_refused(echo, sent, answered, is_together):
    """Nothing to continue, or a message inside a message."""
    got = await echo.frames(b"".join(sent)) if is_together else await echo.frames(*sent)
    assert got == [*answered, BROKEN]


# ── 5.5: control frames ──
@pytest.mark.parametrize("op", [PING, PONG, CLOSE])
async def test_control_frames_are_short_and_whole(echo, op):
    """126 bytes are too many, and a control frame may not be fragmented."""
    assert await echo.frames(frame(op, b"\x03\xe8" + b"x" * 124)) == [BROKEN]
    assert await echo.frames(frame(op, b"", fin=0)) == [BROKEN]
    assert await echo.frames(frame(op, b"", fin=0) + frame(CONTINUATION, b"x")) == [BROKEN]


@pytest.mark.parametrize(
    "data", [b"", b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125]
)
async def test_a_pong_carries_what_its_ping_did(echo, data):
    """Any bytes, up to 125; they need not be UTF-8."""
    assert await echo.frames(frame(PING, data), BYE) == [(PONG, data), GOODBYE]


async def test_pings_in_a_row_are_answered_in_a_row(echo):
    """Ten at once, and ten behind a message whose answer has not left yet."""
    pings = b"".join(frame(PING, b"%d" % n) for n in range(10))
    pongs = [(PONG, b"%d" % n) for n in range(10)]
    assert await echo.frames(pings, BYE) == [*pongs, GOODBYE]
    big = b"x" * 200_000
    got = await echo.frames(frame(BINARY, big) + pings, BYE)
    assert got == [(BINARY, big), *pongs, GOODBYE]


async def test_pongs_that_nobody_asked_for_are_ignored(echo):
    """With and without payload, before and after pings."""
    sent = frame(PONG), frame(PONG, b"x"), frame(PING, b"p"), frame(PONG, b"p"), BYE
    assert await echo.frames(*sent) == [(PONG, b"p"), GOODBYE]


# ── 8.1: UTF-8 ──
GREEK = "κόσμε".encode()
VALID = [
    "Hello-µ@ßöäüàá-UTF-8!!".encode(),
    GREEK,
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf0\x9f\xbf\xbe",
    b"\xf4\x8f\xbf\xbf",
]
INVALID = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64",  # a surrogate behind valid text
    b"\x80",
    b"\xbf",
    b"\x80\xbf" * 3,
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xc2",
    b"\xe1\x80",
    b"\xf1\x80\x80",
    b"\xc2 ",
    b"\xe2\x82(",
]


@pytest.mark.parametrize("text", VALID, ids=bytes.hex)
async def test_any_text_comes_back_also_in_fragments_of_one_byte(echo, text):
    """The boundaries of fragments and of reads may cut a character anywhere."""
    pieces = [frame(CONTINUATION, text[i : i + 1], fin=0) for i in range(1, len(text))]
    fragments = frame(TEXT, text[:1], fin=0) + b"".join(pieces) + frame(CONTINUATION)
    assert await echo.frames(frame(TEXT, text), fragments, BYE) == [(TEXT, text)] * 2 + [GOODBYE]
    assert await chopped(echo, frame(TEXT, text) + BYE, 1) == [(TEXT, text), GOODBYE]


@pytest.mark.parametrize("text", INVALID, ids=bytes.hex)
async def test_text_that_is_not_utf8_is_refused(echo, text):
    """In one frame and in fragments of one byte: 1007."""
    pieces = [frame(CONTINUATION, text[i : i + 1], fin=0) for i in range(1, len(text))]
    fragments = frame(TEXT, text[:1], fin=0) + b"".join(pieces) + frame(CONTINUATION)
    assert await echo.frames(frame(TEXT, text)) == [(CLOSE, b"1007")]
    assert await echo.frames(fragments) == [(CLOSE, b"1007")]


async def test_bad_text_is_found_at_its_fragment_not_at_the_end(echo):
    """The message is not over, and the rest never comes: it is refused all the same."""
    sent = frame(TEXT, GREEK, fin=0), frame(CONTINUATION, b"\xf4\x90\x80\x80", fin=0)
    assert await echo.frames(*sent) == [(CLOSE, b"1007")]
    assert await echo.frames(*sent[:1], frame(CONTINUATION, b"\xf4\x90", fin=0)) == [
        (CLOSE, b"1007")
    ]


async def test_binary_need_not_be_utf8(echo):
    """What is no text is not looked at."""
    assert await echo.frames(frame(BINARY, b"\xff\xfe"), BYE) == [(BINARY, b"\xff\xfe"), GOODBYE]


# ── 5.5.1, 7: closing ──
@pytest.mark.parametrize(
    "code",
    [
        1000,
        1001,
        1002,
        1003,
        1007,
        1008,
        1009,
        1010,
        1011,
        1012,
        1013,
        1014,
        3000,
        3999,
        4000,
        4999,
    ],
)
async def test_a_close_code_comes_back(echo, code):
    """Each that may stand in a frame."""
    assert await echo.frames(close_frame(code, b"why")) == [(CLOSE, b"%d" % code)]


@pytest.mark.parametrize(
    "code",
    [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535],
)
async def test_a_close_code_that_may_not_be_sent_is_refused(echo, code):
    """Those that mean something only to the receiver, and those that nobody has given a meaning."""
    assert await echo.frames(close_frame(code)) == [BROKEN]
    assert await echo.frames(close_frame(code, b"why")) == [BROKEN]


async def test_a_close_may_be_empty_but_not_half_a_code(echo):
    """No payload is a close without code; one byte is nothing."""
    assert await echo.frames(frame(CLOSE)) == [GOODBYE]
    assert await echo.frames(frame(CLOSE, b"\x03")) == [BROKEN]


async def test_a_reason_is_text_of_at_most_123_bytes(echo):
    """Longer is a control frame that is too long; what is no UTF-8 is refused as any such text."""
    assert await echo.frames(close_frame(1000, b"*" * 123)) == [GOODBYE]
    assert await echo.frames(close_frame(1000, b"*" * 124)) == [BROKEN]
    assert await echo.frames(close_frame(1000, b"\xce\xba\xed\xa0\x80")) == [(CLOSE, b"1007")]


@pytest.mark.parametrize(
    "after",
    [
        frame(TEXT, b"late"),
        frame(PING, b"late"),
        BYE,
        close_frame(4000),
        frame(CONTINUATION, b"late"),
        frame(3, b"late"),
        frame(TEXT, b"late", masked=False),
        b"\xff" * 1000,
    ],
    ids=["message", "ping", "again", "other-code", "fragment", "opcode", "unmasked", "noise"],
)
@pytest.mark.parametrize("is_together", [True, False])
async def test_nothing_counts_after_a_close(echo, after, is_together):
    """The close is answered once, with its code, and the server ends the connection."""
    before = frame(TEXT, b"x", fin=0) + BYE
    socket = await echo.websocket()
    socket.writer.write(before + after if is_together else before)
    assert await socket.receive() == GOODBYE
    if not is_together:
        socket.writer.write(after)
    assert await rest(socket.reader) == b""
    await socket.hang_up()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes; bytes that nobody read make the end a reset."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_messages_before_a_close_are_answered_before_it(echo):
    """The answer to a big message leaves whole, then the close frame, then TCP ends."""
    data = b"x" * 256 * 1024
    socket = await echo.websocket()
    socket.writer.write(frame(BINARY, data) + BYE + frame(PING))
    assert await socket.receive() == (BINARY, data)
    assert await socket.receive() == GOODBYE
    await socket.hang_up()


async def test_after_a_failure_the_close_frame_can_be_read(echo):
    """A peer that goes on sending behind its bad frame gets our reason all the same, and then the end, not a reset."""
    socket = await echo.websocket()
    socket.writer.write(frame(3) + frame(BINARY, b"x" * 100_000) * 20)
    assert await socket.receive() == BROKEN
    assert await socket.reader.read() == b""
    socket.writer.write_eof()
    await socket.hang_up()


async def test_a_thousand_messages_come_back_in_order(echo):
    """Of many sizes, in a row, each in the form that its size needs."""
    sizes = list(accumulate(range(1000)))[::2]
    sent = [frame(BINARY, b"%d" % size + b"." * (size % 3000)) for size in sizes]
    got = await echo.frames(*sent, BYE, wait_s=30)
    assert got == [
        *((BINARY, b"%d" % size + b"." * (size % 3000)) for size in sizes),
        GOODBYE,
    ]
