"""The examples for frameworks: each in a process of its own on a real server, with the official client."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import await_port, free_port

ROOT = Path(__file__).parent.parent.parent
MODULES = ROOT / "clients" / "node_modules"

CHAT = """
import { io } from "socket.io-client";
const [url, transports] = process.argv.slice(2);
const [ann, ben] = [0, 1].map(() => io(url, { transports: transports.split(","), forceNew: true }));
const heard = new Promise((ok) => ben.once("said", ok));
await Promise.all([ann, ben].map((s) => new Promise((ok) => s.on("connect", ok))));
console.log(JSON.stringify(await Promise.all([ann.emitWithAck("say", "hello"), heard])));
ben.on("said", (text) => console.log(JSON.stringify(text)));
"""

WHO = """
import { io } from "socket.io-client";
const socket = io(process.argv[2], { auth: { token: process.argv[3] } });
socket.on("connect", async () => console.log(await socket.emitWithAck("whoami")));
"""

LISTEN = """
import { io } from "socket.io-client";
io(process.argv[2]).on("online", (count) => console.log(count));
"""

SERVERS = {
    "uvicorn": ("-m", "uvicorn", "--log-level", "warning", "--port", "{port}"),
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:{port}"),
    "granian": ("-m", "granian", "--interface", "asgi", "--log-level", "warning", "--port", "{port}"),
}  # fmt: skip


@contextlib.contextmanager
def process(*command: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process for as long as the test needs it."""
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | env
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


@contextlib.contextmanager
def serving(*command: str, **env: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server process that can be reached, and its port."""
    port = free_port()
    arguments = [each.format(port=port) for each in command]
    with process(sys.executable, *arguments, **env) as server:
        await_port(port, server)
        yield port, server


@pytest.fixture
def chat(tmp_path: Path) -> str:
    """The client's script."""
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "chat.mjs").write_text(CHAT)
    return str(tmp_path / "chat.mjs")


@pytest.mark.parametrize(
    ("server", "module", "doors"),
    [
        ("uvicorn", "fastapi_app", ["/announcements"]),
        ("hypercorn", "starlette_app", ["/announcements"]),
        ("granian", "django_app", ["/announcements", "/sync/announcements"]),
    ],
)
def test_a_chat_beside_a_framework(chat, server, module, doors):
    """What one says the other hears, views of the framework reach both, and a SIGTERM ends the process."""
    with serving(*SERVERS[server], f"examples.{module}:app") as (port, running):
        url = f"http://127.0.0.1:{port}"
        with process("node", chat, url, "polling,websocket") as client:
            assert json.loads(client.stdout.readline()) == [{"ok": True}, "hello"]
            for door in doors:
                answer = httpx.post(url + door, params={"text": door})
                assert answer.json() == {"told": 2}
                assert json.loads(client.stdout.readline()) == door
        assert httpx.post(url + "/nowhere").status_code == 404
        running.send_signal(signal.SIGTERM)
        running.wait(30)


def test_a_task_beside_the_server(tmp_path):
    """It emits for as long as the server serves, and does not keep it from stopping."""
    port = free_port()
    script = (ROOT / "examples" / "ticker.py").read_text().replace("port=3000", f"port={port}")
    (tmp_path / "ticker.py").write_text(script.replace("sleep(1)", "sleep(0.05)"))
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "listen.mjs").write_text(LISTEN)
    with process(sys.executable, str(tmp_path / "ticker.py")) as running:
        await_port(port, running)
        listen = ("node", str(tmp_path / "listen.mjs"), f"http://127.0.0.1:{port}")
        with process(*listen) as client:
            assert [client.stdout.readline() for _ in range(3)] == ["1\n"] * 3
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0


def test_all_of_clarion_inside_fastapi(tmp_path):
    """Routes of the application, Clarion's own, and its sockets; somebody described to Clarion is notified."""
    settings = {"CLARION_DATA_DIR": str(tmp_path / "data")}
    with serving(*SERVERS["uvicorn"], "examples.embedded_app:app", **settings) as (port, _):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            assert http.get("/readyz").status_code == 200
            person = {"username": "ann", "password": "correct horse battery"}
            token = http.post("/v1/auth/register", json=person).json()["access_token"]
            shipped = http.post("/orders/17/shipped", params={"customer": "ann"}).json()
            inbox = http.get("/v1/inbox", headers={"authorization": f"Bearer {token}"}).json()
        assert shipped["notification"]
        assert "Order 17 is on its way" in json.dumps(inbox)
        (tmp_path / "node_modules").symlink_to(MODULES)
        (tmp_path / "who.mjs").write_text(WHO)
        with process(
            "node", str(tmp_path / "who.mjs"), f"http://127.0.0.1:{port}", token
        ) as client:
            assert client.stdout.readline() == "ann\n"


def test_a_chat_alone(chat, tmp_path):
    """The ten lines: `io.run`, and a stop in good order."""
    port = free_port()
    script = (ROOT / "examples" / "standalone.py").read_text().replace("port=3000", f"port={port}")
    (tmp_path / "standalone.py").write_text(script)
    with process(sys.executable, str(tmp_path / "standalone.py")) as running:
        await_port(port, running)
        with process("node", chat, f"http://127.0.0.1:{port}", "websocket") as client:
            assert json.loads(client.stdout.readline()) == [{"ok": True}, "hello"]
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
