"""Listening, starting and stopping, on real sockets."""

import asyncio
import signal
import socket
import stat
import sys
from contextlib import suppress

import pytest

from clarion.clock import SystemClock, pause
from clarion.errors import SettingsError
from clarion.realtime.transports import LOCAL, HttpServer, WebSocket, run
from clarion.realtime.transports import serve as module
from clarion.realtime.transports.ports import listen
from clarion.settings import Limits
from tests.support.raw_client import (
    CLOSE,
    GET,
    RawClient,
    RawWebSocket,
    close_frame,
    hang_up,
    statuses,
    upgrade,
)
from tests.support.serving import hello, serving

# Whoever waited for one of these would make its test run into `asyncio.timeout`.
PATIENT = Limits(drain_s=600, close_s=600, keep_alive_s=600, head_s=600)


class Server:
    """An application whose requests wait until they are let go, or for ever."""

    def __init__(self) -> None:
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()
        self.scope = None

    async def __call__(self, scope, receive, send) -> None:
        self.scope = scope
        self.asked.set()
        await self.let_go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


async def test_a_free_port_is_taken_and_told():
    """Port 0 listens on a free port, which is known once `started` is set."""
    async with serving() as server:
        answer = await RawClient(server.port).ask(GET + b"Connection: close\r\n\r\n")
        assert answer.endswith(b"\r\n\r\nhello")


async def test_a_taken_port_is_one_clear_line():
    """A taken port stops the start before anything runs, and the message names the setting."""
    async with serving() as server:
        with pytest.raises(SettingsError) as caught:
            listen("127.0.0.1", server.port)
        second = HttpServer(None, limits=Limits(), clock=SystemClock(), port=server.port)
        with pytest.raises(SettingsError):
            await second.serve()
    assert str(caught.value).startswith("port ")
    assert "--port" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_local_socket_is_private_and_marked(tmp_path):
    """Only its owner reaches the local socket, the application knows who came by it, and it is gone after the stop."""
    app, path = Server(), tmp_path / "clarion.sock"
    app.let_go.set()
    async with serving(app, uds=path, endpoints={"/socket.io/": lambda _: WebSocket()}) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        local, remote = RawClient(uds=path), RawClient(server.port)
        assert statuses(await local.ask(GET + b"Connection: close\r\n\r\n")) == [204]
        assert LOCAL in app.scope["extensions"]
        assert statuses(await remote.ask(GET + b"Connection: close\r\n\r\n")) == [204]
        assert LOCAL not in app.scope.get("extensions", {})
        assert await local.first_status(upgrade()) == 404
    assert not path.exists()


async def test_a_stop_with_few_connections_is_quick():
    """Idle connections and willing WebSockets hold nothing up, whatever the window of the drain."""
    async with asyncio.timeout(30):
        async with serving(
            limits=PATIENT, endpoints={"/socket.io/": lambda _: WebSocket()}
        ) as server:
            client = RawClient(server.port)
            idle, writer = await client.dial()
            socket = await client.websocket()
            server.stop()
            assert await socket.receive() == (CLOSE, b"3001")
            socket.writer.write(close_frame(3001))
            assert await idle.read() == b""
            await hang_up(writer)
        await socket.hang_up()


async def test_a_request_in_flight_is_finished():
    """A stop waits for answers; `on_stopping` comes first, for those that would wait for long."""
    app = Server()
    async with serving(app, limits=PATIENT, on_stopping=app.let_go.set) as server:
        asking = asyncio.gather(RawClient(server.port).ask(GET + b"\r\n"))
        await app.asked.wait()
        assert not app.let_go.is_set()
        server.stop()
        assert statuses((await asking)[0]) == [204]


async def test_balancers_have_time_to_look_elsewhere():
    """A stop with notice is told at once; until it is over, or cut short, everybody is served, on connections that are not kept."""
    told = asyncio.Event()
    endpoints = {"/socket.io/": lambda _: WebSocket()}
    async with asyncio.timeout(30):
        async with serving(limits=PATIENT, endpoints=endpoints, on_leaving=told.set) as server:
            client = RawClient(server.port)
            before = await client.websocket()
            server.stop(notice_s=600)
            assert told.is_set()
            answer = (
                await client.ask(GET + b"\r\n")
            ).lower()  # returns when the connection has ended
            assert b"connection: close" in answer
            assert answer.endswith(b"hello")
            later = await client.websocket()
            server.stop()
            for socket in (before, later):
                assert await socket.receive() == (CLOSE, b"3001")
                socket.writer.write(close_frame(3001))
        for socket in (before, later):
            await socket.hang_up()


async def test_who_comes_in_during_the_stop_is_told_to_leave():
    """A WebSocket whose handshake began before the stop and ends after it is closed with 3001 like those that were there."""
    head = upgrade()
    endpoints = {"/socket.io/": lambda _: WebSocket()}
    async with asyncio.timeout(30):
        async with serving(limits=PATIENT, endpoints=endpoints) as server:
            client = RawClient(server.port)
            reader, writer = await client.dial(head[:50])
            early = await client.websocket()
            server.stop()
            assert await early.receive() == (CLOSE, b"3001")
            writer.write(head[50:])
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101")
            late = RawWebSocket(reader, writer, answer)
            assert await late.receive() == (CLOSE, b"3001")
            for socket in (early, late):
                socket.writer.write(close_frame(3001))
        for socket in (early, late):
            await socket.hang_up()


async def test_who_was_let_connect_is_answered():
    """A stop amid new connections, which a busy loop accepts late, resets none: each is answered or refused."""

    answered = b"HTTP/1.1 200"

    async def busy(scope, receive, send) -> None:
        pause(0.005)
        await hello(scope, receive, send)

    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as line:
            try:
                line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                return line.recv(12)
            except ConnectionResetError:
                return b"reset"

    def ask_until_refused(port: int) -> set[bytes]:
        found = set[bytes]()
        with suppress(ConnectionRefusedError):
            while True:
                found.add(ask(port))
        return found

    async with serving(busy) as server:
        asking = [asyncio.to_thread(ask_until_refused, server.port) for _ in range(4)]
        everybody = asyncio.gather(*asking)
        for _ in range(20):
            assert await asyncio.to_thread(ask, server.port) == answered
        server.stop()
        assert await everybody == [{answered}] * 4


async def test_a_stop_at_once_waits_for_nobody():
    """`stop(now=True)` cuts off requests and WebSockets alike, and nothing runs on behind it."""
    app = Server()
    async with asyncio.timeout(30):
        async with serving(
            app, limits=PATIENT, endpoints={"/socket.io/": lambda _: WebSocket()}
        ) as server:
            client = RawClient(server.port)
            socket = await client.websocket()
            asking = asyncio.gather(client.ask(GET + b"\r\n"))
            await app.asked.wait()
            server.stop()
            server.stop(now=True)
            await asking
            await socket.hang_up()
    assert len(server.connections) == 0


PROGRAM = """
import asyncio, sys
from clarion.clock import SystemClock
from clarion.realtime.transports import HttpServer, run
from clarion.settings import Limits
from clarion.telemetry import configure_logging
configure_logging()
async def app(scope, receive, send):
    sys.stdout.write("asked\\n"); sys.stdout.flush()
    await asyncio.sleep(600)
async def main():
    server = HttpServer(app, limits=Limits(drain_s=600), clock=SystemClock())
    serving = asyncio.gather(server.serve())
    await server.started.wait()
    sys.stdout.write(f"{server.port}\\n"); sys.stdout.flush()
    await serving
run(main(), use_uvloop=sys.argv[1] == "uvloop")
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_second_interrupt_forces(loop):
    """The first SIGINT lets requests end, the second does not; the process exits with 0 and without a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, loop,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    port = int(await process.stdout.readline())
    _, writer = await RawClient(port).dial(GET + b"\r\n")
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)  # told by the log line: both at once could be seen as one
    async with asyncio.timeout(30):
        while b"stopping" not in await process.stderr.readline():
            pass
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    await hang_up(writer)
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_runs_on_uvloop_where_it_is():
    """`run` takes uvloop when it can be imported, and asyncio when it can't or must not."""

    async def loop_module() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(loop_module()).startswith("uvloop")
    assert run(loop_module(), use_uvloop=False).startswith("asyncio")


def test_without_uvloop_asyncio_is_used(monkeypatch):
    """A missing uvloop is no error."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert module._loop_factory() is None
