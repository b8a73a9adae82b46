"""The real-time server's front on the simulated network: polling through its real ASGI application, WebSockets as a transport in memory.

A connection carries JSON values, one a line. The first is the request, `{method, query, body}` or `{upgrade, query}`; a poll is
answered by `{status, body}`, a WebSocket carries `{text}` and `{bytes}` (base64) both ways, at the end `{close}`.
"""

import asyncio
import contextlib
from base64 import b64decode, b64encode
from typing import Any, Final

from clarion.protocol.engineio import Transport as Kind
from clarion.realtime import Server
from clarion.realtime.transports import Refused, Upgrade
from clarion.realtime.transports.base import Prepared, Session
from clarion.telemetry import spawn
from tests.simulation.wire import Wire
from tests.support.simulation import SimLoop

PATH = "/socket.io/"
FULL = 0.05  # of the writes fill the connection's buffer …
FULL_S = 0.5  # … for so long at most
HEAD_S = 10.0  # for the request, as `limits.head_s`
SILENCE_S = 3600.0  # the server finds the dead by its own heartbeat


class MemorySocket:
    """A WebSocket of a session, as `transports.base.Transport`; its buffer is full now and then."""

    kind: Final = Kind.WEBSOCKET
    direct = None

    def __init__(self, wire: Wire, loop: SimLoop) -> None:
        self._wire, self._loop = wire, loop
        self.is_writable = True
        self.session: Session | None = None

    def write(self, item: Prepared, /) -> None:
        """Send one."""
        for message in item.messages:
            self._wire.send(packed(message))
        if self._loop.rng.random() < FULL:
            self.is_writable = False
            if self.session is not None:
                self.session.full(self)
            self._loop.call_later(self._loop.rng.uniform(0, FULL_S), self._resume)

    def write_many(self, items: list[Prepared], /) -> int:
        """Send several, or the first of them."""
        taken = self._loop.rng.randint(1, len(items))
        for item in items[:taken]:
            self.write(item)
        return taken

    def buffered(self) -> int:
        """What a full buffer holds."""
        return 0 if self.is_writable else 1000

    def throttle(self, seconds: float) -> None:
        """Nobody sends that much here."""

    def close(self, code: int | None, text: str) -> None:
        """Say goodbye."""
        self._wire.send({"close": code})
        self._wire.close()

    def _resume(self) -> None:
        self.is_writable = True
        if self.session is not None:
            self.session.writable(self)


class Front:
    """Serves the connections of one host."""

    def __init__(self, server: Server, loop: SimLoop) -> None:
        self._server, self._loop = server, loop
        self._tasks: list[asyncio.Task[None]] = []

    def accept(self, wire: Wire) -> None:
        """Serve a connection."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(spawn(self._serve(wire), name="connection"))

    @property
    def connections(self) -> int:
        """How many are open."""
        return sum(not task.done() for task in self._tasks)

    async def _serve(self, wire: Wire) -> None:
        try:
            request = await wire.receive(HEAD_S)
            await (self._websocket if "upgrade" in request else self._poll)(wire, request)
        except OSError:
            pass
        finally:
            wire.close()

    async def _poll(self, wire: Wire, request: dict[str, Any]) -> None:
        body: str = request["body"]
        cut = self._loop.rng.randint(0, len(body))
        parts = [(body[:cut].encode(), True), (body[cut:].encode(), False)]
        answer: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            if parts:
                part, is_more = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": is_more}
            with contextlib.suppress(OSError):
                await wire.receive(SILENCE_S)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
            else:
                wire.send({**answer, "body": message["body"].decode()})

        scope = {
            "type": "http",
            "scheme": "http",
            "method": request["method"],
            "path": PATH,
            "query_string": request["query"].encode(),
            "headers": [],
            "client": ("client", 0),
        }
        await self._server.asgi(scope, receive, send)

    async def _websocket(self, wire: Wire, request: dict[str, Any]) -> None:
        target = f"{PATH}?{request['query']}".encode()
        try:
            begin = self._server.begin(Upgrade(target, [], ("client", 0), is_secure=False))
        except Refused:
            return
        assert callable(begin), "nobody is asked here"
        socket = MemorySocket(wire, self._loop)
        session = begin(socket)
        if session is None:
            return
        socket.session = session
        try:
            while True:
                session.receive(unpacked(await wire.receive(SILENCE_S)), socket)
        finally:
            socket.session = None
            session.lost(socket)


def packed(message: str | bytes) -> dict[str, str]:
    """A WebSocket message as it travels here."""
    return {"text": message} if isinstance(message, str) else {"bytes": b64encode(message).decode()}


def unpacked(value: dict[str, Any]) -> str | bytes:
    """The same, back; raises ConnectionResetError for the end."""
    if "close" in value:
        raise ConnectionResetError
    text: str | None = value.get("text")
    return b64decode(value["bytes"]) if text is None else text
