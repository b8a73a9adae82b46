"""The example of docs/how-to/recovery.md, run, with the official client in a tunnel."""

import json
import sys

from tests.examples.test_frameworks import MODULES, ROOT, process
from tests.support.server import await_port, free_port

TUNNEL = """
import { io } from "socket.io-client";
const [ann, ben] = [0, 1].map(() => io(process.argv[2], { forceNew: true, reconnectionDelay: 300, reconnectionDelayMax: 300 }));
const next = (socket, event) => new Promise((ok) => socket.once(event, (...args) => ok(args[0])));
await Promise.all([next(ann, "connect"), next(ben, "connect")]);
const before = [ben.id, await ben.emitWithAck("say", "hello")];
const missed = next(ben, "said");
ben.io.engine.close();
await ann.emitWithAck("say", "are you there?");
await next(ben, "connect");
console.log(JSON.stringify([ben.recovered, ben.id === before[0], await missed, await ben.emitWithAck("say", "yes")]));
process.exit();
"""


def test_a_tunnel(tmp_path):
    """Who was away for a moment has the same id, what was said meanwhile, and its data."""
    port = free_port()
    script = (ROOT / "examples" / "recovery.py").read_text().replace("port=3000", f"port={port}")
    (tmp_path / "recovery.py").write_text(script)
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "tunnel.mjs").write_text(TUNNEL)
    with process(sys.executable, str(tmp_path / "recovery.py")) as server:
        await_port(port, server)
        client = ("node", str(tmp_path / "tunnel.mjs"), f"http://127.0.0.1:{port}")
        with process(*client) as tunnel:
            told = json.loads(tunnel.stdout.readline())
    assert told == [True, True, "are you there?", {"said": 2}]
