"""A Socket.IO connection to one namespace by Engine.IO's polling: all that a program needs that follows topics.

Polling goes through whatever HTTP goes through, and needs no library beyond the one for calls.
"""

import asyncio
import itertools
from typing import Any, Final

import httpx
import msgspec

from clarion.client.calls import ApiError, refused
from clarion.errors import ProtocolError
from clarion.protocol import engineio, socketio
from clarion.telemetry import spawn

NAMESPACE: Final = "/clarion"
WAITING: Final = (
    1_000  # events that nobody has taken yet: beyond that the server is not asked, but for an ack
)
PACKETS: Final = 10_000  # of one answer
ACK_S: Final = 15.0

_Kind = socketio.PacketType


class Lost(Exception):
    """The connection ended, or was never made; whoever comes back asks for what was missed."""


class _Opened(msgspec.Struct, rename="camel"):
    sid: str
    ping_interval: int
    ping_timeout: int


class Line:
    """One connection.

    Args:
        http: Calls the server, with the credential in its headers.
        path: Of the Socket.IO endpoint.
    """

    def __init__(self, http: httpx.AsyncClient, path: str = "/socket.io/") -> None:
        self._http = http
        self._path = path
        self._decoder = socketio.Decoder(socketio.DecoderLimits(members=1_000_000))
        self._ids = itertools.count()
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._events: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
        self._wanted = asyncio.Event()  # somebody waits for what the server has to say
        self._sid = ""
        self._silence_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._lost: Lost | None = None

    async def open(self) -> None:
        """Come into the namespace.

        Raises:
            ApiError: The server refuses the credential.
            Lost: There is no server, or it is not one.
        """
        for packet in await self._get(self._http.timeout.read or ACK_S):
            if packet.type is engineio.PacketType.OPEN:
                opened = msgspec.json.decode(packet.data, type=_Opened)
                self._sid = opened.sid
                self._silence_s = (opened.ping_interval + opened.ping_timeout) / 1000
        if not self._sid:
            raise Lost("the server did not open a session")
        await self._say(socketio.Packet(_Kind.CONNECT, NAMESPACE))
        while True:
            for packet in await self._get(self._silence_s):
                answer = self._decode(packet)
                if answer is None:
                    continue
                if answer.type is _Kind.CONNECT_ERROR:
                    raise _refusal(answer.data)
                if answer.type is _Kind.CONNECT:
                    self._task = spawn(self._listen(), name="client: line")
                    return

    async def request(self, command: str, payload: Any) -> Any:
        """A command, and what its ack says.

        Raises:
            ApiError: The server refused it.
            Lost: No answer came.
        """
        if self._lost is not None:
            raise self._lost
        id = next(self._ids)
        answer = self._acks[id] = asyncio.get_running_loop().create_future()
        self._wanted.set()
        try:
            await self._say(socketio.Packet(_Kind.EVENT, NAMESPACE, [command, payload], id))
            async with asyncio.timeout(ACK_S):
                value = await answer
        except TimeoutError as exc:
            raise Lost(f"the server did not answer {command}") from exc
        finally:
            del self._acks[id]
        if isinstance(value, dict) and "error" in value:
            raise _refusal(value["error"])
        return value

    async def event(self) -> tuple[str, Any]:
        """The next event, and what it carries.

        Raises:
            Lost: There is none any more.
        """
        is_over = self._lost is not None and self._events.empty()
        found = None if is_over else await self._events.get()
        self._wanted.set()
        if found is None:
            raise self._lost or Lost("the connection was closed")
        return found

    async def close(self) -> None:
        """Leave; who waits for an event hears of it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._events.put_nowait(None)
        if self._sid and self._lost is None:
            try:
                await self._post("1")
            except Lost:
                return  # it has noticed by itself

    async def _listen(self) -> None:
        try:
            while True:
                while self._events.qsize() >= WAITING and not self._acks:
                    self._wanted.clear()
                    await self._wanted.wait()
                for packet in await self._get(self._silence_s):
                    await self._take(packet)
        except Lost as exc:
            self._lost = exc
            for answer in self._acks.values():
                if not answer.done():
                    answer.set_exception(exc)
            self._events.put_nowait(None)

    async def _take(self, packet: engineio.Packet) -> None:
        if packet.type is engineio.PacketType.PING:
            await self._post("3")
            return
        if packet.type is engineio.PacketType.CLOSE:
            raise Lost("the server ended the session")
        found = self._decode(packet)
        if found is None:
            return
        if found.type is _Kind.DISCONNECT:
            raise Lost("the server put us out")
        if found.type is _Kind.ACK:
            answer = self._acks.get(-1 if found.id is None else found.id)
            if answer is not None and not answer.done():
                answer.set_result(found.data[0] if found.data else None)
        if found.type is _Kind.EVENT and len(found.data) > 1:
            self._events.put_nowait((str(found.data[0]), found.data[1]))

    def _decode(self, packet: engineio.Packet) -> socketio.Packet | None:
        if packet.type is not engineio.PacketType.MESSAGE:
            return None
        try:
            return self._decoder.add(packet.data)
        except ProtocolError as exc:
            raise Lost(f"not a packet: {exc.message}") from exc

    async def _get(self, timeout_s: float) -> list[engineio.Packet]:
        body = await self._call("GET", None, timeout_s)
        try:
            return list(engineio.decode_payload(body, PACKETS))
        except ProtocolError as exc:
            raise Lost(f"not a payload: {exc.message}") from exc

    async def _say(self, packet: socketio.Packet) -> None:
        [text] = socketio.encode(packet)
        assert isinstance(text, str), "commands are JSON: they have no attachments"
        await self._post(f"4{text}")

    async def _post(self, message: str) -> None:
        await self._call("POST", message, ACK_S)

    async def _call(self, method: str, content: str | None, timeout_s: float) -> bytes:
        asked = {"EIO": "4", "transport": "polling"} | ({"sid": self._sid} if self._sid else {})
        try:
            answer = await self._http.request(
                method, self._path, params=asked, content=content, timeout=timeout_s
            )
        except Exception as exc:
            # Of a client that is closed meanwhile each layer says in its own way that it is.
            if not isinstance(exc, httpx.HTTPError) and not self._http.is_closed:
                raise
            raise Lost(str(exc) or type(exc).__name__) from exc
        if answer.status_code != 200:
            raise Lost(f"the server answered {answer.status_code}")
        return answer.content


def _refusal(data: Any) -> ApiError:
    known = data.get("data", data) if isinstance(data, dict) else {"message": str(data)}
    return refused(known)
