"""What happens in the lines of the captures: a story is a run of them on one server."""

import base64
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from clarion.errors import ConnectRefused
from clarion.realtime.client_files import ClientFiles
from tests.conformance.socketio.exchanges.stage import LINES, Stage, masked, said_by_http
from tests.support.raw_client import hang_up
from tests.support.raw_socketio import until

DIST = Path(__file__).parents[4] / "clients/node_modules/socket.io-client/dist"

Story = Callable[[Stage], Awaitable[None]]
STORIES: dict[str, tuple[Story, tuple[str, ...]]] = {}


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
