"""What was said in an exchange: the lines of the captures, and a server of ours that is asked the same, in one form."""

import asyncio
import base64
import gzip
import re
import zlib
from typing import Any

from clarion.realtime import Server
from clarion.realtime.handlers import no_reply
from clarion.telemetry import spawn
from tests.support.raw_client import CLOSE, STILL_OPEN, upgrade
from tests.support.raw_socketio import Heard, Polled, Spoken, Wire, until
from tests.support.vectors import lines

LINES = {line["name"]: line for line in lines("engineio-http")}
UNKNOWN = "abcdefghijklmnopqrst"
PROMPT_S = 0.15  # who has nothing more to say is silent for so long

Said = dict[str, Any]


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
