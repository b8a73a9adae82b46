"""A client without manners: requests and WebSockets of ASGI against a server, in virtual time, by a list of moves."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

from clarion.errors import ClarionError
from clarion.realtime import Server
from clarion.telemetry import spawn
from tests.support.memory_transport import make_server, settle

Move = tuple[Any, ...]


class Request:
    """A request that is under way: what the server asks for and says."""

    def __init__(self, io: Server, method: str, query: str, headers: Sequence[Any] = ()) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.said: list[dict[str, Any]] = []
        scope = {
            "type": "http", "method": method, "path": io.path, "raw_path": io.path.encode(), "query_string": query.encode(),
            "headers": [(b"host", b"x"), *headers], "client": ("192.0.2.1", 1), "scheme": "http", "http_version": "1.1",
        }  # fmt: skip
        self.was_given_up = False
        self.task = spawn(io.asgi(scope, self.inbox.get, self._hear), name=f"fuzz {method}")

    async def _hear(self, message: Any) -> None:
        self.said.append(message)

    def body(self, data: bytes, *, more: bool = False) -> None:
        """Send a part of the body."""
        self.inbox.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def give_up(self) -> None:
        """Hang up."""
        self.was_given_up = True
        self.inbox.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        """Of the answer; 0 while there is none."""
        return self.said[0]["status"] if self.said else 0

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.said).decode()


class Socket:
    """A WebSocket."""

    def __init__(self, io: Server, query: str) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.said: list[dict[str, Any]] = []
        self.is_gone = False
        self.inbox.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket", "path": io.path, "raw_path": io.path.encode(), "query_string": query.encode(),
            "headers": [(b"host", b"x")], "client": ("192.0.2.1", 1), "scheme": "ws", "extensions": {"websocket.http.response": {}},
        }  # fmt: skip
        self.task = spawn(io.asgi(scope, self.inbox.get, self._hear), name="fuzz websocket")

    async def _hear(self, message: Any) -> None:
        self.said.append(message)
        if message["type"] in {"websocket.close", "websocket.http.response.body"}:
            self.hang_up()

    def say(self, message: str | bytes) -> None:
        if not self.is_gone:
            kind = "text" if isinstance(message, str) else "bytes"
            self.inbox.put_nowait({"type": "websocket.receive", kind: message})

    def hang_up(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})


class Caller:
    """Makes the moves, and knows what must hold afterwards."""

    def __init__(self, **more: Any) -> None:
        self.io = make_server(**more)
        self.requests: list[Request] = []
        self.sockets: list[Socket] = []
        self.sids: list[str] = []
        self._set_up()

    def _set_up(self) -> None:
        io = self.io
        io.of("/b")

        @io.handle("q")
        async def later(socket: Any, *args: Any) -> Any:
            await asyncio.sleep(0.01)
            return args

        @io.handle("join")
        def join(socket: Any, room: str) -> None:
            socket.join(room)

        @io.handle("tell")
        def tell(socket: Any, *args: Any) -> None:
            socket.broadcast.emit("told", *args)

        @io.handle("out")
        def out(socket: Any, how: Any = None) -> None:
            socket.disconnect(close=bool(how))

        @io.of("/b").use
        async def wait(socket: Any) -> None:
            await asyncio.sleep(0.05)

    async def play(self, moves: Sequence[Move]) -> None:
        """Make the moves, hang up everywhere, let time pass; nothing may be left."""
        for move, *arguments in moves:
            await getattr(self, move)(*arguments)
            assert not [
                each for each in self.requests if each.task.done() and each.task.exception()
            ]
        await self._leave()

    async def _leave(self) -> None:
        for request in self.requests:
            request.give_up()
        for socket in self.sockets:
            socket.hang_up()
        await asyncio.sleep(200)  # every deadline has passed
        for request in self.requests:
            assert request.task.done()
            starts = [each for each in request.said if each["type"] == "http.response.start"]
            assert len(starts) <= 1
            assert request.status in {0, 200, 204, 400, 403, 405, 413, 429, 503}
            assert starts or request.was_given_up
        assert all(socket.task.done() for socket in self.sockets)
        io = self.io
        assert io.sessions == 0
        assert len(io.wheel) == 0
        for name in ("/", "/b"):
            assert io.of(name).sockets == {}
            assert io.of(name).rooms == {}
        assert len(asyncio.all_tasks()) == 1

    # ── moves ──
    async def open(self) -> None:
        """A session on polling."""
        request = self._request("GET", "EIO=4&transport=polling")
        await settle()
        if request.status == 200:
            self.sids.append(json.loads(request.text[1:])["sid"])

    async def get(self, which: int) -> None:
        """A poll."""
        self._request("GET", self._polling(which))
        await settle()

    async def post(self, which: int, body: bytes) -> None:
        """A payload."""
        self._request("POST", self._polling(which)).body(body)
        await settle()

    async def half(self, which: int, body: bytes) -> None:
        """The beginning of a payload."""
        self._request("POST", self._polling(which)).body(body, more=True)
        await settle()

    async def method(self, which: int, method: str) -> None:
        """A request of an odd method."""
        self._request(method, self._polling(which)).body(b"")
        await settle()

    async def give_up(self, which: int) -> None:
        """Hang up a request."""
        if self.requests:
            self.requests[which % len(self.requests)].give_up()
            await settle()

    async def probe(self, which: int) -> None:
        """A WebSocket with the sid of a session."""
        sid = self.sids[which % len(self.sids)] if self.sids else "unknown"
        self.sockets.append(Socket(self.io, f"EIO=4&transport=websocket&sid={sid}"))
        await settle()

    async def websocket(self) -> None:
        """A WebSocket of its own."""
        self.sockets.append(Socket(self.io, "EIO=4&transport=websocket"))
        await settle()

    async def say(self, which: int, message: str | bytes) -> None:
        """A message by a WebSocket."""
        if self.sockets:
            self.sockets[which % len(self.sockets)].say(message)
            await settle()

    async def hang_up(self, which: int) -> None:
        """Leave a WebSocket."""
        if self.sockets:
            self.sockets[which % len(self.sockets)].hang_up()
            await settle()

    async def emit(self, size: int) -> None:
        """The server speaks to everybody."""
        self.io.emit("e", "." * size)
        self.io.volatile.emit("v", b"." * size)

    async def ask(self) -> None:
        """The server asks everybody."""
        for socket in list(self.io.of("/").sockets.values()):
            question = socket.emit_with_ack("question", timeout_s=5)
            spawn(_forgiving(question), name="fuzz question")

    async def put_out(self) -> None:
        """The server puts everybody out of `/`."""
        await self.io.of("/").disconnect_sockets()

    async def drain(self, which: int) -> None:
        """The server ends a session."""
        sessions = list(self.io._sessions.values())
        if sessions:
            sessions[which % len(sessions)].drain()

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        await asyncio.sleep(seconds)

    def _polling(self, which: int) -> str:
        sid = self.sids[which % len(self.sids)] if self.sids else "unknown"
        return f"EIO=4&transport=polling&sid={sid}"

    def _request(self, method: str, query: str) -> Request:
        self.requests.append(Request(self.io, method, query))
        return self.requests[-1]


async def _forgiving(question: Any) -> None:
    with contextlib.suppress(ClarionError):
        await question
