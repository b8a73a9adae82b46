"""Requests over HTTP that are too large, or that two parsers could read differently."""

import json
import re

from tests.realtime.transports.attacks.target import Target, attack
from tests.support.raw_client import GET, RESET, STILL_OPEN, statuses

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


# ── size ──
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


# ── form ──
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
