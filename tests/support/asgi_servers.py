"""Foreign ASGI servers inside the test's own loop: uvicorn with either of its WebSocket libraries, and hypercorn."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime import Server
from clarion.realtime.transports import listen
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.raw_socketio import Wire

SERVERS = ["uvicorn", "uvicorn with wsproto", "hypercorn"]


@contextlib.asynccontextmanager
async def serving_on(kind: str, app: Any) -> AsyncIterator[int]:
    """An application on a foreign server; its port."""
    (sock,) = listen("127.0.0.1", 0)
    port = int(sock.getsockname()[1])
    start = _hypercorn if kind == "hypercorn" else _uvicorn
    async with start(app, sock, kind):
        yield port


@contextlib.asynccontextmanager
async def _uvicorn(app: Any, sock: socket.socket, kind: str) -> AsyncIterator[None]:
    ws = "wsproto" if kind.endswith("wsproto") else "auto"
    config = uvicorn.Config(
        app,
        ws=ws,
        lifespan="on",
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # What `serve` does, without its signals and its loop, which looks ten times a second whether to end.
    await server.startup(sockets=[sock])
    try:
        yield
    finally:
        if server.server_state.connections:
            await server.shutdown(sockets=[sock])
        else:  # the same without its pause for those that are still open
            server.servers[0].close()
            await server.lifespan.shutdown()


@contextlib.asynccontextmanager
async def _hypercorn(app: Any, sock: socket.socket, _kind: str) -> AsyncIterator[None]:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{sock.detach()}"]
    config.graceful_timeout = 0.2
    config.errorlog = None
    stopping, started = asyncio.Event(), asyncio.Event()

    async def told(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                started.set()

        await app(scope, receive, tell if scope["type"] == "lifespan" else send)

    serving = hypercorn.asyncio.serve(told, config, shutdown_trigger=stopping.wait)  # type: ignore[arg-type]
    task = spawn(serving, name="hypercorn")
    await started.wait()
    try:
        yield
    finally:
        stopping.set()
        await task


@contextlib.asynccontextmanager
async def wired_on(
    kind: str, settings: Realtime | None = None, limits: Limits | None = None, **more: Any
) -> AsyncIterator[Wire]:
    """As `raw_socketio.wired`, on a foreign server."""
    limits = limits or Limits(drain_s=0.1, close_s=1.0)
    io = Server(settings or Realtime(), limits, clock=SystemClock(), ids=Ids(), **more)
    async with serving_on(kind, io.asgi) as port:
        http: Any = SimpleNamespace(port=port)
        wire = Wire(io, http)
        try:
            yield wire
        finally:
            await wire.hang_up()
            await io.close()
