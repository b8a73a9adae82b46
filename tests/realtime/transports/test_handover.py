"""Where connections of other processes arrive."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clarion.realtime.transports.elsewhere import Others
from clarion.settings import Limits
from clarion.telemetry import spawn
from tests.support.raw_client import RawClient
from tests.support.serving import hello, serving


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_arrivals_go_on_after_a_time_without_free_descriptors(tmp_path: Path) -> None:
    """Who hands a connection over meanwhile waits in line, and is served when there are some again."""
    loop = asyncio.get_running_loop()
    async with serving(others=Others("mine", ["/socket.io/"], tmp_path)):
        with socket.socket(socket.AF_UNIX) as line:
            line.setblocking(False)
            with no_descriptors():
                await loop.sock_connect(line, str(tmp_path / "node-mine"))
                for _ in range(10):
                    await asyncio.sleep(0)  # it tries to accept
            await loop.sock_sendall(line, bytes(4))  # no connection: what is not taken is closed
            async with asyncio.timeout(5):
                assert await loop.sock_recv(line, 1) == b""


async def test_what_arrives_while_the_process_stops_is_served_and_holds_nothing_up(
    tmp_path: Path,
) -> None:
    """Its client is told to come back on another connection."""
    loop, asked, may_go, stopping = (
        asyncio.get_running_loop(),
        asyncio.Event(),
        asyncio.Event(),
        asyncio.Event(),
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            asked.set()
            await may_go.wait()
        await hello(scope, receive, send)

    others, limits = (
        Others("mine", ["/socket.io/"], tmp_path),
        Limits(drain_s=600, keep_alive_s=600),
    )
    async with asyncio.timeout(20):
        async with serving(app, limits=limits, others=others, on_stopping=stopping.set) as server:
            slow = spawn(
                RawClient(server.port).ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"), name="test"
            )
            await asked.wait()
            server.stop()
            await stopping.wait()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            with socket.socket(socket.AF_UNIX) as line, ours:
                line.connect(str(tmp_path / "node-mine"))
                message = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
                socket.send_fds(
                    line, [len(message).to_bytes(4, "big") + message], [theirs.fileno()]
                )
                theirs.close()
                heard = b""
                while data := await loop.sock_recv(ours, 1_000):
                    heard += data
            assert heard.endswith(b"hello")
            may_go.set()
            assert (await slow).endswith(b"hello")
