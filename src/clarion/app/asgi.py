"""An app on a foreign server."""

from types import TracebackType
from typing import Any, Protocol

from clarion.errors import SettingsError, Unavailable
from clarion.realtime import Server
from clarion.realtime.transports.asgi import Receive, Scope, Send


class Served(Protocol):
    """What is opened, serves, and is closed."""

    http: Any
    io: Server

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def stopping(self) -> None:
        """Let nobody new in."""


class Asgi:
    """One ASGI application of API, pages, and sessions on both transports; its lifespan opens the app and closes it."""

    def __init__(self, app: Served) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http":
            await self._app.http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app.io.asgi(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            await self._app.__aenter__()
        except (SettingsError, Unavailable) as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            self._app.stopping()
        finally:
            await self._app.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})
