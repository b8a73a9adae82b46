"""The WebSocket transport on ASGI: on foreign servers over the wire, and by itself between a `receive` and a `send` of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from clarion.protocol.frames import MAX_CLOSE_REASON
from clarion.realtime.transports.asgi import WINDOW_BYTES, AsgiSocket, serve_websocket
from clarion.realtime.transports.base import Prepared
from clarion.realtime.transports.head import Refused
from clarion.settings import Limits, Realtime
from clarion.telemetry import REGISTRY, spawn
from tests.support.asgi_servers import SERVERS, serving_on, wired_on
from tests.support.memory_transport import make_server
from tests.support.raw_client import BINARY, CLOSE, TEXT, close_frame, frame, upgrade
from tests.support.raw_socketio import QUERY, Wire, until

# ── on foreign servers ──


@pytest.fixture(params=SERVERS)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with wired_on(request.param) as wire:
        yield wire


async def test_a_handshake_and_events_both_ways(wire):
    """The open packet has no upgrades; text, binary and acks go both ways, attachments in order."""
    wire.io.handle("q", lambda socket, *args: args)
    client = await wire.websocket()
    assert json.loads((await client.hear())[1:])["upgrades"] == []
    client.say("40")
    assert (await client.hear()).startswith('40{"sid":"')
    client.say('420["q","é"]', '451-1["q",{"_placeholder":true,"num":0}]', b"\0\1")
    assert await client.hear() == '430["é"]'
    assert await client.hear() == '461-1[{"_placeholder":true,"num":0}]'
    assert await client.hear() == b"\0\1"
    wire.io.emit("two", b"a", b"b")
    assert [await client.hear() for _ in range(3)][1:] == [b"a", b"b"]


async def test_an_upgrade_keeps_order(wire):
    """Polling, probe, `5`: what was sent meanwhile comes once and in order; a second WebSocket is closed."""
    wire.io.handle("q", lambda socket, n: n)
    client = await wire.polling()
    await client.join()
    held = spawn(client.get(), name="held poll")
    socket = await wire.websocket(b"&sid=" + client.sid.encode())
    socket.say("2probe")
    assert await socket.hear() == "3probe"
    assert (await held).body == b"6"
    wire.io.emit("while probing")
    socket.say("5", '420["q",1]')
    assert [await socket.hear(), await socket.hear()] == ['42["while probing"]', "430[1]"]
    answer = await client.get()
    assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)
    second = await wire.websocket(b"&sid=" + client.sid.encode())
    assert await second.hear() == (CLOSE, 1000)
    socket.say('421["q",2]')
    assert await socket.hear() == "431[2]"


async def test_a_poll_that_is_given_up_ends_its_session(wire):
    """The server tells of the broken connection, and the session is over."""
    client = await wire.polling()
    await client.join()
    head = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % client.target
    _, writer = await wire.raw.dial(head)
    (session,) = [socket._session for socket in wire.io.of("/").sockets.values()]
    await until(lambda: session.transport.is_polled)
    writer.transport.abort()
    await until(lambda: not wire.io.sessions)
    assert (await client.get()).status == 400


@pytest.mark.parametrize(
    ("target", "headers", "status", "body"),
    [
        (b"/socket.io/?EIO=4&transport=abc", b"", 400, b"Transport unknown"),
        (b"/socket.io/?EIO=3&transport=websocket", b"", 400, b"Unsupported protocol version"),
        (QUERY + b"websocket&sid=unknown", b"", 400, b"Session ID unknown"),
        (QUERY + b"websocket", b"Origin: https://evil.example\r\n", 403, b"Forbidden"),
        (b"/elsewhere", b"", 404, b"no WebSocket here"),
        (QUERY + b"websocket", b"Origin: http://x\r\n", 101, b""),
    ],
)
async def test_what_is_not_served_is_refused_before_the_101(wire, target, headers, status, body):
    """The peer reads an HTTP answer with Engine.IO's words; pages of foreign sites get no WebSocket."""
    reader, writer = await wire.raw.dial(upgrade(headers, path=target))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    if body:
        assert (await reader.read()).endswith(body)
        assert not wire.io.sessions
    writer.transport.abort()


async def test_a_full_server_says_when_to_come_back(wire):
    """Too many sessions are 503 with Retry-After, also on an upgrade."""
    wire.io.stop()
    reader, writer = await wire.raw.dial(upgrade(path=QUERY + b"websocket"))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 503")
    assert b"\r\nretry-after: " in head
    writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"4abc"), 1000),
        (frame(TEXT, b""), 1000),
        (frame(TEXT, b"40") + frame(TEXT, b"40"), 1000),
        (frame(TEXT, b"40") + frame(BINARY, b"\0"), 1000),
        (frame(TEXT, b"1"), 1000),
        (frame(TEXT, b"4" + b"." * 1_000_000), 1009),
        (frame(BINARY, b"." * 1_000_001), 1009),
        (frame(TEXT, "4é".encode() * 400_000), 1009),
        (close_frame(1000), 1000),
    ],
)
async def test_what_may_not_come_closes_the_connection(wire, sent, code):
    """Broken Engine.IO and Socket.IO end with 1000 (ASGI has no close without a code), too large ones with 1009."""
    client = await wire.websocket()
    await client.hear()
    client.socket.writer.write(sent)
    heard = await client.hear()
    while not isinstance(heard, tuple):
        heard = await client.hear()
    assert heard == (CLOSE, code)
    await client.hang_up()
    await until(lambda: not wire.io.sessions)


async def test_what_was_answered_before_the_end_is_heard(wire):
    """An event and its answer come before the close that the next message causes, however close they follow each other."""
    wire.io.handle("q", lambda socket, n: n)
    client = await wire.joined()
    client.socket.writer.write(frame(TEXT, b'420["q",1]') + frame(BINARY, b"." * 1_000_001))
    assert await client.hear() == "430[1]"
    assert await client.hear() == (CLOSE, 1009)


async def test_text_that_is_no_utf8_ends_the_session(wire):
    """Whatever the server makes of it, nothing of it reaches a handler."""
    client = await wire.joined()
    client.socket.writer.write(frame(TEXT, b'42["\xff"]'))
    await until(lambda: not wire.io.sessions)


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_peer_that_does_not_answer_pings_is_closed(kind):
    """A ping each interval; without a pong the connection ends after the time-out."""
    async with wired_on(kind, Realtime(ping_interval_s=0.15, ping_timeout_s=0.1)) as wire:
        client = await wire.joined()
        assert await client.hear() == "2"
        client.say("3")
        assert await client.hear() == "2"
        assert await client.hear() == (CLOSE, 1000)


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_client_that_never_reads_is_closed_as_slow_and_hurts_nobody(kind):
    """Its session ends with 3008, no more than the hard mark waits; another client gets every event, in order."""
    limits = Limits(
        egress_soft_bytes=64 * 1024, egress_hard_bytes=256 * 1024, close_s=5, drain_s=0.1
    )
    async with wired_on(kind, limits=limits) as wire:
        gone: list[str] = []
        wire.io.handle("disconnect", lambda socket, reason: gone.append(reason))
        deaf, reader = await wire.joined(), await wire.joined()
        deaf.socket.reader._transport.pause_reading()
        most = 0
        for number in range(3000):
            wire.io.emit("e", number, "." * 10_000)
            assert (await reader.hear()).startswith(f'42["e",{number},')
            waits = [socket.egress.waiting for socket in wire.io.of("/").sockets.values()]
            most = max(most, *waits)
            if gone:
                break
        assert gone == ["transport error"]
        assert WINDOW_BYTES < most <= 256 * 1024
        deaf.socket.reader._transport.resume_reading()
        heard = await deaf.hear()
        while not isinstance(heard, tuple):
            heard = await deaf.hear()
        assert heard == (CLOSE, 3008)
        assert wire.io.emit("e", "last") == 1


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_server_closes_so_that_clients_come_back(kind):
    """On `close` a WebSocket ends with 3001, and nothing is left: neither a session nor a task."""
    async with wired_on(kind) as wire:
        reasons: list[str] = []
        wire.io.handle("disconnect", lambda socket, reason: reasons.append(reason))
        clients = [await wire.joined() for _ in range(3)]
        await wire.io.close(drain_s=0.02)
        assert [await client.hear() for client in clients] == [(CLOSE, 3001)] * 3
        assert reasons == ["server shutting down"] * 3
        assert not wire.io.sessions
        await wire.hang_up()
        await until(lambda: not _writers())


@pytest.mark.parametrize("kind", SERVERS)
async def test_when_the_process_stops_sessions_end(kind):
    """The server's own stop ends WebSockets, and `lifespan.shutdown` what is left of sessions."""
    io = make_server()
    reasons: list[str] = []
    io.handle("disconnect", lambda socket, reason: reasons.append(reason))
    async with serving_on(kind, io.asgi) as port:
        wire = Wire(io, SimpleNamespace(port=port))
        socket, client = await wire.joined(), await wire.polling()
        await client.join()
        assert io.sessions == 2
    assert len(reasons) == 2
    assert "server shutting down" in reasons
    assert not io.sessions or all(not each.is_open for each in io._sessions.values())
    assert await socket.hears_nothing_but_the_end()
    await wire.hang_up()


def _writers() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if "asgi websocket" in task.get_name()]


# ── by itself ──


class Peer:
    """Both ends of an ASGI connection, and the session: notes what it is told."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.told: list[Any] = []
        self.reads = asyncio.Event()  # cleared: `send` waits
        self.reads.set()
        self.takes_one = False  # and then `reads` is to be set again
        self.broken: Exception | None = None

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        if self.takes_one:
            self.reads.clear()
        if self.broken is not None:
            raise self.broken
        self.sent.append(message)

    def receive(self, message: str | bytes, via: Any) -> None:
        self.told.append(message)
        if message == "bug":
            raise ZeroDivisionError

    def writable(self, via: Any) -> None:
        self.told.append(("writable", via.buffered()))

    def full(self, via: Any) -> None:
        self.told.append(("full", via.buffered()))

    def lost(self, via: Any) -> None:
        self.told.append("lost")
        via.close(None, "")  # as a session does when it ends
        via.write(Prepared(["4late"]))

    def drain(self) -> None:
        self.told.append("drain")

    def flush(self) -> None:
        self.told.append("flush")

    def starts(self, limits: Limits | None = None) -> "tuple[AsgiSocket, asyncio.Task[None]]":
        socket = AsgiSocket(self.send, limits or Limits())
        run = socket.run(lambda _: self, self.inbox.get)  # type: ignore[arg-type]
        return socket, spawn(run, name="connection")

    def says(self, **message: Any) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", **message})

    def leaves(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1005})


async def test_messages_go_both_ways_in_order():
    """Text and binary; a server may name the other key with None."""
    peer = Peer()
    socket, run = peer.starts()
    await asyncio.sleep(0)
    socket.write(Prepared(["451-a", b"1"]))
    assert socket.write_many([Prepared(["4b"]), Prepared(["4c"])]) == 2
    await until(lambda: len(peer.sent) == 4)
    assert [message.get("text") or message["bytes"] for message in peer.sent] == [
        "451-a",
        b"1",
        "4b",
        "4c",
    ]
    assert socket.buffered() == 0
    peer.says(text="4x", bytes=None)
    peer.says(bytes=b"y", text=None)
    peer.says(bytes=b"")
    peer.leaves()
    await run
    assert peer.told == ["4x", b"y", b"", "lost"]


async def test_more_than_the_window_waits_elsewhere():
    """Above 64 KiB the session is told, and told again when half of it has gone."""
    peer = Peer()
    socket, run = peer.starts()
    await asyncio.sleep(0)
    peer.reads.clear()
    items = [Prepared(["4" + "." * 30_000]) for _ in range(5)]
    assert socket.write_many(items) == 3
    assert not socket.is_writable
    assert peer.told == [("full", sum(item.size for item in items[:3]))]
    peer.reads.set()
    await until(lambda: socket.is_writable)
    assert peer.told[1] == ("writable", items[2].size)
    peer.leaves()
    await run


@pytest.mark.parametrize(
    ("close", "limit"), [(False, "stall_s"), (True, "close_s")], ids=["stalled", "closing"]
)
async def test_a_peer_that_takes_nothing_is_cut_off(close, limit):
    """After `stall_s` with a full window, or `close_s` of a close; counted, the session told, the writer ended."""
    peer, before = Peer(), _breaches(limit)
    socket, run = peer.starts(Limits(stall_s=0.05, close_s=0.05))
    await asyncio.sleep(0)
    peer.reads.clear()
    if close:
        socket.close(3008, "slow")
    else:
        socket.write(Prepared(["4" + "." * WINDOW_BYTES]))
    await run
    assert peer.told[-1] == "lost"
    assert _breaches(limit) == before + 1
    await until(lambda: not _writers())


async def test_a_peer_that_takes_something_lives():
    """The deadline of a full window moves with each message that is taken, and ends with the half-empty window."""
    peer = Peer()
    socket, run = peer.starts(Limits(stall_s=60))
    await asyncio.sleep(0)
    peer.reads.clear()
    peer.takes_one = True
    socket.write_many(
        [Prepared(["4" + "." * (WINDOW_BYTES // 3)]) for _ in range(4)]
    )  # takes three
    assert not socket.is_writable
    deadlines = [socket._deadline.when()]
    for taken in (1, 2):
        peer.reads.set()
        await until(lambda taken=taken: len(peer.sent) == taken and not peer.reads.is_set())
        deadlines.append(socket._deadline.when())
    first, second, last = deadlines
    assert first < second
    assert (last, socket.is_writable) == (None, True)
    peer.reads.set()
    peer.leaves()
    await run


@pytest.mark.parametrize("broken", [OSError("gone"), RuntimeError("after websocket.close")])
async def test_a_server_that_raises_is_a_peer_that_is_gone(broken):
    """Whatever `send` raises: nothing more is sent, the session is told once when the server says so."""
    peer = Peer()
    socket, run = peer.starts()
    await asyncio.sleep(0)
    peer.broken = broken
    socket.write(Prepared(["4a"]))
    socket.write(Prepared(["4b"]))
    await until(lambda: not _writers())
    peer.says(text="4 never heard")
    peer.leaves()
    await run
    assert peer.told == ["lost"]


async def test_a_server_that_says_nothing_after_it_raised_is_not_waited_for():
    """The deadline of a close ends the connection."""
    peer = Peer()
    socket, run = peer.starts(Limits(close_s=0.05))
    await asyncio.sleep(0)
    peer.broken = OSError("gone")
    socket.write(Prepared(["4a"]))
    await run
    assert peer.told == ["lost"]


async def test_what_was_written_leaves_before_the_close():
    """Then the close, with a reason that fits into a frame; nothing after it, whoever asks."""
    peer = Peer()
    socket, run = peer.starts()
    await asyncio.sleep(0)
    socket.write(Prepared(["4a"]))
    socket.close(3001, "é" * 200)
    socket.close(1000, "again")
    socket.write(Prepared(["4b"]))
    await until(lambda: len(peer.sent) == 2)
    assert peer.sent[1]["code"] == 3001
    assert len(peer.sent[1]["reason"].encode()) <= MAX_CLOSE_REASON
    peer.says(text="4 too late")
    peer.leaves()
    await run
    assert peer.told == ["lost"]
    assert len(peer.sent) == 2


@pytest.mark.parametrize(
    ("message", "code"), [("bug", 1011), ("4" + "." * 1_000_000, 1009)], ids=["bug", "too big"]
)
async def test_an_end_that_the_transport_makes_comes_behind_what_waits(message, code):
    """A bug of ours is 1011, and the log has the rest; a message too big 1009. The session sends what it kept for the turn's end."""
    peer = Peer()
    _, run = peer.starts()
    peer.says(text=message)
    await until(lambda: peer.sent)
    assert peer.sent[0]["code"] == code
    assert peer.told[-1] == "flush"
    peer.leaves()
    await run


async def test_a_connection_that_is_cancelled_tells_its_session():
    """A server that stops in a hurry cancels: nothing is left running."""
    peer = Peer()
    socket, run = peer.starts()
    await asyncio.sleep(0)
    peer.reads.clear()
    socket.write(Prepared(["4a"]))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert peer.told == ["lost"]
    await until(lambda: not _writers())


async def test_a_session_that_does_not_want_it_closes_it():
    """A second probe, or a session that has ended between the request and its answer."""
    peer = Peer()
    socket = AsgiSocket(peer.send, Limits())
    run = spawn(socket.run(lambda _: None, peer.inbox.get), name="connection")  # type: ignore[arg-type]
    await until(lambda: peer.sent)
    assert peer.sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]
    peer.says(text="2probe")
    peer.leaves()
    await run
    assert peer.told == []


async def test_a_server_that_cannot_answer_with_http_closes_instead():
    """Without the extension `websocket.http.response` a close before the accept is 403 to the peer; breaches are counted."""
    peer, before = Peer(), _breaches("connections")
    peer.inbox.put_nowait({"type": "websocket.connect"})
    scope = {"type": "websocket", "path": "/é/", "query_string": b"a=1", "headers": iter([])}
    asked: list[Any] = []

    def no(upgrade: Any) -> Any:
        asked.append(upgrade)
        raise Refused(503, "full", limit="connections")

    await serve_websocket(scope, peer.inbox.get, peer.send, no, Limits())
    assert peer.sent == [{"type": "websocket.close", "code": 1008}]
    assert _breaches("connections") == before + 1
    assert asked[0].target == "/é/?a=1".encode()
    assert (asked[0].client, asked[0].is_secure, asked[0].headers) == (None, False, [])


async def _never(_upgrade: Any) -> Any:
    await asyncio.Event().wait()


def _bug(_upgrade: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize(("admit", "status"), [(_never, 503), (_bug, 500)])
async def test_a_decision_that_does_not_come_is_an_answer(admit, status):
    """Too late is 503 after `handshake_s`; a bug of the application's is 500, and the log has the rest."""
    peer = Peer()
    peer.inbox.put_nowait({"type": "websocket.connect"})
    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": []}
    scope["extensions"] = {"websocket.http.response": {}}
    await serve_websocket(scope, peer.inbox.get, peer.send, admit, Limits(handshake_s=0.05))
    assert peer.sent[0]["status"] == status


def _breaches(limit: str) -> float:
    return REGISTRY.get_sample_value("clarion_limit_exceeded_total", {"limit": limit}) or 0.0
