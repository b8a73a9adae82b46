"""Socket.IO spoken by hand over the wire: bytes of WebSocket frames and of HTTP requests."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime import Server
from clarion.realtime.transports import HttpServer
from clarion.settings import Limits, Realtime
from tests.support.raw_client import CLOSE, TEXT, RawClient, RawWebSocket, hang_up
from tests.support.serving import serving

QUERY = b"/socket.io/?EIO=4&transport="
WAIT_S = 10.0


class Reach:
    """Ways to reach a Socket.IO server on a port."""

    def __init__(self, port: int, path: bytes = b"/socket.io/") -> None:
        self.raw = RawClient(port)
        self.path, self.query = path, path + b"?EIO=4&transport="
        self.spoken: list[Spoken] = []

    async def websocket(self, more: bytes = b"", *, headers: bytes = b"") -> "Spoken":
        """An open WebSocket; nothing was read yet."""
        socket = await self.raw.websocket(headers, path=self.query + b"websocket" + more)
        self.spoken.append(Spoken(socket))
        return self.spoken[-1]

    async def hang_up(self) -> None:
        """Leave with all WebSockets."""
        for each in self.spoken:
            await each.hang_up()

    async def joined(self, namespace: str = "") -> "Spoken":
        """A WebSocket that has joined a namespace."""
        spoken = await self.websocket()
        assert (await spoken.hear()).startswith("0{")
        spoken.say("40" + namespace)
        assert (await spoken.hear()).startswith("40")
        return spoken

    async def polling(self, more: bytes = b"") -> "Polled":
        """A session on polling."""
        answer = await self.ask("GET", self.query + b"polling" + more)
        assert answer.status == 200, answer
        return Polled(self, json.loads(answer.body[1:])["sid"])

    async def ask(
        self, method: str, target: bytes, body: bytes = b"", headers: bytes = b""
    ) -> "Heard":
        """One HTTP request on a connection of its own."""
        length = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
        head = b"%b %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b%b\r\n"
        heard = await self.raw.ask(head % (method.encode(), target, headers, length) + body, WAIT_S)
        return Heard.parse(heard)


class Wire(Reach):
    """A Socket.IO server in the test's own loop, and ways to reach it."""

    def __init__(self, io: Server, http: HttpServer) -> None:
        super().__init__(http.port)
        self.io, self.http = io, http


@dataclass
class Heard:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Heard":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for name, _, value in (line.partition(": ") for line in lines):
            before = headers.get(name.lower())
            headers[name.lower()] = value if before is None else f"{before}, {value}"
        return cls(int(first.split()[1]), headers, body)


class Spoken:
    """A WebSocket that speaks Engine.IO."""

    def __init__(self, socket: RawWebSocket) -> None:
        self.socket = socket

    def say(self, *messages: str | bytes) -> None:
        """Send messages."""
        for message in messages:
            self.socket.send(message)

    async def hear(self) -> Any:
        """The next message: text, bytes, or the close frame as (8, code), code 0 if it had none."""
        async with asyncio.timeout(WAIT_S):
            op, data = await self.socket.receive()
        if op == CLOSE:
            return CLOSE, int(data or 0)
        return data.decode() if op == TEXT else data

    async def hears_nothing_but_the_end(self) -> bool:
        """Whether the connection closes next."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            return (await self.hear())[0] == CLOSE
        return True

    async def hang_up(self) -> None:
        """Leave without a word."""
        await hang_up(self.socket.writer)


class Polled:
    """A session on polling."""

    def __init__(self, wire: Reach, sid: str) -> None:
        self.wire, self.sid = wire, sid
        self.target = wire.query + b"polling&sid=" + sid.encode()

    async def get(self) -> Heard:
        """Poll."""
        return await self.wire.ask("GET", self.target)

    async def post(
        self, body: str | bytes, headers: bytes = b"Content-Type: text/plain\r\n"
    ) -> Heard:
        """Send a payload."""
        data = body.encode() if isinstance(body, str) else body
        return await self.wire.ask("POST", self.target, data, headers)

    async def join(self) -> str:
        """Connect to `/`; returns the rest of what came."""
        assert (await self.post("40")).body == b"ok"
        return (await self.get()).body.decode()


async def until(holds: Callable[[], object]) -> None:
    """Return once something holds that no message tells of."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


@contextlib.asynccontextmanager
async def wired(
    settings: Realtime | None = None,
    limits: Limits | None = None,
    *,
    proxies: Sequence[str] = (),
    **more: Any,
) -> AsyncIterator[Wire]:
    """A Socket.IO server on a free port, behind `proxies`; `more` is for `Server`. At the end clients hang up, then it is stopped."""
    limits = limits or Limits(drain_s=0.1, close_s=1.0)
    io = Server(settings or Realtime(), limits, clock=SystemClock(), ids=Ids(), **more)
    async with serving(
        io.asgi,
        limits=limits,
        endpoints=io.endpoints,
        on_stopping=io.stop,
        trusted_proxies=proxies,
    ) as http:
        wire = Wire(io, http)
        try:
            yield wire
        finally:
            await wire.hang_up()
            await io.close()
