"""Where connections of other processes arrive."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clarion.realtime.transports.elsewhere import Others
from tests.support.serving import serving


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
