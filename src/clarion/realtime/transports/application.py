"""The server as an ASGI application: which requests are its own, and what becomes of the others.

It can be the whole application, stand in front of another one, or be mounted in one: a request is the server's if its path leads to
the Socket.IO endpoint, seen from wherever the server was mounted.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

from clarion.realtime.transports.asgi import Begin, Receive, Scope, Send, refuse, serve_websocket
from clarion.realtime.transports.head import Refused, Upgrade
from clarion.settings import Limits
from clarion.telemetry import get_logger

log = get_logger(__name__)

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""Any ASGI application."""


class Door(Protocol):
    """The server, as its application needs it."""

    path: str
    limits: Limits

    async def serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of the endpoint."""
        ...

    def begin(self, upgrade: Upgrade) -> Begin | Awaitable[Begin]:
        """Decide about a WebSocket; raises `Refused`."""
        ...

    async def close(self) -> None:
        """End all sessions."""
        ...


class Application:
    """ASGI application of scopes `http`, `websocket` and `lifespan`.

    Args:
        server: Whom the requests under `server.path` are for.
        other: Whom all others are for, its lifespan included; None: they get 404.
    """

    def __init__(self, server: Door, other: AsgiApp | None = None) -> None:
        self._server, self._other = server, other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        kind = scope["type"]
        if kind == "lifespan":
            await _Lifespan(self._server.close, self._other)(scope, receive, send)
        elif not leads_to(self._server.path, scope):
            await (self._other or _nothing_here)(scope, receive, send)
        elif kind == "http":
            # Optional in ASGI, and taken for granted by us.
            scope = {"scheme": "http", "client": None, **scope}
            await self._server.serve_http(scope, receive, send)
        elif kind == "websocket":
            await serve_websocket(scope, receive, send, self._server.begin, self._server.limits)


def leads_to(path: str, scope: Scope) -> bool:
    """Whether a request is for the endpoint at `path`.

    `root_path` is where the application was mounted, by a framework or by a proxy that took it off; `path` begins with it, except
    with old frameworks. Both `mount("/socket.io", …)` and `mount("/anywhere", …)`, which makes `/anywhere/socket.io/`, lead here.
    """
    root: str = scope.get("root_path") or ""
    whole: str = scope["path"]
    if not root:
        return whole.startswith(path)
    if not whole.startswith(root):
        whole = root + whole
    # It may stand before the mount's end, behind it, or across.
    return whole.find(path, max(0, len(root) - len(path)), len(root) + len(path)) >= 0


async def _nothing_here(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await refuse(scope, send, Refused(404, "no WebSocket here"))
    else:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class _Lifespan:
    """Start and stop with the process: sessions end before what `other` made for itself goes."""

    def __init__(self, close: Callable[[], Awaitable[None]], other: AsgiApp | None) -> None:
        self._close, self._other = close, other
        self._heard: MutableMapping[str, Any] | None = None
        self._is_answered = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the one lifespan scope of a process."""

        async def hear() -> MutableMapping[str, Any]:
            message = self._heard = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._close()
            return message

        async def answer(message: MutableMapping[str, Any]) -> None:
            self._is_answered = True
            await send(message)

        if self._other is not None:
            try:
                await self._other(scope, hear, answer)
            except Exception as exc:
                if self._is_answered:
                    raise
                log.debug("the application behind has no lifespan", why=str(exc))
            if self._is_answered:
                return
        message = self._heard or await hear()
        while message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
            message = await hear()
        await send({"type": "lifespan.shutdown.complete"})
