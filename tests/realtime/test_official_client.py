"""The official JavaScript client and python-socketio's, unmodified: on both transports, on our port and on foreign servers, and over a restart."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clarion.errors import AckTimeout, Forbidden
from clarion.protocol.codes import CloseCode
from clarion.realtime import Server, Socket
from clarion.settings import Limits, Realtime
from tests.realtime.official.server import set_up
from tests.support.asgi_servers import serving_on
from tests.support.official import TRANSPORTS, official, what_works
from tests.support.raw_socketio import wired

HERE = Path(__file__).parent / "official"
ROOT = Path(__file__).parents[2]


class Process:
    """The server, which keeps its port when it is started again."""

    port = 0

    async def start(self) -> None:
        arguments = [str(HERE / "server.py"), str(self.port)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.port = int(await asyncio.wait_for(self._process.stdout.readline(), 30))

    async def end(self, how: signal.Signals) -> int:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        return await asyncio.wait_for(self._process.wait(), 30)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Process]:
    process = Process()
    await process.start()
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_official_client_works(transports):
    """Connecting, events and acks both ways, binary, rooms, namespaces, refusals: as against Node's server."""
    async with running() as server, official("client.mjs", server.port, transports) as facts:
        seen = {fact: value async for fact, value in facts}
    assert seen == what_works(transports)


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])
async def test_the_official_client_works_on_foreign_servers(kind, transports):
    """The same on uvicorn with its own WebSockets, and on hypercorn."""
    io = Server()
    set_up(io)
    async with serving_on(kind, io.asgi) as port, official("client.mjs", port, transports) as facts:
        seen = {fact: value async for fact, value in facts}
        await io.close()
    assert seen == what_works(transports)


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("where", ["our port", "uvicorn"])
async def test_the_python_client_works(where, transports):
    """python-socketio's client: events and acks both ways, binary, namespaces, refusals."""
    async with contextlib.AsyncExitStack() as stack:
        if where == "uvicorn":
            io = Server()
            port = await stack.enter_async_context(serving_on("uvicorn", io.asgi))
        else:
            wire = await stack.enter_async_context(wired())
            io, port = wire.io, wire.http.port
        set_up(io)
        async with official("client.py", port, transports) as it:
            seen = {fact: value async for fact, value in it}
        await io.close()
    last = transports.split(",")[-1]
    assert seen == {
        "connected": True,
        "transport": [last, last],
        "later": {"value": [1, "é😀"]},
        "asked": ["what?", [1, 2]],
        "big": True,
        "refused": "conflict",
        "admin": "root",
        "put out": True,
        "unknown namespace": "Invalid namespace",
    }


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_threaded_python_client_works_and_comes_back(transports):
    """python-socketio's other client: events, binary, and a session that ended is followed by a new one."""
    async with wired() as wire:
        set_up(wire.io)
        wire.io.handle("end my session", lambda socket: socket.end(CloseCode.DRAINING))
        async with official("client_sync.py", wire.http.port, transports) as it:
            seen = {fact: value async for fact, value in it}
    expected = {"connected": True, "echo": {"value": [1, "é😀", None]}, "big": True}
    if "websocket" in transports:
        expected["transport"] = "websocket"
        expected["comes back"] = [True, True, True]
        expected["echo again"] = {"value": 2}
    assert seen == expected


class Item(msgspec.Struct):
    name: str
    blob: bytes = b""


@pytest.mark.parametrize("transports", ["websocket", "polling,websocket"])
async def test_the_api_as_the_official_client_sees_it(transports):
    """Middlewares of events, typed arguments, partial answers, back-pressure, dynamic namespaces."""

    def more(io: Server) -> None:
        @io.on("connection")
        def connected(socket: Socket) -> None:
            @socket.use
            async def judge(event: list[Any]) -> None:
                await asyncio.sleep(0)
                if event[0] == "forbidden":
                    raise Forbidden()
                if event[0] == "change":
                    event[1] = "changed"

        io.handle("change", lambda socket, value: value)

        @io.handle("item")
        def item(socket: Socket, given: Item) -> list[int]:
            return list(given.blob)

        @io.handle("ask all")
        async def ask_all(socket: Socket) -> Any:
            try:
                return await io.timeout(0.2).emit_with_ack("q", all_args=True)
            except AckTimeout as exc:
                return {"responses": exc.responses, "missing": exc.missing}

        @io.handle("flood")
        async def flood(socket: Socket) -> str:
            for n in range(400):
                socket.emit("chunk", n, "." * 50_000)
                await socket.drained()
            return "done"

        io.of(re.compile(r"^/t-\d+$")).handle("who", lambda socket: socket.namespace)
        io.of(lambda name, auth: auth.get("key") == 1).handle(
            "who", lambda socket: socket.namespace
        )

    # 20 MB into marks of 100 KB and 200 KB: sent all at once it would close the client as too slow.
    limits = Limits(drain_s=0.1, egress_soft_bytes=100_000, egress_hard_bytes=200_000)
    async with wired(limits=limits) as wire:
        more(wire.io)
        async with official("api.mjs", wire.http.port, transports) as facts:
            seen = {fact: value async for fact, value in facts}
    seen["all"].sort()  # they come as they come
    assert seen == {
        "changed": "changed",
        "forbidden": "forbidden",
        "typed": [1, 2],
        "mistyped": [{"pointer": "/0/name", "detail": "Expected `str`, got `int`"}],
        "partial": {"responses": [[1, 2]], "missing": 1},
        "all": [[1, 2], [3]],
        "drained": ["done", 400],
        "pattern": "/t-5",
        "function": "/keyed",
        "none": "Invalid namespace",
    }


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_the_official_client_comes_back_after_a_restart(transports, how):
    """Whether the server stops in order or is killed, its clients reconnect to the next one by themselves."""
    async with running() as server, official("restart.mjs", server.port, transports) as facts:
        assert await anext(facts) == ("connect", 1)
        status = await server.end(how)
        assert status == (0 if how is signal.SIGTERM else -signal.SIGKILL)
        what, (reason, code) = await anext(facts)
        assert what == "disconnect"
        assert reason in {"transport close", "transport error"}
        if how is signal.SIGTERM and transports == "websocket":
            assert code == 3001
        await server.start()
        assert await anext(facts) == ("connect", 2)
        assert (await anext(facts))[0] == "disconnect"


async def test_the_options_of_the_official_client():
    """Each comes to what it does against Node's server: transports, namespaces, time-outs, retries, leaving and coming back."""

    def more(io: Server) -> None:
        set_up(io)
        counted: list[str] = []
        tries: list[str] = []

        @io.handle("silent")
        def silent(socket, ack):
            pass

        @io.handle("third time")
        def third_time(socket, what, ack):
            tries.append(what)
            if len(tries) == 3:
                ack(len(tries))

        io.handle(
            "shaken", lambda socket: [socket.handshake.query["a"], socket.handshake.headers["x-a"]]
        )
        io.handle("count", lambda socket, what: counted.append(what))
        io.handle("counted", lambda socket: counted)

    async with wired() as wire, wired(Realtime(transports=["polling"])) as polling:
        more(wire.io)
        more(polling.io)
        other = f"http://127.0.0.1:{polling.http.port}"
        async with official("options.mjs", wire.http.port, other) as facts:
            seen = {fact: value async for fact, value in facts}
    assert seen == {
        "upgrade: false": ["polling", 1, "polling"],
        "tryAllTransports": ["polling", 1],
        "rememberUpgrade": "websocket",
        "forceBase64": [1, 2, 3],
        "query and headers": ["é", "b"],
        "multiplex": [True, False, 3],
        "auth as a function": "root",
        "timeout": "operation has timed out",
        "compress": 5000,
        "nested binary": ["é", 2],
        "retries": [3, "y"],
        "emitted while away": ["io server disconnect", ["kept"]],
        "reconnects": ["forced close", True, "here"],
    }
