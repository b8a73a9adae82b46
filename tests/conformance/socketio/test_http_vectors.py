"""Every captured exchange of the official server over HTTP and WebSocket, replayed against ours over real connections.

A story is a run of lines of `engineio-http.jsonl` on one server. What is said must be what was captured: status, the headers that
matter, body, messages, close. Where we differ on purpose DIFFERENT says how and why, and nothing else may differ there either.
"""

import asyncio
import base64
import gzip
import re
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from clarion.errors import ConnectRefused
from clarion.realtime import Server
from clarion.realtime.client_files import ClientFiles
from clarion.realtime.cookie import Cookie
from clarion.realtime.handlers import no_reply
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.raw_client import CLOSE, STILL_OPEN, hang_up, upgrade
from tests.support.raw_socketio import Heard, Polled, Spoken, Wire, until, wired
from tests.support.vectors import lines

LINES = {line["name"]: line for line in lines("engineio-http")}
DIST = Path(__file__).parents[3] / "clients/node_modules/socket.io-client/dist"
UNKNOWN = "abcdefghijklmnopqrst"
NO_CODE = {"close": 1005, "reason": ""}
PROMPT_S = 0.15  # who has nothing more to say is silent for so long

Said = dict[str, Any]
Story = Callable[["Stage"], Awaitable[None]]
STORIES: dict[str, tuple[Story, tuple[str, ...]]] = {}


# ── the stage ──
def set_up(io: Server, errors: list[Any]) -> None:
    """The application behind the captures; it keeps the engine's errors."""

    io.engine.on("connection_error", lambda error: errors.append(error))

    @io.handle("echo")
    def echo(socket: Any, value: Any, ack: Any) -> None:
        if ack is no_reply:
            socket.emit("echo", value)
        else:
            ack(value)


class Stage:
    """One server and what a story has done with it; `says` keeps what was said for a line."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.said = wire, dict[str, Said]()
        self.errors: list[Any] = []
        set_up(wire.io, self.errors)
        self.client: Polled | None = None

    async def session(self) -> Polled:
        """A session on polling, which the next lines mean by `<sid>`."""
        self.client = await self.wire.polling()
        return self.client

    async def held(self) -> "asyncio.Task[Heard]":
        """A GET that the server holds."""
        assert self.client is not None
        task = spawn(self.client.get(), name="held poll")
        session = self.wire.io.find(self.client.sid)
        await until(lambda: session.transport.is_writable)
        return task

    async def ask(self, *names: str) -> None:
        """Send the requests of these lines, one after the other."""
        for name in names:
            self.errors.clear()
            request = LINES[name]["request"]
            sid = self.client.sid if self.client is not None else UNKNOWN
            path = request["path"].replace("<sid>", sid).encode()
            if request.get("upgrade"):
                extra = request.get("extra_headers", "").encode()
                heard = await self.wire.raw.ask(upgrade(extra, path=path), PROMPT_S)
                self.said[name] = said_by_upgrade(heard)
            else:
                headers = request.get("headers", {}).items()
                head = "".join(f"{key}: {value}\r\n" for key, value in headers).encode()
                body = base64.b64decode(request.get("body_b64", ""))
                if body and request["method"] != "POST":
                    head += b"content-length: %d\r\n" % len(body)
                answer = await self.wire.ask(request["method"], path, body, head)
                self.said[name] = said_by_http(answer)
            self.said[name]["errors"] = [
                error_of(each.code, each.message, each.context) for each in self.errors
            ]

    async def websocket(self) -> Spoken:
        """A WebSocket, with the sid of the session if there is one."""
        more = b"" if self.client is None else b"&sid=" + self.client.sid.encode()
        return await self.wire.websocket(more)

    async def hears(self, client: Spoken) -> list[Any]:
        """All that a WebSocket hears until it closes or has nothing more to say."""
        heard: list[Any] = []
        while not (heard and isinstance(heard[-1], dict)):
            try:
                async with asyncio.timeout(PROMPT_S):
                    message = await client.hear()
            except TimeoutError:
                break
            heard.append(masked(message))
        return heard


def masked(message: Any) -> Any:
    """A message, or a close, as the captures show it."""
    if isinstance(message, tuple):
        return {"close": message[1] or 1005, "reason": ""}
    return re.sub(r'"sid":"[^"]*"', '"sid":"<sid>"', message)


def error_of(code: int, message: str, context: Any) -> Any:
    """A `connection_error`, without what is chance in it."""
    known = {key: value for key, value in context.items() if value is not None}
    if len(str(known.get("sid", ""))) in {20, 24}:
        known["sid"] = "<sid>"
    return code, message, known


def said_by_http(answer: Heard) -> Said:
    if answer.headers.get("content-encoding") == "gzip":
        answer.body = gzip.decompress(answer.body)
    return {
        "status": answer.status,
        "body": masked(answer.body.decode()),
        "headers": significant(answer.headers),
    }


SIGNIFICANT = (
    "access-control", "cache-control", "content-encoding", "content-type", "etag", "sec-websocket-extensions", "set-cookie", "vary",
)  # fmt: skip


def significant(headers: dict[str, Any]) -> dict[str, str]:
    """Headers that mean something to a client; lists written in one way, and without the id in a cookie."""
    return {
        name: re.sub(
            r"=[\w-]{20,24};", "=<sid>;", ", ".join(value) if isinstance(value, list) else value
        ).replace(", ", ",")
        for name, value in headers.items()
        if name.startswith(SIGNIFICANT)
    }


def inflate(data: bytes) -> bytes:
    """What was compressed in a frame (RFC 7692)."""
    return zlib.decompressobj(-15).decompress(data + b"\x00\x00\xff\xff")


def said_by_upgrade(raw: bytes) -> Said:
    """Status, headers and what stands behind the head: frames after a 101, otherwise the body."""
    answer = Heard.parse(raw.removesuffix(STILL_OPEN)) if raw else Heard(0, {}, b"")
    said: Said = {"status": answer.status, "headers": significant(answer.headers)}
    if answer.status != 101:
        return said | {"body": answer.body.decode()}
    frames, rest = [], answer.body
    while rest.startswith((b"\x81", b"\x88", b"\xc1")):
        size = rest[1]
        sent = rest[2 : 2 + size]
        data = (inflate(sent) if rest[0] & 0x40 else sent).decode()
        frames.append({"close": 1005} if rest[0] & 15 == CLOSE else masked(data))
        rest = rest[2 + size :]
    return said | {"frames": frames, "body": rest.decode("latin-1")}


def captured(line: dict[str, Any]) -> Said:
    """What the official server said, in the same form."""
    response = line.get("response")
    if response is None:
        keys = ("received", "received_on_ws", "received_on_second", "still_open", "poll")
        return {key: captured_frames(line[key]) for key in keys if key in line}
    told = [error_of(**error) for error in line.get("connection_error", [])]
    if "raw_b64" in response:
        return said_by_upgrade(base64.b64decode(response["raw_b64"])) | {"errors": told}
    if "status" not in response:
        return dict(response)
    body = (
        gzip.decompress(base64.b64decode(response["body_b64"])).decode()
        if "body" not in response
        else response["body"]
    )
    said = {
        "status": response["status"],
        "body": masked(body),
        "headers": significant(response["headers"]),
    }
    return said | {"errors": told} if "connection_error" in line else said


def captured_frames(frames: Any) -> Any:
    return (
        [masked(each) if isinstance(each, str) else each for each in frames]
        if isinstance(frames, list)
        else frames
    )


# ── stories ──
def story(*names: str) -> Callable[[Story], Story]:
    """Tell what happens in these lines."""

    def told(function: Story) -> Story:
        STORIES[names[0]] = function, names
        return function

    return told


def requests(*names: str, on_session: bool) -> None:
    """A story that only asks."""

    async def ask(stage: Stage) -> None:
        if on_session:
            await stage.session()
        await stage.ask(*names)

    story(*names)(ask)


for each in (
    "handshake", "handshake-post", "handshake-no-eio", "handshake-eio3", "handshake-eio5", "handshake-eio-abc", "no-transport",
    "bad-transport", "transport-proto", "transport-constructor", "transport-webtransport", "transport-websocket-plain",
    "unknown-sid", "sid-proto", "sid-empty", "options", "head", "put", "no-trailing-slash", "prefix-path",
    "cors-handshake", "cors-preflight", "cors-other-origin", "cors-error", "cors-list", "cors-list-miss", "cors-star",
    "ws-direct", "ws-unknown-sid", "ws-bad-transport", "ws-polling-transport", "ws-eio3", "ws-no-eio", "ws-other-path", "ws-cookie",
    "ws-deflate-offer", "ws-deflate-on", "ws-bad-origin", "ws-forbidden", "allow-request-refused", "allow-request-refused-default", "polling-disabled",
    "no-upgrades", "no-slash-config", "no-slash-config-slash",
):  # fmt: skip
    requests(each, on_session=False)


@story("client-js")
async def client_served(stage: Stage) -> None:
    stage.wire.io.client_files = ClientFiles(DIST)
    await stage.ask("client-js")
    headers = stage.said["client-js"]["headers"]
    headers["etag"] = re.sub(r'^"[0-9a-f]+"$', '"4.8.4"', headers["etag"])  # made of the content


for several in (
    ("connect-post", "connect-poll", "echo-post", "echo-poll", "binary-post", "binary-poll", "transport-mismatch", "put-existing"),
    ("post-octet", "after-octet"),
    ("too-large", "after-too-large", "post-exact-limit"),
    ("post-empty", "after-post-empty"),
    ("post-junk", "after-post-junk"),
    ("post-client-ping", "after-client-ping"),
    ("post-open-packet", "post-noop", "post-upgrade-on-polling", "post-unsolicited-pong"),
    ("sio-invalid", "after-sio-invalid"),
    ("sio-event-before-connect", "after-event-before-connect"),
    ("sio-unknown-nsp", "unknown-nsp-poll"),
    ("sio-double-connect", "after-double-connect"),
    ("sio-disconnect-prep", "sio-disconnect", "after-disconnect"),
):  # fmt: skip
    requests(*several, on_session=True)


@story("post-close", "close-pending-poll", "after-close")
async def closed_by_the_client(stage: Stage) -> None:
    await stage.session()
    held = await stage.held()
    await stage.ask("post-close")
    stage.said["close-pending-poll"] = said_by_http(await held)
    await stage.ask("after-close")


@story("double-get", "double-get-first", "after-double-get")
async def polled_twice(stage: Stage) -> None:
    await stage.session()
    held = await stage.held()
    await stage.ask("double-get")
    stage.said["double-get-first"] = said_by_http(await held)
    await stage.ask("after-double-get")


@story("double-post", "double-post-first", "after-double-post")
async def posted_twice(stage: Stage) -> None:
    client = await stage.session()
    head = b"POST " + client.target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n42"
    reader, writer = await stage.wire.raw.dial(head)
    session = stage.wire.io.find(client.sid)
    await until(lambda: session.transport.is_posting)
    await stage.ask("double-post")
    writer.write_eof()
    stage.said["double-post-first"] = {"raw": (await reader.read()).decode()}
    await hang_up(writer)
    await stage.ask("after-double-post")


@story("upgrade-ok", "poll-after-upgrade", "ws-second-upgrade")
async def upgraded(stage: Stage) -> None:
    client = await stage.session()
    await client.join()
    held = await stage.held()
    websocket = await stage.websocket()
    websocket.say("2probe")
    heard = [await websocket.hear()]
    assert (await held).body == b"6"
    websocket.say("5", '42["echo","after"]')
    stage.said["upgrade-ok"] = {"received_on_ws": [*heard, await websocket.hear()]}
    await stage.ask("poll-after-upgrade", "ws-second-upgrade")


@story("upgrade-timeout", "after-upgrade-timeout")
async def upgrade_in_no_time(stage: Stage) -> None:
    await stage.session()
    websocket = await stage.websocket()
    websocket.say("2probe")
    heard = [masked(await websocket.hear()) for _ in range(2)]
    stage.said["upgrade-timeout"] = {"received_on_ws": heard}
    await stage.ask("after-upgrade-timeout")


@story("upgrade-bad-first", "after-upgrade-bad-first")
async def upgrade_with_another_packet(stage: Stage) -> None:
    await stage.session()
    websocket = await stage.websocket()
    websocket.say("4hello")
    stage.said["upgrade-bad-first"] = {"received_on_ws": await stage.hears(websocket)}
    await stage.ask("after-upgrade-bad-first")


@story("upgrade-without-probe")
async def upgrade_without_a_probe(stage: Stage) -> None:
    await stage.session()
    websocket = await stage.websocket()
    websocket.say("5", "40")
    stage.said["upgrade-without-probe"] = {"received_on_ws": await stage.hears(websocket)}


@story("upgrade-concurrent")
async def two_upgrades(stage: Stage) -> None:
    await stage.session()
    first = await stage.websocket()
    first.say("2probe")
    heard = [await first.hear()]
    second = await stage.websocket()
    on_second = await stage.hears(second)
    stage.said["upgrade-concurrent"] = {"received_on_ws": heard, "received_on_second": on_second}


SPOKEN = tuple(name for name, line in LINES.items() if "sent" in line)
for each in SPOKEN:

    @story(each)
    async def spoken(stage: Stage, name: str = each) -> None:
        websocket = await stage.websocket()
        for sent in LINES[name]["sent"]:
            is_binary = isinstance(sent, dict)
            websocket.say(base64.b64decode(sent["binary_b64"]) if is_binary else sent)
        heard = await stage.hears(websocket)
        is_open = not isinstance(heard[-1], dict)
        stage.said[name] = {"received": heard, "still_open": is_open}


@story("http-compression")
async def compressed(stage: Stage) -> None:
    await (await stage.session()).post("40")
    stage.wire.io.emit("big", "x" * 3_000)
    await stage.ask("http-compression")


@story("heartbeat-no-pong")
async def no_pong(stage: Stage) -> None:
    websocket = await stage.websocket()
    websocket.say("40")
    heard = [masked(await websocket.hear()) for _ in range(4)]
    stage.said["heartbeat-no-pong"] = {"received": heard}


@story("connect-timeout")
async def no_connect(stage: Stage) -> None:
    websocket = await stage.websocket()
    heard = [masked(await websocket.hear()) for _ in range(3)]
    stage.said["connect-timeout"] = {"received": heard}


@story("server-close")
async def server_closes(stage: Stage) -> None:
    websocket = await stage.websocket()
    websocket.say("40")
    assert (await websocket.hear()).startswith("0{")
    assert (await websocket.hear()).startswith("40{")
    await (await stage.session()).join()
    held = await stage.held()
    await stage.wire.io.close()
    answer = await held
    stage.said["server-close"] = {
        "received": await stage.hears(websocket),
        "poll": {"status": answer.status, "body": answer.body.decode()},
    }


@story("disconnect-close")
async def put_out(stage: Stage) -> None:
    stage.wire.io.on("connection", lambda socket: socket.disconnect(close=True))
    websocket = await stage.websocket()
    await websocket.hear()
    websocket.say("40")
    stage.said["disconnect-close"] = {"received": await stage.hears(websocket)}


@story("middleware-error")
async def refused_by_a_middleware(stage: Stage) -> None:
    def refuse(_: Any) -> None:
        raise ConnectRefused("no", data={"code": 1})

    stage.wire.io.use(refuse)
    websocket = await stage.websocket()
    await websocket.hear()
    websocket.say("40")
    heard = await stage.hears(websocket)
    is_open = not isinstance(heard[-1], dict)
    stage.said["middleware-error"] = {"received": heard, "still_open": is_open}


# ── what each story's server is like ──
SMALL = Limits(max_payload_bytes=100, drain_s=0.1, close_s=1.0)
USUAL = Limits(drain_s=0.1, close_s=1.0)
SMALL_ONES = {"too-large"}
QUICK = Realtime(ping_interval_s=0.2, ping_timeout_s=0.15, connect_timeout_s=0.3)
ORIGINS = {
    "cors-list": ["https://a.example", "https://b.example"],
    "cors-list-miss": ["https://a.example", "https://b.example"],
    "cors-star": ["*"],
    "allow-request-refused": ["*"],
}


SETTINGS = {
    "heartbeat-no-pong": QUICK,
    "connect-timeout": QUICK,
    "upgrade-timeout": Realtime(upgrade_timeout_s=0.3),
    "polling-disabled": Realtime(transports=["websocket"]),
    "no-upgrades": Realtime(allow_upgrades=False),
    "ws-deflate-on": Realtime(deflate=True, deflate_threshold_bytes=1),
    "no-slash-config": Realtime(add_trailing_slash=False),
    "no-slash-config-slash": Realtime(add_trailing_slash=False),
}


def refuse(request: Any) -> bool:
    if request.header(b"x-no"):
        raise ConnectRefused("go away")
    return False


def server_of(name: str) -> dict[str, Any]:
    more: dict[str, Any] = {"bare_errors": True, "settings": SETTINGS.get(name)}
    if name.startswith("cors-") or name in {"ws-cookie", "allow-request-refused"}:
        more["allowed_origins"] = ORIGINS.get(name, ["https://example.com"])
    if name in {"cors-list", "cors-list-miss"}:
        more["cookie"] = Cookie(
            name="my", path="/x", http_only=False, same_site="strict", max_age_s=86_400
        )
    elif more.get("allowed_origins") == ["https://example.com"]:
        more["cookie"] = True
    if "forbidden" in name or "allow-request" in name:
        more["allow_request"] = refuse
    more["limits"] = (
        SMALL
        if any('"maxPayload":100}' in str(LINES[each]) for each in STORIES[name][1])
        or name in SMALL_ONES
        else USUAL
    )
    return more


# ── where we differ ──
HELLO = '0{"sid":"<sid>","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}'
ERROR = {"content-type": "text/html"}
BAD_BODY = {"status": 400, "headers": {}, "body": ""}, "a body that breaks the rules is no success"
ONE_NOTICE = {"body": "1"}, "`1` alone says it: a poll that is answered anyway needs no noop"
BEFORE_101 = "refused before the 101: an answer that HTTP clients understand"


def before_101(message: str, **more: Any) -> tuple[Said, str]:
    return {"status": 400, "headers": ERROR, "body": message, "frames": None, **more}, BEFORE_101


def foreign(origin: str) -> tuple[Said, str]:
    errors = [(4, "Forbidden", {"name": "FOREIGN_ORIGIN", "origin": origin})]
    body = '{"code":4,"message":"Forbidden"}'
    said = {"status": 403, "headers": {}, "body": body, "errors": errors}
    return said, "foreign pages are refused; CORS alone refuses nothing"


DIFFERENT: dict[str, tuple[Said, str]] = {
    "put-existing": ({"status": 405}, "500 is for mistakes of ours; `Allow` says what is offered"),
    "post-empty": BAD_BODY,
    "post-junk": BAD_BODY,
    "after-sio-invalid": ONE_NOTICE,
    "after-event-before-connect": ONE_NOTICE,
    "after-double-connect": (
        {"body": '40{"sid":"<sid>"}\x1e1'},
        "one of the two sockets would be nobody's: the second CONNECT closes",
    ),
    "cors-other-origin": foreign("https://evil.example"),
    "cors-list-miss": foreign("https://c.example"),
    "ws-deflate-on": (
        {
            "headers": {
                "sec-websocket-extensions": "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
        },
        "each message by itself: nothing is kept for a connection, and a broadcast is compressed once",
    ),
    "ws-polling-transport": before_101(
        "Bad request", errors=[(3, "Bad request", {"name": "TRANSPORT_HANDSHAKE_ERROR"})]
    ),
    "ws-eio3": before_101("Unsupported protocol version"),
    "ws-no-eio": before_101("Unsupported protocol version"),
    "ws-bad-origin": ({"body": "bad request"}, "the refusal has a body"),
    "ws-forbidden": ({"status": 403}, "what it is called in HTTP, on either transport"),
    "allow-request-refused": ({"headers": {}}, "who names no origin may read every answer"),
    "ws-other-path": (
        {"status": 404, "body": "no WebSocket here"},
        "an answer at once, where Node is silent for a second and closes",
    ),
    "ws-cookie": ({"headers": {}}, "CORS means nothing to a WebSocket"),
    "middleware-error": (
        {
            "received": [
                '44{"message":"no","data":{"code":"connect_refused","message":"no","data":{"code":1}}}'
            ]
        },
        "`data` always has `code` and `message`; facts of the application stand beside them",
    ),
    "ws-close-packet": (
        {"received": [HELLO, NO_CODE], "still_open": False},
        "nothing can come after `1`: closed at once",
    ),
    "ws-disconnect-then-event": (
        {"received": [HELLO, '40{"sid":"<sid>"}'], "still_open": True},
        "it was sent in good faith, before the client knew",
    ),
}
# Close codes say why; Node sends none.
CODES = {"connect-timeout": 3502, "server-close": 3001, "disconnect-close": 1000}
# Ours besides, on answers that Node leaves to chance: no cache may keep them, and a body says what it is.
MORE_HEADERS = {"cache-control", "content-type", "access-control-max-age", "vary"}


def expected(name: str) -> Said:
    theirs = captured(LINES[name]) | DIFFERENT.get(name, ({}, ""))[0]
    if name in CODES:
        theirs["received"][-1] = {"close": CODES[name], "reason": ""}
    return {key: value for key, value in theirs.items() if value is not None}


def is_same(said: Said, wanted: Said) -> bool:
    """Whether all that was wanted was said, and no more than a header."""
    ours, theirs = dict(said.pop("headers", {})), dict(wanted.pop("headers", {}))
    more = {key: ours.pop(key) for key in ours.keys() - theirs.keys()}
    return said == wanted and ours == theirs and more.keys() <= MORE_HEADERS


async def told(name: str) -> dict[str, Said]:
    """What was said in a story, by line."""
    tell, names = STORIES[name]
    async with wired(**server_of(name)) as wire:
        stage = Stage(wire)
        await tell(stage)
    assert stage.said.keys() == set(names)
    return stage.said


async def all_told() -> dict[str, dict[str, Said] | BaseException]:
    """Stories mostly wait, so that many are told at once."""
    turn = asyncio.Semaphore(16)

    async def one(name: str) -> dict[str, Said]:
        async with turn:
            return await told(name)

    outcomes = await asyncio.gather(*(one(name) for name in STORIES), return_exceptions=True)
    return dict(zip(STORIES, outcomes, strict=True))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Said] | BaseException]:
    return asyncio.run(all_told())


@pytest.mark.parametrize("name", STORIES)
def test_story(outcomes: dict[str, dict[str, Said] | BaseException], name: str) -> None:
    """What is said is what was captured, line by line; or what DIFFERENT says, which then is not what was captured."""
    outcome = outcomes[name]
    if isinstance(outcome, BaseException):
        raise outcome
    for line, said in outcome.items():
        wanted = expected(line)
        if line in DIFFERENT or line in CODES:
            assert not is_same(dict(said), captured(LINES[line])), f"{line} is not different"
        assert is_same(dict(said), dict(wanted)), f"{line}\n{said}\n{wanted}"


def test_every_line_is_replayed() -> None:
    """Each line of the file is in one story; no name is made up."""
    replayed = [line for _, names in STORIES.values() for line in names]
    assert sorted(replayed) == sorted(LINES)
    assert {*DIFFERENT, *CODES} <= set(replayed)
