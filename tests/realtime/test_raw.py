"""Raw endpoints over the wire: who gets in, both kinds of handlers, flow control in both directions, and every way to end."""

import asyncio

import pytest
from structlog.testing import capture_logs

from clarion.errors import Disconnected, UsageError
from clarion.realtime import RawConnection, Sent, Server
from clarion.settings import Limits
from tests.support.raw_client import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, upgrade
from tests.support.raw_socketio import until, wired


async def echo(ws: RawConnection) -> None:
    async for message in ws:
        ws.send(message)


async def test_an_async_handler_serves_a_connection_from_request_to_close():
    """It sees the request, gets messages in order, sends both kinds, and its end is the connection's: 1000."""
    async with wired() as wire:
        seen: list[object] = []

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            seen.extend((ws.request.path, ws.request.query, ws.request.headers["x-a"]))
            seen.append(ws.request.address)
            seen.append(await ws.recv())
            assert ws.is_open
            assert ws.send("text") is Sent.NOW
            assert ws.send(b"\0\1") is Sent.NOW

        client = await wire.raw.websocket(b"X-A: b\r\n", path=b"/raw?q=1")
        client.send("hello")
        assert await client.receive() == (TEXT, b"text")
        assert await client.receive() == (BINARY, b"\0\1")
        assert await client.receive() == (CLOSE, b"1000")
        assert seen == ["/raw", {"q": "1"}, "b", "127.0.0.1", "hello"]
        await client.hang_up()


async def test_a_plain_handler_sets_callbacks_and_costs_no_task():
    """`on_message` is called at once, also many times in one read; `on_close` with the peer's code."""
    async with wired() as wire:
        codes: list[int] = []

        @wire.io.websocket("/raw")
        def serve(ws: RawConnection) -> None:
            ws.on_message(ws.send)
            ws.on_close(codes.append)

        before = len(asyncio.all_tasks())
        client = await wire.raw.websocket(path=b"/raw")
        client.writer.write(frame(TEXT, b"a") + frame(BINARY, b"b") + frame(TEXT, b"c"))
        assert [await client.receive() for _ in range(3)] == [(TEXT, b"a"), (BINARY, b"b"), (TEXT, b"c")]  # fmt: skip
        assert len(asyncio.all_tasks()) <= before + 1  # the client's own
        client.writer.write(close_frame(4001))
        assert await client.receive() == (CLOSE, b"4001")
        await until(lambda: codes)
        assert codes == [4001]
        await client.hang_up()


async def test_messages_are_thrown_away_where_nobody_wants_them():
    """A plain handler without `on_message` only speaks; what its peer says costs nothing, and pings are answered."""
    async with wired() as wire:
        wire.io.websocket("/raw", lambda ws: ws.send("hi"))
        client = await wire.raw.websocket(path=b"/raw")
        client.writer.write(frame(TEXT, b"x") * 1000 + frame(PING, b"p"))
        assert [await client.receive() for _ in range(2)] == [(TEXT, b"hi"), (PONG, b"p")]
        await client.hang_up()


@pytest.mark.parametrize("waits", ["recv", "drained"])
async def test_a_peer_that_leaves_a_waiting_handler_is_no_bug(waits):
    """`Disconnected` that a handler does not take is its usual end."""
    done = asyncio.Event()

    async def handler(ws: RawConnection) -> None:
        try:
            while True:
                await ws.recv() if waits == "recv" else await ws.drained()
        finally:
            done.set()

    async with wired() as wire:
        wire.io.websocket("/raw", handler)
        client = await wire.raw.websocket(path=b"/raw")
        with capture_logs() as logs:
            await client.hang_up()
            await done.wait()
            await until(lambda: not wire.io._runner._tasks)
        assert [each for each in logs if each["log_level"] == "error"] == []


@pytest.mark.parametrize("kind", ["async", "plain", "callback"])
async def test_a_bug_of_a_handler_closes_with_1011(kind):
    """Whatever it raises is logged; the peer learns that it was our fault, and nothing else."""

    async def fails(ws: RawConnection) -> None:
        raise ValueError("secret")

    def fails_at_once(ws: RawConnection) -> None:
        raise ValueError("secret")

    def fails_later(ws: RawConnection) -> None:
        def on_message(message: object) -> None:
            raise ValueError("secret")

        ws.on_message(on_message)

    handler = {"async": fails, "plain": fails_at_once, "callback": fails_later}[kind]
    async with wired() as wire:
        wire.io.websocket("/raw", handler)
        client = await wire.raw.websocket(path=b"/raw")
        client.send("x")
        assert await client.receive() == (CLOSE, b"1011")
        await client.hang_up()
        await until(lambda: not wire.io._raw.open)


async def test_what_was_sent_before_the_end_can_still_be_taken():
    """The peer leaves; its messages are processed, then iteration ends, and `recv` says why."""
    async with wired() as wire:
        got: list[object] = []
        gate, done = asyncio.Event(), asyncio.Event()

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            await gate.wait()
            got.extend([message async for message in ws])
            with pytest.raises(Disconnected):
                await ws.recv()
            with pytest.raises(Disconnected):
                await ws.drained()
            got.append((ws.send("late"), ws.is_open, ws.close_code))
            ws.close()
            done.set()

        client = await wire.raw.websocket(path=b"/raw")
        client.writer.write(frame(TEXT, b"a") + frame(TEXT, b"b") + close_frame(4000))
        assert await client.receive() == (CLOSE, b"4000")
        await client.hang_up()
        await until(lambda: not wire.io._raw.open)
        gate.set()
        await done.wait()
        assert got == ["a", "b", (Sent.REFUSED, False, 4000)]


async def test_two_cannot_wait_for_one_message():
    """A second `recv` would take the first one's message away: that is a mistake of the program, and says so."""
    async with wired() as wire:
        outcome: list[object] = []

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            first = asyncio.get_running_loop().create_task(ws.recv())
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="two tasks"):
                await ws.recv()
            outcome.append(await first)

        client = await wire.raw.websocket(path=b"/raw")
        client.send("x")
        assert await client.receive() == (CLOSE, b"1000")
        assert outcome == ["x"]
        await client.hang_up()

        kept: list[RawConnection] = []
        wire.io.websocket("/plain", kept.append)
        client = await wire.raw.websocket(path=b"/plain")
        with pytest.raises(UsageError, match="async handler"):
            await kept[0].recv()
        await client.hang_up()


# ── flow control ──
@pytest.mark.parametrize("limits", [Limits(unread_messages=4), Limits(unread_bytes=4000)])
async def test_a_slow_handler_holds_its_peer_back(limits):
    """What it has not taken is bounded, in messages and in bytes; TCP keeps the rest, and all arrives in order."""
    async with wired(limits=limits) as wire:
        most = 0
        got: list[object] = []
        gate = asyncio.Event()

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            nonlocal most
            await gate.wait()
            async for message in ws:
                assert ws._unread is not None
                most = max(most, len(ws._unread))
                got.append(message)
                if message == "last":
                    return
                await asyncio.sleep(0)

        client = await wire.raw.websocket(path=b"/raw")
        messages = [f"{n}".ljust(1000, ".") for n in range(500)]
        for message in messages:
            client.send(message)
        client.send("last")
        (ws,) = wire.io._raw.open
        await until(lambda: ws._transport._is_held)
        # No more than the marks, and what one read of the connection had brought.
        assert ws._unread is not None
        assert len(ws._unread) < 4 + 13
        gate.set()
        assert await client.receive() == (CLOSE, b"1000")
        assert got == [*messages, "last"]
        assert most < 4 + 13
        await client.hang_up()


async def test_a_peer_that_does_not_read_is_not_read_either_where_a_callback_answers():
    """An echo by callback: what waits stays near the connection's own buffer, however much the peer sends; it gets all of it."""
    async with wired(limits=Limits(stall_s=30)) as wire:
        wire.io.websocket("/raw", lambda ws: ws.on_message(ws.send))
        client = await wire.raw.websocket(path=b"/raw")
        client.reader._transport.pause_reading()
        data = b"x" * 60_000
        for _ in range(300):
            client.send(data)
        (ws,) = wire.io._raw.open
        await until(lambda: ws._transport._is_held)
        assert ws._egress.waiting < 1_000_000
        client.reader._transport.resume_reading()
        for _ in range(300):
            assert await client.receive() == (BINARY, data)
        await client.hang_up()


async def test_a_peer_that_sends_too_much_is_read_no_faster_than_it_may():
    """`limits.bytes_per_s`, as for sessions: above it reading pauses; everything arrives."""
    limits = Limits(bytes_per_s=500_000, max_payload_bytes=100_000, attachments=0)
    async with wired(limits=limits) as wire:
        got: list[object] = []
        wire.io.websocket("/raw", lambda ws: ws.on_message(got.append))
        client = await wire.raw.websocket(path=b"/raw")
        (ws,) = wire.io._raw.open
        for _ in range(42):  # the burst of four seconds, twice because it was idle, and a little
            client.send(b"x" * 100_000)
        await until(lambda: ws._transport._held_until)
        await until(lambda: len(got) == 42)
        await client.hang_up()


async def test_a_producer_waits_for_its_peer():
    """With `drained` after each `send`, what waits stays below the hard mark, and a slow reader gets everything."""
    async with wired(limits=Limits(egress_hard_bytes=1_000_000, stall_s=30)) as wire:
        most = 0

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            nonlocal most
            for number in range(400):
                ws.send(f"{number}".ljust(50_000, "."))
                await ws.drained()
                most = max(most, ws._egress.waiting)

        client = await wire.raw.websocket(path=b"/raw")
        client.reader._transport.pause_reading()
        (ws,) = wire.io._raw.open
        await until(lambda: not ws._transport.is_writable)
        client.reader._transport.resume_reading()
        for number in range(400):
            op, data = await client.receive()
            assert (op, data[:3].rstrip(b".")) == (TEXT, b"%d" % number)
        assert await client.receive() == (CLOSE, b"1000")
        assert most < 300_000
        await client.hang_up()


async def test_a_peer_that_never_reads_is_closed_with_3008():
    """Without `drained` the hard mark ends it, as it ends a session; whoever waits for room is told."""
    limits = Limits(egress_hard_bytes=200_000, close_s=1, drain_s=0.1)
    async with wired(limits=limits) as wire:
        outcome: list[object] = []

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            while (sent := ws.send("x" * 50_000)) is not Sent.REFUSED:
                outcome.append(sent)
                await asyncio.sleep(0)
            with pytest.raises(Disconnected):
                await ws.drained()
            outcome.append(ws.is_open)

        client = await wire.raw.websocket(path=b"/raw")
        client.reader._transport.pause_reading()
        await until(lambda: outcome and outcome[-1] is False)
        assert {Sent.NOW, Sent.QUEUED} >= set(outcome[:-1])
        client.reader._transport.resume_reading()
        while (got := await client.receive())[0] != CLOSE:
            pass
        assert got == (CLOSE, b"3008")
        await client.hang_up()


# ── who gets in ──
async def test_pages_of_foreign_origins_get_no_raw_endpoint():
    """As on the Socket.IO path: 403 before the 101, but for listed origins and the server's own."""
    async with wired(allowed_origins=["https://app.example"]) as wire:
        wire.io.websocket("/raw", echo)
        for origin, status in (
            (b"https://evil.example", 403),
            (b"null", 403),
            (b"http://x", 101),
            (b"https://app.example", 101),
        ):
            asked = upgrade(b"Origin: " + origin + b"\r\n", path=b"/raw")
            assert await wire.raw.first_status(asked) == status


async def test_newcomers_count_against_the_rate_of_handshakes():
    """The node's tokens are shared with sessions: above them 503."""
    async with wired(limits=Limits(handshakes_per_s=1)) as wire:
        wire.io.websocket("/raw", echo)
        statuses = [await wire.raw.first_status(upgrade(path=b"/raw")) for _ in range(4)]
        assert statuses.count(101) == 2
        assert statuses.count(503) == 2


async def test_a_subprotocol_is_agreed_on():
    """The client's first that is spoken here is in the 101; none, where none is, or none was asked for."""
    async with wired() as wire:
        spoken: list[str] = []

        @wire.io.websocket("/raw", subprotocols=["graphql-ws", "v2"])
        def serve(ws: RawConnection) -> None:
            spoken.append(ws.subprotocol)

        for asked, answer in ((b"v1, v2 ,graphql-ws", b"v2"), (b"v1", None), (b"", None)):
            line = b"Sec-WebSocket-Protocol: " + asked + b"\r\n" if asked else b""
            client = await wire.raw.websocket(line, path=b"/raw")
            found = b"Sec-WebSocket-Protocol: v2\r\n" in client.head
            assert found == (answer is not None)
            await client.hang_up()
        assert spoken == ["v2", "", ""]


async def test_a_path_is_served_once_and_exactly():
    """A second handler, the Socket.IO path and what is no path are refused; below a path only where it ends with a slash."""
    async with wired() as wire:
        io: Server = wire.io
        io.websocket("/raw", echo)
        io.websocket("/all/", echo)
        for bad in ("/raw", "/socket.io/", "raw", "/a?b", "/ä", "/a#b"):
            with pytest.raises(UsageError):
                io.websocket(bad, echo)
        for path, status in ((b"/raw", 101), (b"/raw/x", 404), (b"/all/x", 101), (b"/else", 404)):
            assert await wire.raw.first_status(upgrade(path=path)) == status


# ── the end ──
async def test_a_drain_closes_raw_connections_like_sessions():
    """3001 in their turn, on the process's stop as on `close`; the handler's loop ends by itself, newcomers get 503."""
    async with wired() as wire:
        ended: list[str] = []

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            async for message in ws:
                ws.send(message)
            ended.append("loop")

        first, second = [await wire.raw.websocket(path=b"/raw") for _ in range(2)]
        await wire.io.close()
        for client in (first, second):
            assert await client.receive() == (CLOSE, b"3001")
            client.writer.write(close_frame(3001))
            await client.hang_up()
        assert ended == ["loop", "loop"]
        assert await wire.raw.first_status(upgrade(path=b"/raw")) == 503


async def test_a_handler_that_does_not_end_is_cancelled_when_the_server_closes(monkeypatch):
    """After a grace; its connection has been told before."""
    monkeypatch.setattr("clarion.realtime.server.GRACE_S", 0.05)
    async with wired() as wire:
        outcome: list[str] = []

        @wire.io.websocket("/raw")
        async def serve(ws: RawConnection) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                outcome.append("cancelled")
                raise

        client = await wire.raw.websocket(path=b"/raw")
        await client.reader.read(0)
        await wire.io.close()
        assert await client.receive() == (CLOSE, b"3001")
        assert outcome == ["cancelled"]
        await client.hang_up()


async def test_a_bug_in_on_close_is_logged_and_ends_there():
    """The connection is forgotten all the same."""
    async with wired() as wire:

        def fails(code: int) -> None:
            raise ValueError("a bug")

        wire.io.websocket("/raw", lambda ws: ws.on_close(fails))
        client = await wire.raw.websocket(path=b"/raw")
        await client.hang_up()
        await until(lambda: not wire.io._raw.open)
