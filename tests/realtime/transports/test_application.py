"""The server as an ASGI application: which requests are its own, where it is mounted, and how it starts and stops with others."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from clarion.realtime.transports.application import Application, leads_to
from clarion.settings import Realtime
from tests.support.memory_transport import make_server

PATH = "/socket.io/"


@pytest.mark.parametrize(
    ("root", "path", "is_ours"),
    [
        ("", "/socket.io/", True),
        ("", "/socket.io/anything", True),  # as in Node: the path is a prefix
        ("", "/socket.io", False),
        ("", "/socket.iox/", False),
        ("", "/", False),
        ("", "/x/socket.io/", False),
        # Mounted at the endpoint's own path, anywhere else, or behind a proxy that takes a prefix off.
        ("/socket.io", "/socket.io/", True),
        ("/live", "/live/socket.io/", True),
        ("/live", "/live/", False),
        ("/live", "/live/other/socket.io/", False),
        ("/api", "/api/socket.io/", True),
        ("/api/socket.io", "/api/socket.io/", True),
        ("/api/socket.io/b", "/api/socket.io/b/", False),
        ("/a/very/long/prefix", "/a/very/long/prefix/socket.io/", True),
        ("/a", "/a/x/y", False),
        # Old frameworks take the mount's path off.
        ("/socket.io", "/", True),
        ("/live", "/socket.io/", True),
        ("/live", "/other/", False),
    ],
)
def test_a_request_is_the_servers_wherever_that_is_mounted(root, path, is_ours):
    """`root_path` is what a mount or a proxy has taken; old frameworks leave it out of `path`, new ones do not."""
    assert leads_to(PATH, {"root_path": root, "path": path}) is is_ours
    if not root:
        assert leads_to(PATH, {"path": path}) is is_ours


async def ask(app: Any, path: str = PATH + "?EIO=4&transport=polling", kind: str = "http") -> Any:
    """The messages that a request is answered with."""
    target, _, query = path.partition("?")
    scope = {
        "type": kind,
        "method": "GET",
        "path": target,
        "query_string": query.encode(),
        "headers": [(b"host", b"x")],
        "extensions": {"websocket.http.response": {}},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def other(scope: Any, _receive: Any, send: Any) -> None:
    """An application without a lifespan, as Django's."""
    if scope["type"] == "lifespan":
        raise ValueError("only HTTP")
    await send({"type": "here", "path": scope["path"]})


async def test_requests_elsewhere_are_the_other_applications():
    """Of both kinds; our own never get there."""
    io = make_server()
    app = io.app(other)
    assert await ask(app, "/x") == [{"type": "here", "path": "/x"}]
    assert await ask(app, "/x", "websocket") == [{"type": "here", "path": "/x"}]
    start, body = await ask(app)
    assert start["status"] == 200
    assert body["body"].startswith(b'0{"sid"')
    await io.close()


async def test_requests_elsewhere_are_not_found_without_another_application():
    """404 for both kinds."""
    io = make_server()
    assert (await ask(io.asgi, "/x"))[0]["status"] == 404
    assert (await ask(io.asgi, "/x", "websocket"))[0]["status"] == 404


@pytest.mark.parametrize(
    ("at", "path"), [("/socket.io", "/socket.io/"), ("/live", "/live/socket.io/")]
)
async def test_starlette_mounts_it(at, path):
    """`Mount(at, io.asgi)`, and FastAPI's `mount`, which is Starlette's."""
    io = make_server()
    app = Starlette(routes=[Mount(at, io.asgi)])
    start, _ = await ask(app, path + "?EIO=4&transport=polling")
    assert start["status"] == 200
    await io.close()


async def test_a_path_of_ones_own_is_mounted_where_it_says():
    """`path` set to `/ws/`, mounted at `/ws`."""
    io = make_server(Realtime(path="/ws/"))
    start, _ = await ask(Starlette(routes=[Mount("/ws", io.asgi)]), "/ws/?EIO=4&transport=polling")
    assert start["status"] == 200
    await io.close()


# ── lifespan ──


class Process:
    """The server's side of a lifespan."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.outbox: asyncio.Queue[Any] = asyncio.Queue()

    async def run(self, app: Any, *events: str) -> list[str]:
        """What the application answers to `startup`, `shutdown`."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        for event in events:
            self.inbox.put_nowait({"type": f"lifespan.{event}"})
        await app(scope, self.inbox.get, self.outbox.put)
        return [self.outbox.get_nowait()["type"] for _ in range(self.outbox.qsize())]


COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def silent(_scope: Any, receive: Any, _send: Any) -> None:
    """An application that returns where it knows nothing."""
    await receive()


@pytest.mark.parametrize("behind", [None, other, silent])
async def test_the_process_stop_ends_sessions(behind):
    """Alone, and before an application that serves no lifespan, which may raise or return."""
    io = make_server()
    app = Application(io, behind)
    await ask(app)
    assert io.sessions == 1
    assert await Process().run(app, "startup", "shutdown") == COMPLETE
    assert not any(session.is_open for session in io._sessions.values())


async def test_sessions_end_before_what_their_handlers_use():
    """The other application starts and stops with the process; when it stops, sessions have ended."""
    io = make_server()
    told: list[Any] = []
    io.handle("disconnect", lambda socket, reason: told.append(reason))

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        told.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        told.append((await receive())["type"])
        told.append(io.is_stopping)
        await send({"type": "lifespan.shutdown.complete"})

    assert await Process().run(io.app(behind), "startup", "shutdown") == COMPLETE
    assert told == ["lifespan.startup", "lifespan.shutdown", True]


async def test_a_start_that_fails_stays_failed():
    """What the other application says of its start, and raises after it, reaches the server."""

    async def behind(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    process = Process()
    with pytest.raises(RuntimeError):
        await process.run(make_server().app(behind), "startup")
    assert process.outbox.get_nowait()["message"] == "no database"
