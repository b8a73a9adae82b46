"""Attacks on the one port, each a promise; on uvloop and on asyncio, against a real process with short limits.

The attacks mostly wait, so all of them run at once when the module begins, and each test reports on one.
"""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from clarion.telemetry import spawn
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    GET,
    PING,
    PONG,
    RESET,
    STILL_OPEN,
    TEXT,
    RawClient,
    RawWebSocket,
    close_frame,
    frame,
    hang_up,
    statuses,
    upgrade,
)

LOOPS = ("uvloop", "asyncio")
PATIENCE_S = 25.0

Attack: TypeAlias = Callable[["Target"], Awaitable[None]]
TOGETHER: list[Attack] = []
ALONE: list[Attack] = []


def attack(function: Attack) -> Attack:
    """One that disturbs no other."""
    TOGETHER.append(function)
    return function


def alone(function: Attack) -> Attack:
    """One that fills, weighs or stops the server: run after the others, one at a time, in the order of this file."""
    ALONE.append(function)
    return function


class Target(RawClient):
    """The attacked process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        super().__init__(port)
        self.process = process
        self._dialled: list[asyncio.StreamWriter] = []

    @classmethod
    async def start(cls, loop: str) -> "Target":
        program = Path(__file__).parents[2] / "support" / "attack_server.py"
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, loop,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        return cls(process, int(await process.stdout.readline()))

    async def dial(
        self, data: bytes = b"", *, limit: int = 1 << 26
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await super().dial(data, limit=limit)
        self._dialled.append(writer)
        return reader, writer

    async def end(self) -> None:
        """Kill the process if it still runs, and close what an attack that failed has left open."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()
        for writer in self._dialled:
            await hang_up(writer)

    def rss_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1])


Findings: TypeAlias = dict[tuple[str, Attack], BaseException | None]


@pytest.fixture(scope="module")
def findings() -> Findings:
    return asyncio.run(all_attacks())


async def all_attacks() -> Findings:
    found: Findings = {}

    async def one(loop: str, target: Target, run: Attack) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await run(target)
            found[loop, run] = None
        except Exception as exc:  # noqa: BLE001  raised again by the attack's own test
            found[loop, run] = exc

    async def on(loop: str) -> None:
        target = await Target.start(loop)
        try:
            await asyncio.gather(*(one(loop, target, run) for run in TOGETHER))
            for run in ALONE:
                await one(loop, target, run)
        finally:
            await target.end()

    await asyncio.gather(*map(on, LOOPS))
    return found


# ── HTTP: time ──
@attack
async def idle_connection_is_closed(target: Target) -> None:
    """A connection that says nothing is closed, without an answer to what was not asked."""
    assert await target.ask(b"") == b""


@attack
async def endless_newlines_are_closed(target: Target) -> None:
    """Newlines before a request, which a parser skips, do not keep a connection."""
    reader, writer = await target.dial()
    heard = spawn(reader.read(), name="listen")
    while not heard.done():
        writer.write(b"\r\n")
        await asyncio.wait({heard}, timeout=0.2)
    with contextlib.suppress(ConnectionError):
        assert statuses(heard.result()) == [408]
    await hang_up(writer)


@attack
async def slow_head_gets_408(target: Target) -> None:
    """A head that comes line by line, for ever, is answered with 408."""
    reader, writer = await target.dial(GET)
    heard = spawn(reader.read(), name="listen")
    while not heard.done():
        writer.write(b"x: 1\r\n")
        await asyncio.wait({heard}, timeout=0.2)
    assert statuses(heard.result()) == [408]
    await hang_up(writer)


@attack
async def slow_body_gets_408(target: Target) -> None:
    """A body that comes byte by byte is answered with 408, though its application waits for it."""
    reader, writer = await target.dial(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    )
    heard = spawn(reader.read(), name="listen")
    while not heard.done():
        writer.write(b"x")
        await asyncio.wait({heard}, timeout=0.15)
    assert statuses(heard.result()) == [408]
    await hang_up(writer)


@attack
async def body_of_a_slow_application_is_not_late(target: Target) -> None:
    """While the application does not read, or has yet to say 100 Continue, the peer is not late."""
    request = (
        b"POST /slower HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )
    reader, writer = await target.dial(request)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"abc")
    assert (await reader.readuntil(b"hello 3")).startswith(b"HTTP/1.1 200")
    await hang_up(writer)


@attack
async def keep_alive_ends(target: Target) -> None:
    """An idle connection is closed some time after its last answer."""
    answer = await target.ask(GET + b"\r\n")
    assert statuses(answer) == [200]
    assert not answer.endswith((STILL_OPEN, RESET))


@attack
async def rest_of_a_refused_body_is_not_awaited(target: Target) -> None:
    """An application that answers before the body is there does not have to take the rest of it."""
    request = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc"
    answer = await target.ask(request)
    assert statuses(answer) == [200]
    assert not answer.endswith(STILL_OPEN)


@attack
async def one_who_does_not_read_is_cut_off(target: Target) -> None:
    """A client that asks for much and reads nothing loses its connection, and the server its buffer."""
    reader, writer = await target.dial(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(8)
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    size = 0
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1 << 20):
            size += len(chunk)
    assert size < 50_000_000
    await hang_up(writer)


@attack
async def slow_reader_gets_all(target: Target) -> None:
    """A client that reads slowly, but reads, gets a large answer whole, longer than any deadline."""
    request = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await target.dial(request, limit=1 << 16)
    await reader.readuntil(b"\r\n\r\n")
    size = 0
    while size < 50_000_000:
        size += len(await reader.readexactly(min(4_000_000, 50_000_000 - size)))
        await asyncio.sleep(0.5)
    await hang_up(writer)


# ── HTTP: size ──
@attack
async def head_of_1_mb_gets_431(target: Target) -> None:
    """A header without end is refused while it comes, and the refusal can be read."""
    answer = await target.ask(GET + b"x: " + b"y" * (1 << 20) + b"\r\n\r\n")
    assert statuses(answer) == [431]
    assert not answer.endswith((RESET, STILL_OPEN))


@attack
async def thousand_headers_get_431(target: Target) -> None:
    """The number of headers is limited."""
    many = b"".join(b"h%d: 1\r\n" % i for i in range(1000))
    assert statuses(await target.ask(GET + many + b"\r\n")) == [431]


@attack
async def target_of_1_mb_is_refused(target: Target) -> None:
    """A target without end is refused while it comes."""
    answer = await target.ask(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(answer) in ([414], [431])


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@attack
async def endless_trailer_gets_431(target: Target) -> None:
    """Headers behind a chunked body are limited as those before it."""
    many = b"".join(b"h%d: %b\r\n" % (i, b"y" * 500) for i in range(2000))
    assert statuses(await target.ask(CHUNKED + b"0\r\n" + many)) == [431]
    assert statuses(await target.ask(CHUNKED + b"0\r\nx: " + b"y" * (1 << 20))) == [431]


@attack
async def trailers_do_not_reach_the_application(target: Target) -> None:
    """A trailer can't pose as a header of a request that is already being served."""
    head = CHUNKED.replace(b"POST /", b"POST /who").replace(
        b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
    )
    answer = await target.ask(head + b"3\r\nabc\r\n0\r\nx: 1\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])[2] == 3


@attack
async def endless_chunk_extension_is_refused(target: Target) -> None:
    """What may follow a chunk's size is no way to send without end."""
    answer = await target.ask(CHUNKED + b"1;x=" + b"y" * (1 << 20))
    assert statuses(answer) in ([400], [431])


@attack
async def tiny_chunks_get_400(target: Target) -> None:
    """A body in thousands of chunks of one byte is refused: each chunk costs as much as a large one."""
    assert statuses(await target.ask(CHUNKED + b"1\r\nx\r\n" * 4000 + b"0\r\n\r\n")) == [400]


# ── HTTP: form ──
@attack
async def missing_host_gets_400(target: Target) -> None:
    """HTTP/1.1 without Host is refused (RFC 9112 §3.2)."""
    assert statuses(await target.ask(b"GET / HTTP/1.1\r\n\r\n")) == [400]


@attack
async def two_hosts_get_400(target: Target) -> None:
    """Two Hosts are refused: who believes the first, who the second?"""
    assert statuses(await target.ask(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")) == [400]


@attack
async def strange_hosts_get_400(target: Target) -> None:
    """A Host with a path, a user or blanks is refused."""
    for host in (b"", b"a/b", b"user@a", b"a b", b"a:b", b"[::1", b"a\tb"):
        answer = await target.ask(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert statuses(answer) == [400], host


@attack
async def ambiguous_framing_gets_400(target: Target) -> None:
    """Whatever two parsers could read differently is refused, and the connection closed: no smuggling."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\n"
    for name, request in {
        "length and chunked": post
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two lengths": post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "folded header": post + b"Content-Length: 3\r\nX: a\r\n b\r\n\r\nabc",
        "space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "bare line feed": b"GET / HTTP/1.1\nHost: x\n\n",
        "line feed in a chunk extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        "plus in a length": post + b"Content-Length: +5\r\n\r\nabcde",
        "hex length": post + b"Content-Length: 0x5\r\n\r\nabcde",
        "hex prefix of a chunk": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        "chunked twice": post + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "chunked not last": post + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    }.items():
        answer = await target.ask(request)
        assert statuses(answer)[-1:] == [400], name
        assert not answer.endswith(STILL_OPEN), name


@attack
async def control_bytes_in_headers_get_400(target: Target) -> None:
    """No control byte, C0 or C1, comes in with a header's value; a cookie may hold UTF-8."""
    for byte in (0x00, 0x01, 0x08, 0x0B, 0x0C, 0x0D, 0x1F, 0x7F, 0x80, 0x85, 0x9F):
        answer = await target.ask(GET + b"X-A: a" + bytes([byte]) + b"b\r\n\r\n")
        assert statuses(answer) == [400], hex(byte)
    fine = GET + b"Connection: close\r\n"
    assert statuses(await target.ask(fine + b"X-A: a\tb\xe4\r\n\r\n")) == [200]
    assert statuses(await target.ask(fine + "Cookie: a=É\r\n\r\n".encode())) == [200]


@attack
async def body_behind_h2c_upgrade_is_no_request(target: Target) -> None:
    """A body that hides behind an upgrade is refused: it would be read as the next request."""
    inner = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
    for protocol in (b"h2c", b"websocket"):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + protocol
        answer = await target.ask(head + b"\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        assert statuses(answer) == [400]


@attack
async def h2c_without_body_is_plain_http(target: Target) -> None:
    """An upgrade that we do not know is ignored, as RFC 9110 §7.8 allows; the connection ends after the answer."""
    extra = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    answer = await target.ask(GET + extra + GET + b"\r\n")
    assert statuses(answer) == [200]
    assert b"connection: close" in answer
    assert not answer.endswith(STILL_OPEN)


@attack
async def pipelined_requests_are_answered_in_order(target: Target) -> None:
    """Requests that do not wait for answers get theirs in order; a bad one behind them does not harm them."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await target.ask(slow + post + GET + b"\r\n")
    assert re.findall(rb"hello (\d)", answer) == [b"0", b"1", b"0"]
    answer = await target.ask(slow + post + b"GET / HTTP/1.1\r\n\r\n")
    assert re.findall(rb"hello (\d)", answer) == [b"0", b"1"]
    assert not answer.endswith((STILL_OPEN, RESET))


@attack
async def proxies_name_the_client(target: Target) -> None:
    """Behind a trusted proxy the client is the last one that no trusted proxy stands for; what is left of it is not believed."""
    who = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    forwarded = b"X-Forwarded-For: 9.9.9.9, 8.8.8.8, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n"
    answer = await target.ask(who + forwarded)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])[:2] == [["8.8.8.8", 0], "https"]


# ── upgrade ──
@attack
async def bytes_behind_the_upgrade_are_kept(target: Target) -> None:
    """A client need not wait for the 101 before it sends frames."""
    reader, writer = await target.dial(upgrade() + frame(TEXT, b"early"))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(7) == b"\x81\x05early"
    await hang_up(writer)


@attack
async def big_frames_behind_the_upgrade_are_kept(target: Target) -> None:
    """However many."""
    frames = b"".join(frame(TEXT, b"%05d" % i * 700) for i in range(40))
    reader, writer = await target.dial(upgrade() + frames)
    await reader.readuntil(b"\r\n\r\n")
    assert (await reader.readexactly(40 * 3504))[-5:] == b"00039"
    await hang_up(writer)


@attack
async def connection_header_is_a_list(target: Target) -> None:
    """Firefox's `keep-alive, Upgrade` and two Connection headers are upgrades too."""
    assert await target.first_status(upgrade(connection=b"keep-alive, Upgrade")) == 101
    assert await target.first_status(upgrade(b"Connection: keep-alive\r\n")) == 101


@attack
async def wrong_upgrades_are_refused(target: Target) -> None:
    """Another path, a bad key, another version, another method: each has its answer, before anything is built."""
    assert await target.first_status(upgrade(path=b"/elsewhere")) == 404
    for key in (b"short", b"", b"!" * 24, b"A" * 1000):
        assert await target.first_status(upgrade(key=key)) == 400
    answer = await target.ask(upgrade(version=b"12"))
    assert statuses(answer) == [426]
    assert b"sec-websocket-version: 13" in answer
    assert await target.first_status(upgrade().replace(b"GET", b"POST")) == 405


@attack
async def non_ascii_handshake_gets_400(target: Target) -> None:
    """Headers of the WebSocket handshake are ASCII."""
    for name in (b"Key", b"Protocol", b"Extensions"):
        extra = b"Sec-WebSocket-" + name + b": caf\xc3\xa9\r\n"
        assert await target.first_status(upgrade(extra)) == 400


@attack
async def admission_can_refuse(target: Target) -> None:
    """The application says no before the 101, with its own body; a bug in it is 500 and tells nothing."""
    answer = await target.ask(upgrade(path=b"/socket.io/?refuse"))
    assert statuses(answer) == [400]
    assert b"content-type: application/json" in answer
    assert answer.endswith(b'{"code":0,"message":"Transport unknown"}')
    answer = await target.ask(upgrade(path=b"/socket.io/?raise"))
    assert statuses(answer) == [500]
    assert b"bug" not in answer


@attack
async def upgrade_waits_for_nobody(target: Target) -> None:
    """An upgrade behind a request that is still served is refused, and the answer before it stays whole."""
    answer = await target.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + upgrade())
    assert statuses(answer) == [200]
    assert answer.endswith(b"hello 0")


@attack
async def upgrade_behind_a_finished_request_is_fine(target: Target) -> None:
    """A connection that was used for HTTP may become a WebSocket."""
    reader, writer = await target.dial(GET + b"\r\n")
    await reader.readuntil(b"hello 0")
    writer.write(upgrade() + frame(TEXT, b"hi"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    assert await reader.readexactly(4) == b"\x81\x02hi"
    await hang_up(writer)


@attack
async def compression_is_not_agreed(target: Target) -> None:
    """An offer of permessage-deflate is not taken up: no bomb can be inflated."""
    socket = await target.websocket(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
    assert b"extensions" not in socket.head.lower()
    await socket.hang_up()


# ── WebSocket ──
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


# ── the whole process ──
@alone
async def upgrades_count_against_the_limit(target: Target) -> None:
    """Connections of any kind share one limit; above it each is told 503 and when to come again, below it all is well."""
    held = [await target.dial(upgrade()) for _ in range(200)]
    for reader, _ in held:
        await reader.readuntil(b"\r\n\r\n")
    for request in (upgrade(), GET + b"\r\n"):
        answer = await target.ask(request)
        assert statuses(answer) == [503]
        assert b"retry-after: " in answer
    for _, writer in held:
        await hang_up(writer)
    while await target.first_status(upgrade()) != 101:  # noqa: ASYNC110  another process has no event to wait for
        await asyncio.sleep(0.05)


@alone
async def pings_do_not_pile_up(target: Target) -> None:
    """A peer that sends pings and reads no pong costs no memory."""
    socket = await target.websocket()
    socket.writer.transport.pause_reading()  # type: ignore[attr-defined]
    before = target.rss_kb()
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2):
            for _ in range(400):
                socket.writer.write(frame(PING, b"x" * 125) * 1000)
                await socket.writer.drain()
    assert target.rss_kb() - before < 20_000
    await socket.hang_up()


@alone
async def large_frames_leave_no_buffer(target: Target) -> None:
    """A connection that once got a large message does not keep a buffer of twice its size."""
    sockets = [await target.websocket() for _ in range(30)]

    async def all_send(size: int) -> None:
        for socket in sockets:
            socket.send(b"x" * size)
            await socket.receive()

    await all_send(10)
    before = target.rss_kb()
    await all_send(1_000_000)
    await all_send(10)
    assert target.rss_kb() - before < 10_000
    for socket in sockets:
        await socket.hang_up()


@alone
async def shutdown_is_spread_and_bounded(target: Target) -> None:
    """A stop closes its clients one after another, waits for none for ever, and exits with 0 and without a traceback."""
    sockets = [await target.websocket() for _ in range(60)]
    loop = asyncio.get_running_loop()
    told: list[float] = []

    async def end(socket: RawWebSocket, *, answers: bool) -> None:
        assert await socket.receive() == (CLOSE, b"3001")
        told.append(loop.time())
        if answers:
            socket.writer.write(close_frame(3001))
        with contextlib.suppress(ConnectionError):
            await socket.reader.read()
        await socket.hang_up()

    target.process.send_signal(signal.SIGTERM)
    await asyncio.gather(*(end(each, answers=i % 6 > 0) for i, each in enumerate(sockets)))
    assert max(told) - min(told) > 0.5
    _, errors = await target.process.communicate()
    assert target.process.returncode == 0
    bugs = errors.decode().count("a bug of the application")
    assert errors.decode().count("Traceback") <= bugs


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("run", TOGETHER + ALONE, ids=lambda run: run.__name__)
def test_attack(findings: Findings, run: Attack, loop: str) -> None:
    """What the attack's own docstring promises."""
    exc = findings[loop, run]
    if exc is not None:
        raise exc
