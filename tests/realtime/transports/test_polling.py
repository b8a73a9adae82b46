"""Polling over the wire: handshake, the two places of a session, what breaks its rules, and who may ask."""

import asyncio
import json

import pytest

from clarion.realtime.transports.base import Prepared
from clarion.realtime.transports.places import Polling
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.raw_client import GET
from tests.support.raw_socketio import QUERY, until, wired


def echo(io):
    """Answers `q` with its arguments."""
    io.handle("q", lambda socket, *args: args)


async def test_a_handshake_and_an_event_both_ways():
    """GET opens a session, POST sends, GET fetches; answers are text, never stored by caches."""
    async with wired() as wire:
        echo(wire.io)
        answer = await wire.ask("GET", QUERY + b"polling&t=abc")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["cache-control"] == "no-store"
        hello = json.loads(answer.body[1:])
        assert set(hello) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
        assert hello["upgrades"] == ["websocket"]
        client = await wire.polling()
        assert (await client.join()).startswith('40{"sid":"')
        sent = await client.post('420["q",1]\x1e421["q","é"]')
        assert (sent.status, sent.body, sent.headers["content-type"]) == (200, b"ok", "text/html")
        assert (await client.get()).body.decode() == '430[1]\x1e431["é"]'


async def test_binary_travels_as_base64():
    """An attachment comes and goes as `b` and base64, in its own packet of the payload."""
    async with wired() as wire:
        echo(wire.io)
        client = await wire.polling()
        await client.join()
        await client.post('451-0["q",{"_placeholder":true,"num":0}]\x1ebAAECAw==')
        assert (await client.get()).body == b'461-0[{"_placeholder":true,"num":0}]\x1ebAAECAw=='


async def test_a_held_poll_is_answered_when_there_is_something():
    """A GET waits, and one answer takes everything that was sent in a turn."""
    async with wired() as wire:
        client = await wire.polling()
        await client.join()
        held = spawn(client.get(), name="held poll")
        await wait_for_poll(wire, client)
        wire.io.emit("a")
        wire.io.emit("b")
        assert (await held).body == b'42["a"]\x1e42["b"]'


async def wait_for_poll(wire, client) -> None:
    """Until the server holds the client's GET."""
    session = wire.io.find(client.sid)
    await until(lambda: session.transport.is_writable)


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", b"/socket.io/?EIO=4", 0),
        ("GET", b"/socket.io/?EIO=4&transport=abc", 0),
        ("GET", b"/socket.io/?EIO=4&transport=__proto__", 0),
        ("GET", QUERY + b"polling&transport=websocket", 0),
        ("GET", QUERY + b"polling&sid=unknown", 1),
        ("GET", QUERY + b"polling&sid=__proto__", 1),
        ("POST", QUERY + b"polling", 2),
        ("PUT", QUERY + b"polling", 2),
        ("GET", QUERY + b"websocket", 3),
        ("GET", b"/socket.io/?transport=polling", 5),
        ("GET", b"/socket.io/?transport=polling&EIO=abc", 5),
    ],
)
async def test_what_is_no_handshake_gets_engine_ios_error(method, target, code):
    """The error table: JSON with code and message, 400; a prefix of the path is the path."""
    async with wired() as wire:
        answer = await wire.ask(method, target)
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body)["code"] == code
        assert wire.io.sessions == 0
        assert (await wire.ask("GET", b"/socket.io/sub" + QUERY[11:] + b"polling")).status == 200
        assert (await wire.ask("GET", b"/other")).status == 404


async def test_a_second_poll_ends_the_session():
    """The first GET gets `1`, the second 400, and the session is gone."""
    async with wired() as wire:
        client = await wire.polling()
        held = spawn(client.get(), name="held poll")
        await wait_for_poll(wire, client)
        second = await client.get()
        assert (second.status, second.body) == (400, b"")
        assert (await held).body == b"1"
        assert json.loads((await client.get()).body)["code"] == 1


async def test_a_poll_that_is_given_up_ends_the_session():
    """A client that aborts its GET is gone: nothing is sent into the void."""
    async with wired() as wire:
        client, gone = await wire.polling(), asyncio.Event()
        wire.io.handle("disconnect", lambda socket: gone.set())
        await client.join()
        _, writer = await wire.raw.dial(b"GET " + client.target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        await wait_for_poll(wire, client)
        writer.close()
        await asyncio.wait_for(gone.wait(), 10)
        assert (await client.get()).status == 400


async def test_a_post_beside_a_post_ends_the_session():
    """There is one place for a body; the second is refused."""
    async with wired() as wire:
        client = await wire.polling()
        head = b"POST " + client.target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n42"
        _, writer = await wire.raw.dial(head)
        session = wire.io.find(client.sid)
        await until(lambda: session.transport.is_posting)
        assert (await client.post("3")).status == 400
        assert not session.is_open
        writer.close()


async def test_a_post_that_breaks_off_ends_the_session():
    """Half a body is no body."""
    async with wired() as wire:
        client = await wire.polling()
        head = b"POST " + client.target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n42"
        _, writer = await wire.raw.dial(head)
        session = wire.io.find(client.sid)
        await until(lambda: session.transport.is_posting)
        writer.transport.abort()
        await until(lambda: not wire.io.sessions)


async def test_binary_bodies_are_answered_and_end_the_session():
    """application/octet-stream is of an older revision: 400, never left without an answer."""
    async with wired() as wire:
        client = await wire.polling()
        answer = await client.post(b"\x00", b"Content-Type: application/octet-stream\r\n")
        assert answer.status == 400
        assert wire.io.sessions == 0


@pytest.mark.parametrize(
    "body",
    [
        b"abc", b"", b"40\x1e", b"\xff\xfe", b"b!!!", b"\x1e" * 500_000, b"4\x1e" * 400_000, b"42[\"q\"",
        b"\x1e".join([b"3"] * 2_001),
    ],
)  # fmt: skip
async def test_a_bad_payload_ends_the_session(body):
    """400, and the session is gone; a million separators cost no more than counting them."""
    async with wired() as wire:
        echo(wire.io)
        client = await wire.polling()
        await client.join()
        assert (await client.post(body)).status in {200, 400}
        answer = await client.get()
        assert (answer.status, answer.body) == (200, b"1") or answer.status == 400
        assert wire.io.sessions == 0


async def test_what_came_before_a_bad_packet_is_served():
    """Packets of a payload are taken one by one: the bad one ends the session, those before it have happened."""
    async with wired() as wire:
        seen = []
        wire.io.handle("q", lambda socket, n: seen.append(n))
        client = await wire.polling()
        await client.join()
        assert (await client.post('42["q",1]\x1exyz\x1e42["q",2]')).status == 400
        assert seen == [1]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_large_body_is_refused_and_the_session_lives(is_chunked):
    """Exactly the limit passes; one byte more is 413 with an empty body, and the session goes on."""
    limits = Limits(max_payload_bytes=2048, drain_s=0.1)
    async with wired(limits=limits) as wire:
        echo(wire.io)
        client = await wire.polling()
        await client.join()
        text = '420["q","%s"]'
        fits = text % ("." * (2048 - len(text) + 2))
        assert (await client.post(fits)).body == b"ok"
        if is_chunked:
            body = b"801\r\n" + b"4" * 2049 + b"\r\n0\r\n\r\n"
            head = b"POST " + client.target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            status = await wire.raw.first_status(
                head + b"Transfer-Encoding: chunked\r\n\r\n" + body
            )
            assert status == 413
        else:
            answer = await client.post(fits + " ")
            assert (answer.status, answer.body) == (413, b"")
        assert (await client.get()).body.startswith(b"430")


async def test_closing_by_the_client_lets_its_poll_go():
    """POST `1` ends the session; the held GET gets `6`."""
    async with wired() as wire:
        client = await wire.polling()
        held = spawn(client.get(), name="held poll")
        await wait_for_poll(wire, client)
        assert (await client.post("1")).body == b"ok"
        assert (await held).body == b"6"
        assert (await client.get()).status == 400


async def test_a_poll_that_comes_just_after_the_close_is_answered_alike():
    """A client that closes has nearly always a GET under way; whichever arrives first, it gets `6`, and the next 400."""
    async with wired() as wire:
        client, gone = await wire.polling(), asyncio.Event()
        wire.io.handle("disconnect", lambda socket: gone.set())
        await client.join()
        assert (await client.post("1")).body == b"ok"
        assert gone.is_set()
        assert (await client.get()).body == b"6"
        assert (await client.get()).status == 400


async def test_closing_by_the_server_waits_for_the_next_poll():
    """What was sent before, then `1`, go with the next GET; later requests find nothing."""
    async with wired() as wire:
        client = await wire.polling()
        await client.join()
        wire.io.emit("last")
        (socket,) = wire.io.of("/").sockets.values()
        socket.disconnect(close=True)
        assert (await client.post('42["too late"]')).status == 200
        assert (await client.get()).body == b'42["last"]\x1e41\x1e1'
        assert (await client.get()).status == 400


async def test_heartbeat_on_polling():
    """A held GET gets a ping each interval; a client that does not answer is gone."""
    async with wired(Realtime(ping_interval_s=0.2, ping_timeout_s=0.15)) as wire:
        client = await wire.polling()
        for _ in range(2):
            assert (await client.get()).body == b"2"
            assert (await client.post("3")).body == b"ok"
        assert (await client.get()).body == b"2"
        assert (await client.get()).body == b"1"
        assert wire.io.sessions == 0


async def test_other_methods_are_not_offered():
    """With a sid only GET and POST mean something."""
    async with wired() as wire:
        client = await wire.polling()
        answer = await wire.ask("DELETE", client.target)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


# ── who may ask ──
async def test_pages_of_foreign_sites_are_refused():
    """A foreign Origin gets 403 on every request; the server's own pages and programs without an Origin pass."""
    async with wired() as wire:
        foreign = b"Origin: https://evil.example\r\n"
        answer = await wire.ask("GET", QUERY + b"polling", headers=foreign)
        assert (answer.status, json.loads(answer.body)["code"]) == (403, 4)
        assert "access-control-allow-origin" not in answer.headers
        own = await wire.ask("GET", QUERY + b"polling", headers=b"Origin: http://x\r\n")
        assert own.status == 200
        sid = json.loads(own.body[1:])["sid"].encode()
        answer = await wire.ask("GET", QUERY + b"polling&sid=" + sid, headers=foreign)
        assert answer.status == 403
        broken = await wire.ask("GET", QUERY + b"polling", headers=b"Origin: http://\xc3\xa9\r\n")
        assert json.loads(broken.body)["code"] == 3


async def test_pages_of_listed_origins_may_read_the_answers():
    """CORS: the origin that asked is named, credentials are allowed, the preflight is answered."""
    async with wired(allowed_origins=["https://app.example"]) as wire:
        origin = b"Origin: https://app.example\r\n"
        asked = b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a\r\n"
        preflight = await wire.ask("OPTIONS", QUERY + b"polling", headers=origin + asked)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-headers"] == "x-a"
        answer = await wire.ask("GET", QUERY + b"polling", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        refused = await wire.ask("GET", QUERY + b"abc", headers=origin)
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        plain = await wire.ask("OPTIONS", QUERY + b"polling")
        assert json.loads(plain.body)["code"] == 2


async def test_too_many_handshakes_are_refused_by_name():
    """Above `handshakes_per_s` a handshake gets 503 with Retry-After, on polling and on an upgrade; sessions that are open go on."""
    limits = Limits(handshakes_per_s=1, drain_s=0.1)
    async with wired(limits=limits) as wire:
        client = await wire.polling()
        await client.join()
        answers = [await wire.ask("GET", QUERY + b"polling") for _ in range(4)]
        assert answers[-1].status == 503
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
        upgrade = GET.replace(b"/ ", QUERY + b"websocket ") + (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert await wire.raw.first_status(upgrade) == 503
        assert (await client.post("3")).status == 200


async def test_stopping_lets_polls_go_and_takes_nobody_new():
    """When the server stops a held GET gets `1`, and a handshake 503."""
    async with wired() as wire:
        client = await wire.polling()
        held = spawn(client.get(), name="held poll")
        await wait_for_poll(wire, client)
        wire.io.stop()
        assert (await held).body == b"1"
        assert (await wire.ask("GET", QUERY + b"polling")).status == 503


def test_the_place_of_a_poll_takes_one_answer():
    """What comes when no GET is held, or after its answer, is not written: the session keeps it."""

    async def story() -> None:
        polling = Polling()
        assert not polling.is_writable
        polling.write(Prepared(["4lost"]))
        poll = polling.hold()
        assert polling.write_many([Prepared(["4a"]), Prepared(["4b", b"\0"])]) == 2
        polling.write(Prepared(["4late"]))
        assert poll.result().body == "4a\x1e4b\x1ebAA=="
        assert not polling.is_writable
        assert polling.buffered() == 0

    asyncio.run(story())
