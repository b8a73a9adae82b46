"""The chat of the migration guides, before and after, Node's own server among them: a client sees no difference."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_frameworks import MODULES, ROOT, SERVERS, process, serving
from tests.support.server import await_port, free_port

CHAT = """
import { io } from "socket.io-client";
const url = process.argv[2];
const told = [];
const note = (...all) => told.push(all);
const enter = (name) => new Promise((ok) => {
  const socket = io(url, { auth: { name }, forceNew: true });
  socket.onAny((...all) => note(name, ...all));
  socket.on("connect", () => ok(socket));
  socket.on("connect_error", (error) => ok(error.message));
});
const once = (socket, event) => new Promise((ok) => socket.once(event, ok));
note("nobody", await enter(""));
const ann = await enter("ann");
const joined = once(ann, "joined");
const ben = await enter("ben");
await joined;
const said = once(ben, "said");
note("ack", await ann.emitWithAck("say", "hello"));
await said;
note("who", (await ben.emitWithAck("who")).sort());
const left = once(ann, "left");
ben.disconnect();
await left;
ann.disconnect();
console.log(JSON.stringify(told));
"""

WHAT_CLIENTS_SEE = [
    ["ann", "joined", "ben"],
    ["ann", "left", "ben"],
    ["ben", "said", {"by": "ann", "text": "hello"}],
    ["ack", {"ok": True}],
    ["nobody", "a name, please"],
    ["who", ["ann", "ben"]],
]


@contextlib.contextmanager
def server_of(example: str, folder: Path) -> Iterator[int]:
    """The port on which an example serves: a module for uvicorn, or a script for Node."""
    if not example.endswith(".mjs"):
        with serving(*SERVERS["uvicorn"], f"examples.migration.{example}:app") as (port, _):
            yield port
        return
    script, port = folder / example, free_port()
    script.write_text((ROOT / "examples/migration" / example).read_text())
    with process("node", str(script), PORT=str(port)) as server:
        await_port(port, server)
        yield port


@pytest.mark.parametrize(
    "example", ["before_node.mjs", "after_node", "before_python_socketio", "after_python_socketio"]
)
def test_the_chat_is_the_same_before_and_after(tmp_path: Path, example: str) -> None:
    """Refusal, joining, a message with its ack, who is there, leaving."""
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "chat.mjs").write_text(CHAT)
    with server_of(example, tmp_path) as port:
        url = f"http://127.0.0.1:{port}"
        with process("node", str(tmp_path / "chat.mjs"), url) as client:
            told = json.loads(client.stdout.readline())
    key = json.dumps
    assert sorted(told, key=key) == sorted(WHAT_CLIENTS_SEE, key=key)
