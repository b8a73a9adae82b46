"""Attacks that take their time over HTTP: slow heads and bodies, clients that do not read."""

import asyncio
import contextlib

from clarion.telemetry import spawn
from tests.realtime.transports.attacks.target import Target, attack
from tests.support.raw_client import GET, RESET, STILL_OPEN, hang_up, statuses


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
