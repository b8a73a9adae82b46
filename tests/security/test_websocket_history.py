"""Holes of WebSocket libraries, tried where compression is on and on raw endpoints; the other ids are in test_history.py."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from socket import create_connection

import pytest
import uvloop

from clarion.protocol.deflate import Deflate, Deflater
from clarion.realtime import RawConnection
from clarion.realtime.transports.message import FRAMES_A_TURN
from clarion.realtime.transports.wire import READ_BYTES
from clarion.settings import Limits, Realtime
from clarion.telemetry import limit_exceeded
from tests.support.raw_client import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    frame,
    upgrade,
)
from tests.support.raw_socketio import QUERY, Wire, until, wired

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
SERVER = Path(__file__).parents[1] / "support" / "attack_server.py"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    limits = Limits(drain_s=0.1, close_s=1.0, handshakes_per_s=100_000)
    async with wired(Realtime(deflate=True), limits) as wire:
        wire.io.websocket("/raw", lambda ws: ws.on_message(ws.send))
        yield wire


PATHS = [QUERY + b"websocket", b"/raw"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Sec-WebSocket-Protocol: a" + b" " * 20_000 + b"b", 101),
        (b"Sec-WebSocket-Protocol: " + b"a, " * 10_000, 101),
        (b"Sec-WebSocket-Extensions: constructor", 101),
        (b"Sec-WebSocket-Extensions: __proto__; permessage-deflate=1", 101),
        (b"Sec-WebSocket-Extensions: " + b"permessage-deflate; x," * 1400, 101),
        (b"Sec-WebSocket-Extensions: " + b";" * 30_000, 400),
        (b"Sec-WebSocket-Extensions: " + b'a; b="' * 5_000, 400),
        (b"Sec-WebSocket-Extensions: a" + b" \t" * 15_000 + b"=", 400),
        (b"Sec-WebSocket-Extensions: " + b"a" * 100_000, 431),
    ],
)  # fmt: skip
async def test_long_and_odd_headers_are_read_in_one_pass(wire, path, header, status):
    """CVE-2021-32640 GHSA-6fc8-4gx4-v693, GHSA-5v72-xg48-5rpm: spaces without end, names of an object's own members, half quotes."""
    assert await wire.raw.first_status(upgrade(header + b"\r\n", path=path)) == status


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_of_another_site_opens_nothing(wire, path):
    """CVE-2020-28481 GHSA-fxwf-4rqh-v8g3, on raw endpoints too: a person's cookies are of no use to a foreign page."""
    asked = upgrade(b"Origin: https://evil.example\r\nCookie: a=b\r\n", path=path)
    assert await wire.raw.first_status(asked) == 403
    assert wire.io.sessions == 0


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
async def test_reserved_bits_of_nobody_close_where_compression_is_on(wire, rsv):
    """CVE-2022-21676 GHSA-273r-mgr4-v34f: RSV2 and RSV3 mean nothing, with RSV1 or without, also behind the upgrade in one piece."""
    reader, writer = await wire.raw.dial(upgrade(OFFER, path=b"/raw") + frame(TEXT, b"", rsv=rsv))
    await reader.readuntil(b"\r\n\r\n")
    assert (await reader.readexactly(4))[:1] == b"\x88"
    writer.close()


@pytest.mark.parametrize("is_cut", [False, True])
async def test_a_bomb_never_grows(wire, is_cut):
    """A message of 50 KB that would be 50 MB, whole and in fragments: closed with 1009 as soon as it passes the limit."""
    packed = Deflater(Deflate(), 15, has_takeover=False).deflate(bytes(50_000_000))
    client = await wire.raw.websocket(OFFER, path=b"/raw")
    if is_cut:
        client.writer.write(frame(TEXT, packed[:2000], fin=0, rsv=4))
        # The rest of what would be 50 MB is not waited for: 2,000 bytes were enough.
    else:
        client.writer.write(frame(TEXT, packed, rsv=4))
    assert await client.receive() == (CLOSE, b"1009")
    await client.hang_up()


async def test_a_million_fragments_are_counted(wire):
    """CVE-2026-48779 GHSA-96hv-2xvq-fx4p: fragments of one byte, plain and compressed, end at `limits.fragments`."""
    for rsv in (0, 4):
        client = await wire.raw.websocket(OFFER, path=b"/raw")
        # An empty stored block inflates to nothing, however often it comes.
        part = b"\x00\x00\x00\xff\xff" if rsv else b"x"
        client.writer.write(frame(TEXT, part, fin=0, rsv=rsv))
        for _ in range(100):
            client.writer.write(frame(CONTINUATION, part, fin=0) * 10_000)
        assert await client.receive() == (CLOSE, b"1009")
        await client.hang_up()


async def test_pongs_and_pings_tell_nothing_but_what_they_were_told(wire):
    """CVE-2026-45736 GHSA-58qx-3vcg-4xpx: a pong has the bytes of its ping, of every length, and none of anybody's memory."""
    client = await wire.raw.websocket(path=b"/raw")
    for size in range(126):
        client.writer.write(frame(PING, bytes([size]) * size))
        assert await client.receive() == (PONG, bytes([size]) * size)
    await client.hang_up()


async def test_who_hangs_up_during_a_compressed_answer_is_no_error(wire):
    """CVE-2022-41940 GHSA-r7qp-cfhv-p84w: resets while frames are made for somebody."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
    for _ in range(10):
        client = await wire.raw.websocket(OFFER, path=b"/raw")
        client.send("x" * 100_000)
        await client.hang_up()
    await until(lambda: not wire.io._raw.open)
    assert errors == []


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_floods_of_tiny_frames_leave_nothing_behind(loop):
    """CVE-2026-48802 GHSA-cgwc-pv48-fhj5: 1.2 MB of empty pongs in one go, on each of eight connections, keep no memory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), loop, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    client = RawClient(int(await process.stdout.readline()))

    def rss_kb() -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        assert found is not None
        return int(found[1])

    sockets = [await client.websocket() for _ in range(8)]
    for socket in sockets:
        socket.send("warm")
        await socket.receive()
    before = rss_kb()

    async def flood(socket) -> None:
        socket.writer.write(frame(PONG) * 200_000)
        socket.send("end")
        while await socket.receive() != (TEXT, b"end"):
            pass

    await asyncio.gather(*map(flood, sockets))
    # Where the read buffer kept its size this was 2 MB and more.
    assert rss_kb() - before < 1_500
    for socket in sockets:
        await socket.hang_up()
    process.terminate()
    await process.wait()


def most_in_a_turn(frames: bytes, *, waits: bool) -> int:
    """Send frames to a raw endpoint from a thread, with the handshake or behind its answer; how many came in one turn of the loop."""
    most = now = 0

    def tick() -> None:
        nonlocal now
        now = 0
        asyncio.get_running_loop().call_soon(tick)

    def counted(ws: RawConnection) -> None:
        def heard(message: str | bytes) -> None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            if message == "end":
                ws.send("heard")

        ws.on_message(heard)

    def send(port: int) -> None:
        asked, flood = upgrade(OFFER, path=b"/raw"), frames + frame(TEXT, b"end")
        with create_connection(("127.0.0.1", port)) as peer:
            heard = b""
            if waits:
                peer.sendall(asked)
                heard = peer.recv(1 << 16)
                peer.sendall(flood)
            else:
                peer.sendall(asked + flood)
            while not heard.endswith(b"heard"):
                heard += peer.recv(1 << 16)

    async def story() -> None:
        limits = Limits(bytes_per_s=0, drain_s=0.1, close_s=1.0)
        async with wired(Realtime(deflate=True), limits) as wire:
            wire.io.websocket("/raw", counted)
            tick()
            await asyncio.to_thread(send, wire.raw.port)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
    return most


@pytest.mark.parametrize("waits", [True, False])
def test_one_who_sends_without_pause_leaves_others_their_turn(waits):
    """Tiny frames as fast as they go: in one turn come a few thousand, not all that the kernel holds, nor all behind the handshake."""
    most = most_in_a_turn(frame(TEXT) * 300_000, waits=waits)
    # Behind the last piece of what came with the handshake the connection is read once more.
    assert most <= FRAMES_A_TURN + 2 * READ_BYTES // len(frame(TEXT))


def test_small_frames_of_large_messages_leave_others_their_turn():
    """A kilobyte that inflates to a megabyte counts as what it is: those of one bite, and no more of them in a turn."""
    packed = Deflater(Deflate(), 15, has_takeover=False).deflate(b"a" * 1_000_000)
    bomb = frame(TEXT, packed, rsv=4)
    assert most_in_a_turn(bomb * 300, waits=True) <= 2 * READ_BYTES // len(bomb) + 3


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("op", [PING, PONG])
async def test_pings_and_pongs_count_as_messages_do(path, op):
    """`limits.packets_per_s`: who sends more of them than messages may be sent is read no faster, and loses nothing."""
    limits = Limits(
        packets_per_s=1_000, bytes_per_s=100_000, max_payload_bytes=1_024, attachments=0
    )
    async with wired(limits=limits) as wire:
        wire.io.websocket("/raw", lambda ws: ws.on_message(ws.send))
        breaches = limit_exceeded.labels("bytes_per_s")
        before = breaches.value
        client = await wire.raw.websocket(path=path)
        client.writer.write(frame(op) * 8_200)
        await until(lambda: breaches.value > before)
        await client.hang_up()
