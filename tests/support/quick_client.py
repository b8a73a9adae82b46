"""A Socket.IO client for load: one namespace, either transport, everything counted, nothing done behind one's back.

It reads packets with code of its own, so that a mistake of the server's codec is not made twice. What comes is told by
callbacks in the loop's turn in which it came; what its end was is in `ended`.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.support.quick_packets import Event, pack, parse
from tests.support.quick_polling import Polled
from tests.support.quick_wire import Line, WebSocketLine, http, websocket

WAIT_S = 30.0
QUERY = "/socket.io/?EIO=4&transport="


class Client:
    """One client; `connect` first.

    Args:
        port: The server's.
        namespace: Which it joins.
        on_event: Called with each event; without it they are collected in `events`.
        answers_pings: Whether it stays alive.
    """

    def __init__(
        self,
        port: int,
        namespace: str = "/",
        *,
        on_event: "Callable[[Client, Event], None] | None" = None,
        answers_pings: bool = True,
    ) -> None:
        # Fixed at creation
        self.port, self.namespace = port, namespace
        self._prefix = "" if namespace == "/" else namespace + ","
        self.on_event, self.answers_pings = on_event, answers_pings
        # What it knows
        self.sid = self.id = ""
        self.max_payload = 0
        self.pid: str | None = None
        self.offset: str | None = None
        self.recovered = False
        self.events: list[Event] = []
        self.pings = 0
        # Changes with each connection
        self._line: WebSocketLine | None = None
        self._polled: Polled | None = None
        self._told: asyncio.Future[Any] | None = None
        self._hello: asyncio.Future[None] | None = None
        self._acks: dict[int, asyncio.Future[Event]] = {}
        self._next_ack = 0
        self._partial: tuple[str, list[bytes]] | None = None
        self._out = asyncio.Event()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    # ── beginning and end ──
    async def open(self, transport: str = "websocket") -> "Client":
        """Begin a session, without a namespace."""
        loop = asyncio.get_running_loop()
        self.ended, self._hello, self._partial = loop.create_future(), loop.create_future(), None
        self._line = self._polled = None
        if transport == "websocket":
            self._line = await websocket(self.port, QUERY + "websocket", self.take)
            self._line.ended.add_done_callback(self._ends)
            async with asyncio.timeout(WAIT_S):
                await self._hello
        else:
            self._polled = Polled(
                self, QUERY + "polling", await http(self.port), await http(self.port)
            )
            await self._polled.begin()
        return self

    async def connect(self, transport: str = "websocket", **auth: Any) -> "Client":
        """Come (back) into the namespace; `refused` raises what the server says."""
        await self.open(transport)
        await self.join(**auth)
        return self

    async def join(self, **auth: Any) -> None:
        """Ask for the namespace.

        Raises:
            NotLetIn: With what the server says.
        """
        self._told = asyncio.get_running_loop().create_future()
        self._out.clear()
        known = {"pid": self.pid, "offset": self.offset} if self.pid else {}
        told = {**{k: v for k, v in known.items() if v is not None}, **auth}
        self.say(f"40{self._prefix}{json.dumps(told) if told else ''}")
        async with asyncio.timeout(WAIT_S):
            await self._told

    async def upgrade(self) -> None:
        """Go on by WebSocket, as the official client does it: probe, let polling come to rest, `5`."""
        polled = self._polled
        assert polled is not None
        probed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hears(message: str | bytes) -> None:
            if probed.done():
                self.take(message)
            else:
                assert message == "3probe", message
                probed.set_result(None)

        line = await websocket(self.port, f"{QUERY}websocket&sid={self.sid}", hears)
        line.say("2probe")
        async with asyncio.timeout(WAIT_S):
            await probed
            await polled.rest()
        line.say("5")
        self._line, self._polled = line, None
        line.ended.add_done_callback(self._ends)
        for message in polled.outbox:
            line.say(message)
        polled.hang_up()

    @property
    def is_on_websocket(self) -> bool:
        """Whether it is not on polling now."""
        return self._line is not None

    @property
    def line(self) -> Line:
        """Its connection; on polling that of the GET."""
        if self._line is not None:
            return self._line
        assert self._polled is not None
        return self._polled.getting

    @property
    def reason(self) -> str:
        """What came with the close code; nothing on polling."""
        return "" if self._line is None else self._line.reason

    def leave(self) -> None:
        """Leave the namespace, in words."""
        self.say("41" + self._prefix)

    def close(self) -> None:
        """End the session, in words."""
        if self._line is not None:
            self._line.close()
        elif self._polled is not None:
            self._polled.end()

    def reset(self) -> None:
        """End the connections without a word."""
        if self._polled is not None:
            self._polled.posting.reset()
            self._polled.getting.reset()
        if self._line is not None:
            self._line.reset()

    async def put_out(self) -> None:
        """Return once the server has put it out of the namespace."""
        async with asyncio.timeout(WAIT_S):
            await self._out.wait()

    async def gone(self) -> int:
        """The close code, once its connections have ended."""
        async with asyncio.timeout(WAIT_S):
            code = await asyncio.shield(self.ended)
            await self.line.gone
        return code

    def _ends(self, line: "asyncio.Future[int]") -> None:
        self.end(line.result())

    def end(self, code: int) -> None:
        """The session is over."""
        if not self.ended.done():
            self.ended.set_result(code)
        for waiting in (self._told, self._hello, *self._acks.values()):
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionResetError(f"ended with {code}"))
                waiting.exception()  # who does not wait any more need not be told
        self._acks.clear()

    # ── speaking ──
    def say(self, *messages: str | bytes) -> None:
        """Send messages as they are."""
        for message in messages:
            if self._line is not None:
                self._line.say(message)
            elif self._polled is not None:
                self._polled.say(message)

    def emit(self, event: str, *args: Any) -> None:
        """Send an event."""
        self._send([event, *args], "")

    def ask(self, event: str, *args: Any) -> "asyncio.Future[Event]":
        """Send an event; the arguments of its answer."""
        id, self._next_ack = self._next_ack, self._next_ack + 1
        self._acks[id] = asyncio.get_running_loop().create_future()
        answer = self._acks[id]
        self._send([event, *args], str(id))
        return answer

    def _send(self, data: Any, id: str, kind: str = "2") -> None:
        parts: list[bytes] = []
        packed = pack(data, parts)
        head = f"{'5' if kind == '2' else '6'}{len(parts)}-" if parts else kind
        text = json.dumps(packed, separators=(",", ":"), ensure_ascii=False)
        self.say(f"4{head}{self._prefix}{id}{text}", *parts)

    # ── hearing ──
    def take(self, message: str | bytes) -> None:
        """A message came."""
        if isinstance(message, bytes):
            self._attach(message)
        elif message[0] == "4":
            self._packet(message)
        elif message[0] == "2":
            self.pings += 1
            if self.answers_pings:
                self.say("3")
        elif message[0] == "0":
            hello = json.loads(message[1:])
            self.sid, self.max_payload = hello["sid"], hello["maxPayload"]
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(None)

    def _packet(self, message: str) -> None:
        kind, rest = message[1], message[2:]
        if kind in "56":
            assert self._partial is None, "a packet between a packet and its attachments"
            self._partial = (message, [])
            return
        rest = self._own(rest)
        if kind == "2":
            self._event(rest, [])
        elif kind == "3":
            self._ack(rest, [])
        elif kind == "0":
            told = json.loads(rest)
            self.id = told["sid"]
            self.recovered = self.pid is not None and told.get("pid") == self.pid
            self.pid = told.get("pid")
            if self._told is not None and not self._told.done():
                self._told.set_result(None)
        elif kind == "1":
            self._out.set()
        elif kind == "4" and self._told is not None and not self._told.done():
            self._told.set_exception(NotLetIn(json.loads(rest)))

    def _own(self, rest: str) -> str:
        if rest[:1] == "/":
            namespace, _, rest = rest.partition(",")
            assert namespace == self.namespace, f"a packet of {namespace}"
        return rest

    def _attach(self, message: bytes) -> None:
        assert self._partial is not None, "bytes that belong to nothing"
        text, parts = self._partial
        parts.append(message)
        count, _, rest = text[2:].partition("-")
        if len(parts) == int(count):
            self._partial = None
            rest = self._own(rest)
            if text[1] == "5":
                self._event(rest, parts)
            else:
                self._ack(rest, parts)

    def _event(self, rest: str, parts: list[bytes]) -> None:
        id, data = parse(rest, parts)
        if id:
            self._send(data[1:], id, "3")  # a question: its answer is what was asked
            return
        if self.pid is not None and isinstance(data[-1], str):
            self.offset = data.pop()
        if self.on_event is not None:
            self.on_event(self, data)
        else:
            self.events.append(data)

    def _ack(self, rest: str, parts: list[bytes]) -> None:
        id, data = parse(rest, parts)
        waiting = self._acks.pop(int(id))  # KeyError: answered twice
        if not waiting.done():
            waiting.set_result(data)


class NotLetIn(Exception):
    """A CONNECT_ERROR; `told` is its data."""

    def __init__(self, told: Any) -> None:
        super().__init__(str(told))
        self.told = told
