"""The HTTP connection's deadlines and refusals, where a test can move the clock; the rest is in test_attacks.py."""

import asyncio

from clarion.realtime.transports import Refused, Upgrade, WebSocket
from clarion.realtime.transports.connections import REFUSED_AT_ONCE
from clarion.realtime.transports.ending import LINGER_S
from clarion.realtime.transports.http import HttpProtocol
from clarion.settings import Limits
from clarion.telemetry import REGISTRY
from tests.support.raw_client import (
    GET,
    RESET,
    TEXT,
    RawClient,
    frame,
    hang_up,
    statuses,
    upgrade,
)
from tests.support.serving import serving

LATER = 1_000.0  # seconds: beyond every deadline but a slow reader's


def breaches(limit: str) -> float:
    return REGISTRY.get_sample_value("clarion_limit_exceeded_total", {"limit": limit}) or 0.0


async def connection(server) -> HttpProtocol:
    """The server's end of its only connection."""
    while not len(server.connections):  # noqa: ASYNC110  a connection has no event for its tests
        await asyncio.sleep(0)
    return next(iter(server.connections))


async def heard(
    server, *sent: bytes
) -> tuple[HttpProtocol, asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which `sent` has arrived."""
    reader, writer = await RawClient(server.port).dial(b"".join(sent))
    protocol = await connection(server)
    while sent and not protocol._unheard and protocol._in_head:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return protocol, reader, writer


async def test_a_late_head_is_408_and_counted():
    """Who began to ask is told that it took too long; the breach is counted by the limit's name."""
    async with serving() as server:
        protocol, reader, writer = await heard(server, GET)
        before = breaches("head_s")
        protocol.sweep(protocol._all.now() + LATER)
        assert statuses(await reader.read()) == [408]
        assert breaches("head_s") == before + 1
        await hang_up(writer)


async def test_who_says_nothing_is_just_closed():
    """Nothing was asked, so there is nothing to answer."""
    async with serving() as server:
        protocol, reader, writer = await heard(server)
        protocol.sweep(protocol._all.now())
        assert not protocol.transport.is_closing()
        protocol.sweep(protocol._all.now() + LATER)
        assert await reader.read() == b""
        await hang_up(writer)


async def test_a_request_that_is_served_has_no_deadline():
    """The application may take its time: the peer has done its part."""
    let_go = asyncio.Event()

    async def app(scope, receive, send):
        await let_go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(app) as server:
        protocol, reader, writer = await heard(server, GET, b"\r\n")
        protocol.sweep(protocol._all.now() + LATER)
        let_go.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        await hang_up(writer)


async def test_a_late_body_ends_the_request_for_the_application_too():
    """The peer gets 408, the application a disconnect; what it answers then goes nowhere."""
    ended = asyncio.Event()

    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        ended.set()

    async with serving(app) as server:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        protocol, reader, writer = await heard(server, head)
        await asyncio.sleep(0)
        protocol.sweep(protocol._all.now() + LATER)
        await ended.wait()
        assert statuses(await reader.read()) == [408]
        await hang_up(writer)


async def test_a_body_behind_a_slow_application_is_not_late():
    """While reading is paused, because the application has enough, the rate does not count."""
    async with serving() as server:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        protocol, _, writer = await heard(server, head)
        protocol.flow.pause_reading()
        protocol.sweep(protocol._all.now() + LATER)
        assert not protocol.transport.is_closing()
        await hang_up(writer)


async def test_a_refused_peer_that_stays_is_cut_off():
    """A refusal lingers for the peer to read it, not for ever; what the peer still sends is thrown away."""
    async with serving() as server:
        protocol, reader, writer = await heard(server, b"BAD\r\n\r\n")
        writer.write(b"more")
        assert statuses(await reader.read()) == [400]
        protocol.sweep(protocol._all.now() + LATER)
        await server.connections.wait_empty()
        await hang_up(writer)


async def test_one_connection_too_many_is_503():
    """The limit's last connection is served, the next one told when to come again; both kinds count."""
    limits = Limits(connections=10)
    async with serving(limits=limits, endpoints={"/socket.io/": lambda _: WebSocket()}) as server:
        client = RawClient(server.port)
        held = [await client.websocket() for _ in range(9)]
        assert statuses(await client.ask(GET + b"Connection: close\r\n\r\n")) == [200]
        held.append(await client.websocket())
        before = breaches("connections")
        answer = await client.ask(GET + b"\r\n")
        assert statuses(answer) == [503]
        assert b"retry-after: 5" in answer
        assert breaches("connections") == before + 1
        assert statuses(await client.ask(upgrade())) == [503]
        for each in held:
            await each.hang_up()


async def test_a_full_server_answers_its_probes_and_its_operator(tmp_path):
    """The paths that it is given, on a connection that ends with the answer; by the local socket everything."""
    limits, uds = Limits(connections=1), tmp_path / "local"
    async with serving(limits=limits, always=["/livez"], uds=uds) as server:
        held = await RawClient(server.port).dial()
        await connection(server)
        probe = b"GET /livez?verbose HTTP/1.1\r\nHost: x\r\n\r\n"
        assert (await RawClient(server.port).ask(probe)).endswith(b"hello")
        assert (await RawClient(uds=uds).ask(GET + b"Connection: close\r\n\r\n")).endswith(b"hello")
        assert statuses(await RawClient(server.port).ask(GET + b"\r\n")) == [503]
        await hang_up(held[1])


async def test_refusals_keep_few_descriptors_and_not_for_long():
    """Who says nothing is closed soon, and beyond so many that are being refused the next is cut off; each counts."""
    async with serving(limits=Limits(connections=1)) as server:
        dialled = [await RawClient(server.port).dial() for _ in range(1 + REFUSED_AT_ONCE)]
        while len(server.connections) < len(dialled):  # noqa: ASYNC110
            await asyncio.sleep(0)
        before = breaches("connections")
        assert await RawClient(server.port).ask(b"") in {b"", RESET}
        assert breaches("connections") == before + 1
        now = server.connections.now()
        for protocol in server.connections:
            protocol.sweep(now + LINGER_S + 1)
        assert [await reader.read() for reader, _ in dialled[1:]] == [b""] * REFUSED_AT_ONCE
        assert not dialled[0][0].at_eof()
        for _, writer in dialled:
            await hang_up(writer)


async def test_admission_sees_the_request():
    """Target, headers and address of an upgrade reach `admit`, which may refuse with a body of its own."""
    seen: list[Upgrade] = []

    def admit(asked: Upgrade) -> WebSocket:
        seen.append(asked)
        raise Refused(400, b'{"code":0}', "application/json")

    async with serving(endpoints={"/socket.io/": admit}, trusted_proxies=["127.0.0.1"]) as server:
        forwarded = b"X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nOrigin: http://a\r\n"
        request = upgrade(forwarded, path=b"/socket.io/?EIO=4")
        answer = await RawClient(server.port).ask(request)
    assert answer.endswith(b'\r\n\r\n{"code":0}')
    assert seen[0].query == b"EIO=4"
    assert seen[0].header(b"origin") == b"http://a"
    assert (seen[0].client, seen[0].is_secure) == (("8.8.8.8", 0), True)


async def test_a_slow_reader_is_judged_by_its_rate():
    """What was taken buys time at `body_rate`; who took nothing is cut off after `stall_s`, and counted."""
    limits = Limits(stall_s=10, body_rate=1000)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(50_000_000)})

    async with serving(app, limits=limits) as server:
        _, writer = await RawClient(server.port).dial()
        writer.transport.pause_reading()
        writer.write(GET + b"\r\n")
        protocol = await connection(server)
        while not protocol._stalled_since:  # noqa: ASYNC110
            await asyncio.sleep(0)
        began = protocol._stalled_since
        protocol._stalled_with += 20_000  # as if it had taken so much since
        protocol.sweep(began + 29)
        assert not protocol.transport.is_closing()
        before = breaches("stall_s")
        protocol.sweep(began + 31)
        assert breaches("stall_s") == before + 1
        await server.connections.wait_empty()
        await hang_up(writer)


# ── upgrades that the application takes its time over ──
class Greeter(WebSocket):
    """Says what it was told to, and echoes."""

    __slots__ = ()

    def on_open(self) -> None:
        self.send("hello")

    def on_message(self, data: str | bytes) -> None:
        self.send(data)


async def test_an_upgrade_may_be_decided_later():
    """`admit` may be awaited: what the peer sends meanwhile waits, the 101 carries what the application adds, nothing is lost."""
    asked, decided = asyncio.Event(), asyncio.Event()

    async def admit(request: Upgrade) -> WebSocket:
        asked.set()
        await decided.wait()
        request.answer.append(("X-Seen", "yes"))
        return Greeter()

    async with serving(endpoints={"/ws": admit}) as server:
        early = upgrade(path=b"/ws") + frame(TEXT, b"early")
        reader, writer = await RawClient(server.port).dial(early)
        await asked.wait()
        writer.write(frame(TEXT, b"later"))
        decided.set()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert b"x-seen: yes\r\n" in head.lower()
        assert await reader.readexactly(21) == b"\x81\x05hello\x81\x05early\x81\x05later"
        await hang_up(writer)


async def test_a_later_decision_may_refuse_or_fail():
    """A refusal is the application's own; a bug of it is a 500 without detail; the connection ends."""
    outcomes = [Refused(403, "not you"), ValueError("a bug")]

    async def admit(request: Upgrade) -> WebSocket:
        await asyncio.sleep(0)
        raise outcomes.pop(0)

    async with serving(endpoints={"/ws": admit}) as server:
        client = RawClient(server.port)
        refused = await client.ask(upgrade(path=b"/ws"))
        assert statuses(refused) == [403]
        assert refused.endswith(b"not you")
        failed = await client.ask(upgrade(path=b"/ws"))
        assert statuses(failed) == [500]
        assert b"bug" not in failed


async def test_a_decision_that_does_not_come_is_503():
    """After `handshake_s` the peer is told; a decision that comes later is nobody's."""
    decided, ended = asyncio.Event(), asyncio.Event()

    async def admit(request: Upgrade) -> WebSocket:
        await decided.wait()
        ended.set()
        return Greeter()

    async with serving(endpoints={"/ws": admit}) as server:
        before = breaches("handshake_s")
        reader, writer = await RawClient(server.port).dial(upgrade(path=b"/ws"))
        protocol = await connection(server)
        while protocol._deciding is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        protocol.sweep(protocol._all.now() + LATER)
        decided.set()
        await ended.wait()
        assert statuses(await reader.read()) == [503]
        assert breaches("handshake_s") == before + 1
        await hang_up(writer)


async def test_a_peer_that_leaves_before_the_decision_is_forgotten():
    """The connection is not counted any more, and the decision hurts nobody."""
    asked, decided = asyncio.Event(), asyncio.Event()

    async def admit(request: Upgrade) -> WebSocket:
        asked.set()
        await decided.wait()
        return Greeter()

    async with serving(endpoints={"/ws": admit}) as server:
        _, writer = await RawClient(server.port).dial(upgrade(path=b"/ws"))
        await asked.wait()
        await hang_up(writer)
        decided.set()
        async with asyncio.timeout(10):
            await server.connections.wait_empty()


async def test_a_path_that_ends_with_a_slash_is_meant_with_all_below():
    """`/a/` admits `/a/b`, the longest wins; `/b` is itself alone."""

    def admits(name: str):
        def admit(request: Upgrade) -> WebSocket:
            request.answer.append(("X-Who", name))
            return Greeter()

        return admit

    paths = {path: admits(path) for path in ("/a/", "/a/b/", "/b")}
    async with serving(endpoints=paths) as server:
        client = RawClient(server.port)
        for path, who in {"/a/": "/a/", "/a/c": "/a/", "/a/b/c": "/a/b/", "/b": "/b"}.items():
            socket = await client.websocket(path=path.encode())
            assert f"x-who: {who}\r\n".encode() in socket.head.lower()
            await socket.hang_up()
        for path in (b"/a", b"/b/c", b"/"):
            assert await client.first_status(upgrade(path=path)) == 404
