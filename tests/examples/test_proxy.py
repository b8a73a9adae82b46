"""examples/nginx.conf, as docs/how-to/behind-a-proxy.md shows it: nginx between the official client and a server."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_frameworks import MODULES, ROOT, process
from tests.support.server import await_port, free_port

SERVER = """
from clarion.realtime import Server, Socket

io = Server(trusted_proxies=["127.0.0.1"])


@io.on("connection")
def connected(socket: Socket) -> None:
    @socket.on("who am I")
    def who() -> list[object]:
        return [socket.handshake.address, socket.handshake.secure, socket.transport]


io.run(port=PORT)
"""

CLIENT = """
import { io } from "socket.io-client";
const [url, proxied] = process.argv.slice(2);
const enter = (origin, transports) => new Promise((ok) => {
  const extraHeaders = { origin, "X-Forwarded-For": "203.0.113.7" };
  const socket = io(url, { path: proxied, transports, extraHeaders, forceNew: true, reconnection: false });
  socket.on("connect", async () => ok(await socket.emitWithAck("who am I")));
  socket.on("connect_error", () => ok("refused"));
});
console.log(JSON.stringify([
  await enter(url, ["polling"]),
  await enter(url, ["websocket"]),
  await enter("https://evil.example", ["websocket"]),
]));
process.exit();
"""

# What Debian's nginx.conf has around the files of conf.d, for a process that may run beside others and need not be root.
AROUND = """
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {temporary}
    include {folder}/clarion.conf;
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextlib.contextmanager
def nginx(folder: Path, configuration: str, port: int) -> Iterator[None]:
    """An nginx of its own."""
    (folder / "clarion.conf").write_text(configuration)
    temporary = "\n    ".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, temporary=temporary))
    folder.chmod(0o755)
    with process(
        "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off; master_process off;"
    ) as running:  # fmt: skip
        await_port(port, running)
        yield


@pytest.mark.parametrize("prefix", ["", "/live"])
def test_nginx_in_front(tmp_path, prefix):
    """Polling and WebSockets pass, also under a path; the client's address arrives; the site's own pages are let in and foreign ones are not."""
    server_port, port = free_port(), free_port()
    (tmp_path / "server.py").write_text(SERVER.replace("PORT", str(server_port)))
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "client.mjs").write_text(CLIENT)
    configuration = (ROOT / "examples/nginx.conf").read_text()
    for was, to in (
        ("listen 80", f"listen 127.0.0.1:{port}"),
        ("http://127.0.0.1:3000", f"http://127.0.0.1:{server_port}{'/' if prefix else ''}"),
        ("location /", f"location {prefix}/"),
    ):
        assert was in configuration
        configuration = configuration.replace(was, to)
    with process(sys.executable, str(tmp_path / "server.py")) as server:
        await_port(server_port, server)
        with nginx(tmp_path, configuration, port):
            url = f"http://127.0.0.1:{port}"
            client = ("node", str(tmp_path / "client.mjs"), url, f"{prefix}/socket.io/")
            with process(*client, PATH=os.environ["PATH"]) as running:
                told = json.loads(running.stdout.readline())
    assert told == [
        ["203.0.113.7", False, "polling"],
        ["203.0.113.7", False, "websocket"],
        "refused",
    ]


def test_the_page_shows_the_file_that_is_run():
    """The configuration stands in the guide, word for word."""
    shown = (ROOT / "docs/how-to/behind-a-proxy.md").read_text()
    assert (ROOT / "examples/nginx.conf").read_text().partition("\n")[2].strip() in shown
