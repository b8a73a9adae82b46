"""permessage-deflate on Socket.IO sessions: off by default, one compression for a whole room, and bounded inflating."""

import zlib

import pytest

from clarion.protocol.deflate import Deflate, Deflater
from clarion.realtime.transports import deflated
from clarion.realtime.transports.base import Prepared
from clarion.settings import Limits, Realtime
from clarion.telemetry import REGISTRY
from tests.support.raw_client import CLOSE, TEXT, frame
from tests.support.raw_socketio import Spoken, Wire, wired

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
ON = Realtime(deflate=True)
BIG = '42["e","%s"]' % ("x" * 2000)


async def joined(wire: Wire, headers: bytes = OFFER) -> Spoken:
    client = await wire.websocket(headers=headers)
    assert (await client.hear()).startswith("0{")
    client.say("40")
    assert (await client.hear()).startswith("40")
    return client


async def raw_frame(client: Spoken) -> tuple[int, bytes]:
    """First byte and payload of a frame with a 7 or 16 bit length."""
    first, size = await client.socket.reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await client.socket.reader.readexactly(2), "big")
    return first, await client.socket.reader.readexactly(size)


def inflate(data: bytes, bits: int = 15) -> str:
    return zlib.decompressobj(-bits).decompress(data + b"\x00\x00\xff\xff").decode()


async def test_it_is_off_by_default():
    """The offer is not taken up, and RSV1 breaks the protocol."""
    async with wired() as wire:
        client = await joined(wire)
        assert b"xtensions" not in client.socket.head
        wire.io.emit("e", "x" * 2000)
        assert await client.hear() == BIG
        client.socket.writer.write(frame(TEXT, b"", rsv=4))
        assert await client.hear() == (CLOSE, 1002)


async def test_a_broadcast_is_compressed_once_for_those_who_agreed(monkeypatch):
    """Ten compressed, ten plain, one call of zlib; all hear the same."""
    calls: list[int] = []

    class Counted(Deflater):
        def deflate(self, message: bytes) -> bytes:
            calls.append(len(message))
            return super().deflate(message)

    monkeypatch.setattr(deflated, "Deflater", Counted)
    async with wired(ON) as wire:
        packed = [await joined(wire) for _ in range(10)]
        plain = [await joined(wire, b"") for _ in range(10)]
        both = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        assert both in packed[0].socket.head
        wire.io.emit("e", "x" * 2000)
        for client in packed:
            first, data = await raw_frame(client)
            assert (first, inflate(data)) == (0xC1, BIG)
            assert len(data) < 100
        for client in plain:
            assert await client.hear() == BIG
        assert calls == [len(BIG)]


async def test_short_messages_and_those_that_must_not_be_go_plain():
    """Below the threshold compressing costs more than it saves; `compress(False)` is the application's word."""
    async with wired(ON) as wire:
        client = await joined(wire)
        wire.io.emit("e", "short")
        assert await client.hear() == '42["e","short"]'
        wire.io.compress(False).emit("e", "x" * 2000)
        assert await client.hear() == BIG
        wire.io.compress(True).emit("e", "x" * 2000)
        assert (await raw_frame(client))[0] == 0xC1


async def test_a_burst_leaves_in_order_compressed_or_not():
    """Large and small, with attachments: frames of one turn are joined as they are without compression."""
    async with wired(ON) as wire:
        client = await joined(wire)
        for number in range(20):
            wire.io.emit("e", number, "y" * (3000 * (number % 2)))
        wire.io.emit("b", b"z" * 5000)
        for number in range(20):
            first, data = await raw_frame(client)
            text = inflate(data) if first & 0x40 else data.decode()
            assert text.startswith(f'42["e",{number},')
            assert bool(first & 0x40) == bool(number % 2)
        first, data = await raw_frame(client)
        assert (first, data) == (0x81, b'451-["b",{"_placeholder":true,"num":0}]')
        first, data = await raw_frame(client)
        assert (first, inflate(data)) == (0xC2, "z" * 5000)


async def test_clients_may_compress_what_they_send():
    """An event comes in as if it had been plain, and is answered."""
    async with wired(ON) as wire:
        wire.io.handle("q", lambda socket, text: len(text))
        client = await joined(wire)
        packed = Deflater(Deflate(), 15, has_takeover=False).deflate(
            b'420["q","%s"]' % (b"x" * 9000)
        )
        client.socket.writer.write(frame(TEXT, packed, rsv=4))
        assert await client.hear() == "430[9000]"


async def test_a_bomb_is_closed_with_1009_and_counted():
    """50 MB of zeros in 50 KB: no more than `max_payload_bytes` is ever inflated."""

    def count() -> float:
        labels = {"limit": "max_payload_bytes"}
        return REGISTRY.get_sample_value("clarion_limit_exceeded_total", labels) or 0.0

    async with wired(ON, Limits(drain_s=0.1, close_s=1)) as wire:
        client, before = await joined(wire), count()
        packed = Deflater(Deflate(), 15, has_takeover=False).deflate(bytes(50_000_000))
        assert len(packed) < 60_000
        client.socket.writer.write(frame(TEXT, packed, rsv=4))
        assert await client.hear() == (CLOSE, 1009)
        assert count() == before + 1


async def test_a_client_with_a_smaller_window_gets_frames_of_its_own():
    """It cannot read what was made for the others; it gets the same messages."""
    async with wired(ON) as wire:
        small = await joined(wire, b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n")  # fmt: skip
        large = await joined(wire)
        text = "".join(f"{n:05d}" for n in range(1000)) * 2
        wire.io.emit("e", text)
        _, data = await raw_frame(small)
        assert inflate(data, 9) == f'42["e","{text}"]'
        assert inflate((await raw_frame(large))[1]) == f'42["e","{text}"]'


@pytest.mark.parametrize("takeover", [False, True])
def test_a_shared_window_makes_the_second_message_small(takeover):
    """What takeover is for, and why its frames are of one connection alone."""
    ours = Deflate(threshold_bytes=0, has_takeover=takeover)
    packer = deflated.OwnPacker(ours, deflated.Agreed(server_takeover=takeover))
    text = "".join(chr(0x100 + n * 37 % 500) for n in range(500))
    first, second = (len(packer.frames(Prepared([text]))) for _ in range(2))
    assert (second < 40) == takeover
    assert first > 300


def test_a_peer_that_goes_while_compressed_frames_wait_is_no_error():
    """The frames are dropped, as plain ones are."""
    socket = deflated.DeflatedSocket(lambda _: None, deflated.Agreed(), deflated.SharedPacker(Deflate()))  # fmt: skip
    socket.write(Prepared(["4a"]))
    assert socket.write_many([Prepared(["4a"]), Prepared(["4b"])]) == 2
    assert socket.direct is None
