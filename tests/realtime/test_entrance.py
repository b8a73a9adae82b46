"""Which requests open a session, and what an application may say about it: over real connections, on both transports."""

import asyncio
import gzip
import json
import zlib

import pytest
from structlog.testing import capture_logs

from clarion.errors import Forbidden, UsageError
from clarion.realtime import Cookie, Cors, Server
from clarion.realtime.transports.head import Headers
from clarion.realtime.transports.request import Request
from clarion.settings import Limits, Realtime
from clarion.telemetry import REGISTRY, spawn
from tests.support.memory_transport import in_time, make_server
from tests.support.raw_client import statuses, upgrade
from tests.support.raw_socketio import QUERY, Wire, until, wired

HERE = "127.0.0.1"
LIMITS = Limits(drain_s=0.1, close_s=1.0)


def limits(**more) -> Limits:
    return Limits(drain_s=0.1, close_s=1.0, **more)


def breaches(limit: str) -> float:
    return REGISTRY.get_sample_value("clarion_limit_exceeded_total", {"limit": limit}) or 0.0


async def upgraded(wire: Wire, query: bytes = QUERY + b"websocket", headers: bytes = b"") -> bytes:
    """All that an upgrade is answered; of one that is let in only the head."""
    reader, writer = await wire.raw.dial(upgrade(headers, path=query))
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        rest = b"" if b" 101 " in head else await reader.read()
    writer.transport.abort()
    return head + rest


async def opened(wire: Wire, headers: bytes = b"", query: bytes = b""):
    return await wire.ask("GET", QUERY + b"polling" + query, headers=headers)


# ── which transports ──
async def test_a_transport_that_is_off_is_unknown():
    """Error 0 on what is off; clients on polling are told of upgrades only where they can have them."""
    async with wired(Realtime(transports=["polling"])) as wire:
        answer = await opened(wire)
        assert json.loads(answer.body[1:])["upgrades"] == []
        sid = json.loads(answer.body[1:])["sid"].encode()
        assert statuses(await upgraded(wire)) == [400]
        assert statuses(await upgraded(wire, QUERY + b"websocket&sid=" + sid)) == [400]
    async with wired(Realtime(transports=["websocket"])) as wire:
        assert json.loads((await opened(wire)).body) == {"code": 0, "message": "Transport unknown"}
        assert statuses(await upgraded(wire)) == [101]


async def test_upgrades_can_be_kept_quiet():
    """Nothing is offered, but a WebSocket with a known sid is still accepted, as in Node."""
    async with wired(Realtime(allow_upgrades=False)) as wire:
        hello = json.loads((await opened(wire)).body[1:])
        assert hello["upgrades"] == []
        socket = await wire.websocket(b"&sid=" + hello["sid"].encode())
        socket.say("2probe")
        assert await socket.hear() == "3probe"


async def test_the_path_with_and_without_its_slash():
    """A slash is added unless that is off; then both forms are served, on both transports. What is below belongs to it."""
    for path in ("/rt", "/rt/"):
        async with wired(Realtime(path=path)) as wire:
            assert (await wire.ask("GET", b"/rt?EIO=4&transport=polling")).status == 404
            assert (await wire.ask("GET", b"/rt/?EIO=4&transport=polling")).status == 200
            below = b"/rt/any/thing?EIO=4&transport="
            assert (await wire.ask("GET", below + b"polling")).status == 200
            assert statuses(await upgraded(wire, below + b"websocket")) == [101]
    async with wired(Realtime(path="/rt", add_trailing_slash=False)) as wire:
        for path in (b"/rt", b"/rt/"):
            query = path + b"?EIO=4&transport="
            assert (await wire.ask("GET", query + b"polling")).status == 200
            assert statuses(await upgraded(wire, query + b"websocket")) == [101]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (b"EIO=3&transport=websocket", b"Unsupported protocol version"),
        (b"transport=websocket", b"Unsupported protocol version"),
        (b"EIO=4&transport=webtransport", b"Transport unknown"),
        (b"EIO=4&transport=websocket&j=0", b"Transport unknown"),
        (b"EIO=4&transport=polling", b"Bad request"),
        (b"EIO=4&transport=websocket&sid=guessed-guessed-guessed0", b"Session ID unknown"),
        (b"EIO=4&transport=websocket&sid=__proto__", b"Session ID unknown"),
    ],
)
async def test_what_is_not_served_is_refused_before_the_101(query, body):
    """Socket.IO 2 clients, JSONP, WebTransport, ids that nobody has: 400 with Engine.IO's text, never a 101 first."""
    async with wired() as wire:
        answer = await upgraded(wire, b"/socket.io/?" + query)
        assert statuses(answer) == [400]
        assert answer.endswith(b"\r\n\r\n" + body)
        assert wire.io.sessions == 0


async def test_a_client_of_socketio_2_is_named_in_the_log():
    """It tells its own people of a failed request alone. Once, on whatever transport: the lines are not for strangers to fill."""
    async with wired() as wire:
        with capture_logs() as logs:
            assert (await wire.ask("GET", b"/socket.io/?EIO=3&transport=polling")).status == 400
            await upgraded(wire, b"/socket.io/?EIO=3&transport=websocket")
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert "update it to socket.io-client 3" in line["event"]


async def test_jsonp_and_webtransport_on_polling():
    """Error 0: a script is no answer that this server gives."""
    async with wired() as wire:
        for query in (b"polling&j=1", b"webtransport"):
            answer = await wire.ask("GET", QUERY + query)
            assert (answer.status, json.loads(answer.body)["code"]) == (400, 0)


async def test_ids_are_never_adopted():
    """Session fixation: an id that a client brings is unknown, whatever it looks like, and makes no session."""
    async with wired() as wire:
        own = json.loads((await opened(wire)).body[1:])["sid"]
        for sid in (
            "chosen-by-the-attacker00",
            own[:-1] + ("A" if own[-1] != "A" else "B"),
            own.swapcase(),
        ):
            answer = await opened(wire, query=b"&sid=" + sid.encode())
            assert json.loads(answer.body)["code"] == 1
        assert wire.io.sessions == 1


# ── the application decides ──
async def test_allow_request_sees_a_new_session_and_may_refuse_it():
    """403 and code 4 with its own words or the table's, on an upgrade the bare text; requests of a session are not shown."""
    seen: list[Request] = []

    def allow(request: Request) -> bool:
        seen.append(request)
        if request.query.get("key") == "words":
            raise Forbidden("no key, no entry")
        return request.query.get("key") == "good"

    async with wired(allow_request=allow) as wire:
        plain = await opened(wire, b"X-Own: a\r\n")
        assert (plain.status, json.loads(plain.body)) == (403, {"code": 4, "message": "Forbidden"})
        assert (seen[0].path, seen[0].address, seen[0].headers["x-own"]) == (
            "/socket.io/",
            HERE,
            "a",
        )
        assert (seen[0].method, seen[0].is_upgrade) == ("GET", False)
        words = await opened(wire, query=b"&key=words")
        assert json.loads(words.body) == {"code": 4, "message": "no key, no entry"}
        bare = await upgraded(wire, QUERY + b"websocket&key=words")
        assert statuses(bare) == [403]
        assert bare.endswith(b"no key, no entry")
        assert seen[-1].is_upgrade
        count = len(seen)
        client = await wire.polling(b"&key=good")
        await client.join()
        spoken = await wire.websocket(b"&key=good")
        assert (await spoken.hear()).startswith("0{")
        assert len(seen) == count + 2
        assert wire.io.sessions == 2


async def test_allow_request_may_take_its_time():
    """`async def`: what the client sends meanwhile waits; when the answer is yes the session begins as any other."""
    asked, decided = asyncio.Event(), asyncio.Event()

    async def allow(request: Request) -> None:
        asked.set()
        await decided.wait()

    async with wired(allow_request=allow) as wire:
        poll = spawn(opened(wire), name="poll")
        await asked.wait()
        asked.clear()
        socket = spawn(wire.websocket(), name="websocket")
        await asked.wait()
        assert wire.io.sessions == 0
        decided.set()
        assert (await poll).status == 200
        assert (await (await socket).hear()).startswith("0{")


async def test_a_bug_of_the_application_is_code_3():
    """An exception is logged and told as "Bad request", without a word of it; also a TimeoutError of its own."""

    async def fails(request: Request) -> bool:
        raise TimeoutError("the database, with its password")

    async with wired(allow_request=fails) as wire:
        answer = await opened(wire)
        assert json.loads(answer.body) == {"code": 3, "message": "Bad request"}
        bare = await upgraded(wire)
        assert statuses(bare) == [400]
        assert b"password" not in bare


async def test_decisions_are_bounded_in_time_and_number():
    """After `handshake_s` a new session gets 503; so does one above `pending_handshakes`. Nothing is left behind."""
    never = asyncio.Event()

    async def allow(request: Request) -> None:
        await never.wait()

    few = limits(handshake_s=0.3, pending_handshakes=2)
    async with wired(limits=few, allow_request=allow) as wire:
        before = breaches("pending_handshakes"), breaches("handshake_s")
        waiting = [
            spawn(opened(wire), name="poll"),
            spawn(upgraded(wire), name="websocket"),
        ]
        await until(lambda: wire.io._entrance._asking == 2)
        assert (await opened(wire)).status == 503
        assert statuses(await upgraded(wire)) == [503]
        assert breaches("pending_handshakes") == before[0] + 2
        assert (await waiting[0]).status == 503
        assert statuses(await waiting[1]) == [503]
        assert breaches("handshake_s") == before[1] + 2
        assert (wire.io._entrance._asking, wire.io.sessions) == (0, 0)


async def test_a_server_that_stops_while_it_is_asked_lets_nobody_in():
    """What is true at the end of the decision counts."""
    asked, decided = asyncio.Event(), asyncio.Event()

    async def allow(request: Request) -> None:
        asked.set()
        await decided.wait()

    async with wired(allow_request=allow) as wire:
        poll = spawn(opened(wire), name="poll")
        await asked.wait()
        wire.io.stop()
        decided.set()
        assert (await poll).status == 503
        assert wire.io.sessions == 0


async def test_ids_can_be_made_by_the_application():
    """`def` or `async def`; the node's 4 characters follow, so that the id still says whose it is."""
    made = iter(["session-one", "session-two"])

    async def generate(request: Request) -> str:
        await asyncio.sleep(0)
        return next(made)

    async with wired(generate_id=generate) as wire:
        client = await wire.polling()
        assert (client.sid[:-4], len(client.sid)) == ("session-one", 15)
        await client.join()
        spoken = await wire.websocket()
        assert json.loads((await spoken.hear())[1:])["sid"].startswith("session-two")


@pytest.mark.parametrize("bad", ["", "short", "with space", "a" * 129, "ключ-ключ", None, 7])
async def test_an_id_that_is_none_is_a_bug(bad):
    """It would stand in URLs, cookies and logs: code 3."""
    async with wired(generate_id=lambda request: bad) as wire:
        assert json.loads((await opened(wire)).body)["code"] == 3
        assert wire.io.sessions == 0


async def test_an_id_that_is_taken_opens_nothing():
    """The session that has it lives on; the newcomer gets code 3, or is closed if both were asked for at once."""
    async with wired(generate_id=lambda request: "the-same") as wire:
        client = await wire.polling()
        await client.join()
        assert json.loads((await opened(wire)).body)["code"] == 3
        assert statuses(await upgraded(wire)) == [400]
        assert (await client.post("3")).status == 200
        assert wire.io.sessions == 1


# ── the cookie ──
async def test_the_cookie_comes_with_the_first_answer_on_polling():
    """`True` is Node's; it is not sent again, nor on a WebSocket."""
    async with wired(cookie=True) as wire:
        answer = await opened(wire)
        sid = json.loads(answer.body[1:])["sid"]
        assert answer.headers["set-cookie"] == f"io={sid}; Path=/; HttpOnly; SameSite=Lax"
        target = QUERY + b"polling&sid=" + sid.encode()
        assert "set-cookie" not in (await wire.ask("POST", target, b"40")).headers
        assert "set-cookie" not in (await wire.ask("GET", target)).headers
        assert b"set-cookie" not in (await upgraded(wire)).lower()


def test_a_cookie_is_what_it_is_told_to_be():
    """Each attribute, in Node's order; what a browser would drop or misread is the caller's mistake."""
    cookie = Cookie(
        name="my", path="/x", domain="example.com", http_only=False, same_site="strict",
        max_age_s=86400, secure=True, partitioned=True,
    )  # fmt: skip
    assert cookie.header("S") == (
        "my=S; Max-Age=86400; Domain=example.com; Path=/x; Secure; Partitioned; SameSite=Strict"
    )
    assert Cookie(path="", same_site="", http_only=False).header("S") == "io=S"
    for wrong in (
        {"name": "a b"},
        {"name": ""},
        {"path": "/;x"},
        {"domain": "a\r\nb"},
        {"same_site": "none"},
    ):
        with pytest.raises(UsageError):
            Cookie(**wrong)


# ── what is told of it ──
async def test_refusals_are_told_with_nodes_context():
    """`io.engine.on("connection_error")`: the request, code, message, and what it was about."""
    told = []
    allow = {"allow_request": lambda request: (_ for _ in ()).throw(Forbidden("go away"))}
    async with wired(**allow) as wire:
        wire.io.engine.on("connection_error", told.append)
        await wire.ask("GET", QUERY + b"abc")
        await opened(wire, query=b"&sid=abcdefghijklmnopqrst")
        await wire.ask("PUT", QUERY + b"polling")
        await upgraded(wire, b"/socket.io/?EIO=3&transport=websocket")
        await opened(wire)
        await opened(wire, b"Origin: https://evil.example\r\n")
    assert [(each.code, each.message, each.context) for each in told] == [
        (0, "Transport unknown", {"transport": "abc"}),
        (1, "Session ID unknown", {"sid": "abcdefghijklmnopqrst"}),
        (2, "Bad handshake method", {"method": "PUT"}),
        (5, "Unsupported protocol version", {"protocol": 3}),
        (4, "Forbidden", {"message": "go away"}),
        (4, "Forbidden", {"name": "FOREIGN_ORIGIN", "origin": "https://evil.example"}),
    ]
    assert told[3].req.is_upgrade
    assert told[0].req.query["transport"] == "abc"


async def test_listeners_may_add_headers_to_answers():
    """`initial_headers` with the answer that begins a session, `headers` with each, the 101 included."""
    async with wired(cookie=True) as wire:
        initial: list[str] = []

        @wire.io.engine.on("initial_headers")
        def first(headers, request):
            initial.append(request.path)
            headers["x-first"] = "1"
            headers["set-cookie"].append("more=1")

        @wire.io.engine.on("headers")
        def each(headers, request):
            headers["X-Each"] = request.method

        answer = await wire.raw.ask(
            b"GET " + QUERY + b"polling HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert b"x-first: 1\r\nx-each: GET\r\n" in answer
        assert b"set-cookie: more=1\r\n" in answer
        wire.io.engine.remove_all_listeners("initial_headers")
        client = await wire.polling()
        await client.join()
        posted = await client.post("3")
        assert posted.headers["x-each"] == "POST"
        assert "x-first" not in posted.headers
        wire.io.engine.on("initial_headers", lambda headers, request: headers.update(x="y"))
        assert b"x: y\r\nx-each: GET" in (await upgraded(wire)).lower().replace(b": get", b": GET")
        assert initial == ["/socket.io/"]


async def test_a_listener_cannot_split_an_answer():
    """A header with a line's end in it is left out and logged, whoever's text it was; the answer is whole."""
    async with wired() as wire:

        @wire.io.engine.on("headers")
        def echo(headers, request):
            headers["x-bad"] = request.query["say"]
            headers["x bad"] = "1"
            headers["x-good"] = "1"

        answer = await opened(wire, query=b"&say=a%0d%0aset-cookie:%20evil=1")
        assert answer.status == 200
        assert answer.headers["x-good"] == "1"
        assert not {"x-bad", "x bad", "set-cookie"} & set(answer.headers)


# ── compression ──
async def test_large_answers_on_polling_are_compressed():
    """Gzip or deflate as the client accepts, above the threshold; the text is the same."""
    async with wired() as wire:
        for accepts, unpack in (("gzip, deflate", gzip.decompress), ("deflate", zlib.decompress)):
            for size in (1_500, 100_000):  # the larger one is packed beside the loop
                client = await wire.polling()
                await client.join()
                wire.io.emit("text", "x" * size)
                asked = f"Accept-Encoding: {accepts}\r\n".encode()
                answer = await wire.ask("GET", client.target, headers=asked)
                assert answer.headers["content-encoding"] == accepts.split(",")[0]
                assert answer.headers["content-length"] == str(len(answer.body))
                assert "Accept-Encoding" in answer.headers["vary"]
                assert unpack(answer.body).decode() == '42["text","%s"]' % ("x" * size)
                await client.post("1")


@pytest.mark.parametrize(
    ("settings", "size", "may", "accepts"),
    [
        (Realtime(), 500, True, "gzip"),
        (Realtime(), 5_000, False, "gzip"),
        (Realtime(), 5_000, True, "br, gzip;q=0"),
        (Realtime(), 5_000, True, ""),
        (Realtime(http_compression=False), 5_000, True, "gzip"),
        (Realtime(http_compression_bytes=6_000), 5_000, True, "gzip"),
    ],
)
async def test_what_is_not_compressed(settings, size, may, accepts):
    """Small answers, events sent with `compress(False)`, clients that do not accept it, and servers that are told not to."""
    async with wired(settings) as wire:
        client = await wire.polling()
        await client.join()
        wire.io.of("/").compress(may).emit("text", "x" * size)
        asked = f"Accept-Encoding: {accepts}\r\n".encode()
        answer = await wire.ask("GET", client.target, headers=asked)
        assert "content-encoding" not in answer.headers
        assert answer.body.startswith(b'42["text","x')


# ── limits by address ──
def of(address: str) -> bytes:
    return f"X-Forwarded-For: {address}\r\n".encode()


async def test_an_address_has_limits_that_name_themselves():
    """Handshakes and sessions of one address, on both transports: 429, Retry-After, the limit's name; others come in."""
    some = limits(handshakes_per_address=3, sessions_per_address=4)
    async with wired(limits=some, proxies=[HERE]) as wire:
        before = breaches("handshakes_per_address"), breaches("sessions_per_address")
        for _ in range(4):
            assert (await opened(wire, of("192.0.2.1"))).status == 200
        told = await opened(wire, of("192.0.2.1"))
        assert (told.status, 1 <= int(told.headers["retry-after"]) <= 10) == (429, True)
        assert b"limits.sessions_per_address" in told.body
        assert statuses(await upgraded(wire, headers=of("192.0.2.1"))) == [429]
        assert breaches("sessions_per_address") == before[1] + 2
        for number in range(8):  # an IPv6 host has a whole /64, and this one ends its sessions
            headers = of(f"2001:db8::{number + 1:x}")
            answer = await opened(wire, headers)
            if number < 6:
                target = QUERY + b"polling&sid=" + json.loads(answer.body[1:])["sid"].encode()
                assert (await wire.ask("POST", target, b"1", headers)).status == 200
                assert (await wire.ask("GET", target, b"", headers)).body == b"6"
        assert answer.status == 429
        assert b"limits.handshakes_per_address" in answer.body
        assert breaches("handshakes_per_address") >= before[0] + 1
        for _ in range(9):
            assert (await opened(wire)).status == 200, "this machine is not counted"


def test_a_hopeless_client_hears_it_late():
    """Wrong requests of one address above the rate are told after 1 to 5 s, a thousand at a time at most; it keeps no memory."""

    async def story(loop) -> None:
        io = make_server(limits=Limits(refusals_per_address=1))
        headers: Headers = []
        request = Request("GET", QUERY + b"polling&sid=x", headers, "192.0.2.1", False, False)
        began = loop.time()
        await io._entrance.delay(request)
        await io._entrance.delay(request)
        assert loop.time() == began
        await io._entrance.delay(request)
        assert 1 <= loop.time() - began <= 5
        tasks = [spawn(io._entrance.delay(request), name="refused") for _ in range(1_500)]
        await asyncio.sleep(0.5)
        assert io._entrance._delayed == 1_000
        await asyncio.gather(*tasks)
        assert io._entrance._delayed == 0
        assert len(io._entrance.admission._refusals) == 1

    in_time(story)


async def test_a_refusal_on_polling_waits_for_its_delay(monkeypatch):
    """The delay comes before the answer; new sessions of others begin meanwhile."""
    async with wired() as wire:
        monkeypatch.setattr(wire.io._entrance.admission, "delay_s", lambda now, address: 0.2)
        guess = spawn(opened(wire, query=b"&sid=guess"), name="guess")
        await until(lambda: wire.io._entrance._delayed == 1)
        assert (await opened(wire)).status == 200
        assert not guess.done()
        assert (await guess).status == 400


# ── how fast ──
async def test_who_sends_too_fast_is_read_no_faster():
    """On a WebSocket reading pauses, on polling `ok` comes late; all that was sent arrives, in order."""
    some = limits(bytes_per_s=100_000, packets_per_s=0, max_payload_bytes=10_000, attachments=0)
    async with wired(limits=some) as wire:
        heard: list[int] = []
        wire.io.handle("n", lambda socket, n, fill: heard.append(n))
        before, spoken = breaches("bytes_per_s"), await wire.joined()
        fill = "x" * 9_000
        for number in range(
            90
        ):  # 810 kB, of which 400 kB may come at once; 160 kB are read at a time
            spoken.say(f'42["n",{number},"{fill}"]')
        await until(lambda: breaches("bytes_per_s") > before)
        assert len(heard) < 90
        session = next(iter(wire.io._sessions.values()))
        session._credit += 1_000_000  # or the test would take 4 s
        await until(lambda: len(heard) == 90)
        assert heard == list(range(90))
        client = await wire.polling()
        await client.join()
        wire.io.find(client.sid)._credit = 0  # as if it had sent the burst already
        wire.io.find(client.sid)._refilled_at = asyncio.get_running_loop().time()
        posted = spawn(client.post(f'42["n",90,"{fill}"]'), name="post")
        await until(lambda: len(heard) == 91)
        assert not posted.done()
        assert (await posted).body == b"ok"


# ── CORS, Node's way ──
async def test_foreign_pages_may_be_served_without_being_readable():
    """`Cors(refuse=False)`: as in Node nothing is refused, and only listed origins may read."""
    async with wired(cors=Cors(origins=["https://app.example"], refuse=False)) as wire:
        foreign = b"Origin: https://evil.example\r\n"
        answer = await opened(wire, foreign)
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers
        assert statuses(await upgraded(wire, headers=foreign)) == [101]


def test_cors_is_given_once():
    """Both the short and the long form would leave open which one counts."""
    with pytest.raises(UsageError, match="allowed_origins"):
        Server(cors=Cors(), allowed_origins=["https://app.example"])
