"""A server inside the test's own loop."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from clarion.clock import SystemClock
from clarion.realtime.transports import Admit, HttpServer
from clarion.settings import Limits
from clarion.telemetry import spawn


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application that greets."""
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@contextlib.asynccontextmanager
async def serving(
    app: Any = hello,
    *,
    limits: Limits | None = None,
    endpoints: Mapping[str, Admit] | None = None,
    uds: Path | None = None,
    **more: Any,
) -> AsyncIterator[HttpServer]:
    """A server that has started; it is stopped in good order at the end, or at once if the test failed."""
    server = HttpServer(
        app,
        limits=limits or Limits(),
        clock=SystemClock(),
        endpoints=endpoints,
        uds=uds,
        handle_signals=False,
        **more,
    )
    task = spawn(server.serve(), name="server under test")
    await server.started.wait()
    try:
        yield server
    except BaseException:
        server.stop(now=True)
        raise
    finally:
        server.stop()
        await task
