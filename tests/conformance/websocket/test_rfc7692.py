"""RFC 7692 (permessage-deflate) against the echo server: negotiation as it is seen in the 101, and messages both ways."""

import itertools
import re
import zlib

import pytest

from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    RawWebSocket,
    close_frame,
    frame,
    upgrade,
)

TAIL = b"\x00\x00\xff\xff"
RSV1 = 4


class Peer:
    """A client that compresses with zlib, as it was agreed."""

    def __init__(self, socket: RawWebSocket) -> None:
        self.socket = socket
        found = re.search(rb"(?i)sec-websocket-extensions: (.*)\r\n", socket.head)
        self.agreed = found[1].decode() if found else ""
        self.packs = self.unpacks = None

    def _bits(self, side: str) -> int:
        found = re.search(side + r"_max_window_bits=(\d+)", self.agreed)
        return max(9, int(found[1])) if found else 15

    def pack(self, data: bytes) -> bytes:
        if self.packs is None or "client_no_context_takeover" in self.agreed:
            self.packs = zlib.compressobj(9, zlib.DEFLATED, -self._bits("client"))
        return (self.packs.compress(data) + self.packs.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def unpack(self, data: bytes) -> bytes:
        # A window that is smaller than the server's would fail here.
        if self.unpacks is None or "server_no_context_takeover" in self.agreed:
            self.unpacks = zlib.decompressobj(-self._bits("server"))
        return self.unpacks.decompress(data + TAIL)

    async def receive(self) -> tuple[int, bytes, bool]:
        """Opcode, inflated payload, and whether it was compressed."""
        first, size = await self.socket.reader.readexactly(2)
        size = ({126: 2, 127: 8}.get(size, 0) and int.from_bytes(
            await self.socket.reader.readexactly({126: 2, 127: 8}[size]), "big"
        )) or size  # fmt: skip
        data = await self.socket.reader.readexactly(size)
        is_packed = bool(first & 0x40)
        return first & 15, self.unpack(data) if is_packed else data, is_packed


async def peer(echo: RawClient, offer: str) -> Peer:
    return Peer(
        await echo.websocket(b"Sec-WebSocket-Extensions: " + offer.encode() + b"\r\n", path=b"/")
    )


OFFERS = [
    "permessage-deflate" + "".join(parameters)
    for parameters in itertools.product(
        ["", "; client_no_context_takeover"],
        ["", "; server_no_context_takeover"],
        ["", "; client_max_window_bits", "; client_max_window_bits=9"],
        ["", "; server_max_window_bits=9", "; server_max_window_bits=15"],
    )
]


@pytest.mark.parametrize("offer", OFFERS)
async def test_messages_go_both_ways_with_each_combination_of_parameters(echo, offer):
    """What was demanded is in the answer; messages that repeat each other survive, with and without takeover."""
    client = await peer(echo, offer)
    for demanded in ("server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits=9"):  # fmt: skip
        assert demanded in client.agreed or demanded not in offer
    assert "client_max_window_bits" in offer or "client_max_window_bits" not in client.agreed
    for number in range(4):
        data = (f"message {number} " * 700 + "".join(map(chr, range(0x100, 0x300)))).encode()
        client.socket.writer.write(frame(TEXT, client.pack(data), rsv=RSV1))
        assert await client.receive() == (TEXT, data, True)
    await client.socket.hang_up()


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
        ("permessage-bzip2, permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
        ("permessage-deflate; unknown=1", ""),
        ("permessage-deflate; server_max_window_bits", ""),
        ("permessage-deflate; server_max_window_bits=16", ""),
        ("permessage-deflate; client_max_window_bits=7", ""),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", ""),
        ("x-webkit-deflate-frame", ""),
    ],
)  # fmt: skip
async def test_the_first_acceptable_offer_is_taken_or_none(echo, offers, agreed):
    """Declined is not refused: the connection goes on without compression."""
    client = await peer(echo, offers)
    assert client.agreed == agreed
    client.socket.writer.write(frame(TEXT, b"plain"))
    assert await client.receive() == (TEXT, b"plain", bool(agreed))
    await client.socket.hang_up()


async def test_offers_may_come_in_several_headers(echo):
    """RFC 6455 §9.1: they are one list."""
    client = await peer(echo, "foo\r\nSec-WebSocket-Extensions: permessage-deflate")
    assert client.agreed == "permessage-deflate"
    await client.socket.hang_up()


@pytest.mark.parametrize("header", ["permessage-deflate;", "=", 'a; b="', "permessage deflate"])
async def test_a_header_that_breaks_the_grammar_is_refused(echo, header):
    """400, before anything is upgraded."""
    asked = upgrade(b"Sec-WebSocket-Extensions: " + header.encode() + b"\r\n", path=b"/")
    assert await echo.first_status(asked) == 400


async def test_compressed_and_plain_messages_mix(echo):
    """RSV1 says it for each message; either side may leave one as it is."""
    client = await peer(echo, "permessage-deflate")
    for data in (b"a" * 1000, b"", b"b"):
        client.socket.writer.write(frame(BINARY, data))
        client.socket.writer.write(frame(BINARY, client.pack(data), rsv=RSV1))
        assert [(await client.receive())[:2] for _ in range(2)] == [(BINARY, data)] * 2
    await client.socket.hang_up()


async def test_a_compressed_message_may_come_in_fragments(echo):
    """RSV1 is on the first alone; a character and a block may be cut anywhere, a ping may be between."""
    client = await peer(echo, "permessage-deflate")
    data = "κόσμε ".encode() * 1000
    packed = client.pack(data)
    parts = [packed[i : i + 1] for i in range(len(packed))]
    sent = frame(TEXT, parts[0], fin=0, rsv=RSV1) + frame(PING, b"p")
    sent += b"".join(frame(CONTINUATION, part, fin=0) for part in parts[1:]) + frame(CONTINUATION)
    client.socket.writer.write(sent)
    assert [(await client.receive())[:2] for _ in range(2)] == [(PONG, b"p"), (TEXT, data)]
    await client.socket.hang_up()


async def test_a_block_that_ends_the_stream_is_fine(echo):
    """§7.2.3.4: BFINAL inside a message."""
    client = await peer(echo, "permessage-deflate")
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = stream.compress(b"final") + stream.flush() + b"\x00"
    client.socket.writer.write(frame(TEXT, packed, rsv=RSV1))
    assert (await client.receive())[:2] == (TEXT, b"final")
    await client.socket.hang_up()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"", fin=0, rsv=RSV1) + frame(CONTINUATION, b"", rsv=RSV1), b"1002"),
        (frame(TEXT, b"", fin=0) + frame(CONTINUATION, b"", rsv=RSV1), b"1002"),
        (frame(CONTINUATION, b"", rsv=RSV1), b"1002"),
        (frame(PING, b"", rsv=RSV1), b"1002"),
        (frame(PONG, b"", rsv=RSV1), b"1002"),
        (frame(CLOSE, b"", rsv=RSV1), b"1002"),
        (frame(TEXT, b"", rsv=RSV1 | 1), b"1002"),
        (frame(TEXT, b"", rsv=2), b"1002"),
        (frame(TEXT, b"", fin=0, rsv=RSV1) + frame(TEXT, b"", rsv=RSV1), b"1002"),
        (frame(TEXT, b"\x07\x00no deflate", rsv=RSV1), b"1007"),
        (frame(TEXT, b"\x07\x00no deflate", fin=0, rsv=RSV1), b"1007"),
        (frame(TEXT, b"\xf2\x00\x11\x00\x00", rsv=RSV1), b"1007"),
        (frame(BINARY, zlib.compress(bytes(20 << 20), wbits=-15) + b"\x00", rsv=RSV1), b"1009"),
    ],
    ids=["continuation", "of-plain", "alone", "ping", "pong", "close", "rsv3", "rsv2", "inside", "noise", "noise-early",
         "refers-to-nothing", "bomb"],
)  # fmt: skip
async def test_what_breaks_the_extension_has_its_code(echo, sent, code):
    """Reserved bits where they mean nothing, data that is none, and a bomb of 20 MB in 20 KB."""
    client = await peer(echo, "permessage-deflate")
    client.socket.writer.write(sent)
    assert await client.socket.receive() == (CLOSE, code)
    await client.socket.hang_up()


async def test_compressed_text_that_is_not_utf8_is_found_before_the_message_ends(echo):
    """The check is of what was inflated, at the fragment."""
    client = await peer(echo, "permessage-deflate")
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = stream.compress(b"\xed\xa0\x80") + stream.flush(zlib.Z_SYNC_FLUSH)
    client.socket.writer.write(frame(TEXT, packed, fin=0, rsv=RSV1))
    assert await client.socket.receive() == (CLOSE, b"1007")
    await client.socket.hang_up()


@pytest.mark.parametrize("size", [16, 1024, 131_072])
@pytest.mark.parametrize("fragment", [0, 256, 32_768])
async def test_many_messages_of_a_size_come_back(echo, size, fragment):
    """Numbers are compressed as well as they can be, whole and in fragments."""
    client = await peer(echo, "permessage-deflate; client_max_window_bits")
    for number in range(10):
        data = (b"%d," % number * size)[:size]
        packed = client.pack(data)
        step = fragment or len(packed)
        parts = [packed[i : i + step] for i in range(0, len(packed), step)]
        for i, part in enumerate(parts):
            is_last = i == len(parts) - 1
            first = (BINARY, RSV1) if i == 0 else (CONTINUATION, 0)
            client.socket.writer.write(frame(first[0], part, fin=int(is_last), rsv=first[1]))
        assert (await client.receive())[:2] == (BINARY, data)
    client.socket.writer.write(close_frame(1000))
    assert await client.socket.receive() == (CLOSE, b"1000")
    await client.socket.hang_up()
