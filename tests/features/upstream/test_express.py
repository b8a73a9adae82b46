"""The event door with a real application: the Express example, the unchanged JavaScript client, and the application killed midway."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.official import official
from tests.support.server import Server, await_port, free_port

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-of-24-characters"


class Application:
    """The example, started and killed by a test."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._file = Path(shutil.copy(ROOT / "examples/express/app.mjs", folder))
        (folder / "node_modules").symlink_to(ROOT / "clients/node_modules")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Application":
        self._process = subprocess.Popen(
            ["node", self._file],
            env=os.environ | {"SECRET": SECRET, "PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
        )
        await_port(self.port, self._process)
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(made.kill)
        yield made.start()


@pytest.fixture
def server(application: Application, tmp_path: Path) -> Iterator[Server]:
    settings = {
        "CLARION_UPSTREAM_URL": f"http://127.0.0.1:{application.port}/events",
        "CLARION_UPSTREAM_SECRET": SECRET,
        "CLARION_UPSTREAM_CONNECT": "1",
        "CLARION_UPSTREAM_TIMEOUT_S": "2",
        "CLARION_UPSTREAM_STREAMS": "news",
        "CLARION_AUTH_OPEN_NAMESPACES": "/",
    }
    made = Server(tmp_path, **settings).start()
    yield made
    made.close()


async def test_handlers_in_express_serve_the_unchanged_client(
    server: Server, application: Application
) -> None:
    """Connects, acks, rooms, data, refusals and topics are the application's; while it is down every ack says so in time; then it goes on."""
    told: dict[str, object] = {}
    messages: list[object] = []
    token = server.register("ann")["access_token"]
    async with official("upstream.mjs", server.port, token) as facts:
        async for fact, value in facts:
            if fact == "kill":
                application.kill()
            elif fact == "start":
                await asyncio.to_thread(application.start)
            elif fact == "message":
                messages.append(value)
            else:
                told[fact] = value
    assert messages == [["ann", "hello"], ["Ann", "again"]]
    assert told == {
        "refused": {"code": "no_name", "message": "Say who you are"},
        "ack": {"ok": True},
        "renamed": "Ann",
        "error": {"error": {"code": "bad_name", "message": "A name is text"}},
        "unknown": {"code": "unknown_event", "message": "no handler for nothing"},
        "bytes": "aGk=",
        "order": True,
        "not theirs": "forbidden",
        "theirs": "recoverable",
        "published": 1,
        "changed": 2,
        "not allowed": "forbidden",
        "said": [["said", "hello"], ["said", {"by": "ann", "text": "HELLO"}]],
        "slow": "upstream_unavailable",
        "within the deadline": True,
        "down": "upstream_unavailable",
        "all are told": True,
        "and nothing hangs": True,
        "back": [True, True],
    }
    assert "Traceback" not in server.log


async def test_nobody_else_can_speak_for_clarion(application: Application) -> None:
    """The example refuses what is not signed."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-H", "content-type: application/json",
        "-d", '{"requests":[]}', f"http://127.0.0.1:{application.port}/events",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out == b"401"
