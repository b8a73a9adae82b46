"""Attacks on the whole process: they fill, weigh or stop it, one after the other."""

import asyncio
import contextlib
import signal

from tests.realtime.transports.attacks.target import Target, alone
from tests.support.raw_client import (
    CLOSE,
    GET,
    PING,
    RawWebSocket,
    close_frame,
    frame,
    hang_up,
    statuses,
    upgrade,
)


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
