"""Other people's clients against the echo server: the `websockets` package and Node's `ws`, with and without compression."""

import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

ROOT = Path(__file__).parents[3]

FACTORIES = {
    "plain": [],
    "default": [ClientPerMessageDeflateFactory()],
    "no-takeover": [
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=True, client_no_context_takeover=True
        )
    ],
    "small-windows": [
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9)
    ],
}


@pytest.mark.parametrize("extensions", FACTORIES.values(), ids=FACTORIES)
async def test_the_websockets_package_talks_to_it(echo_port, extensions):
    """Text, binary, fragments, pings and the close, each as it was; the extension is the one that was offered."""
    async with connect(
        f"ws://127.0.0.1:{echo_port}/", extensions=extensions, compression=None, max_size=1 << 24
    ) as socket:
        assert len(socket.protocol.extensions) == len(extensions)
        for message in ("", "é" * 1000, b"", bytes(range(256)) * 1000, "x" * (1 << 20)):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["one ", "two ", "three"])
        assert await socket.recv() == "one two three"
        await (await socket.ping("p"))
        await socket.close(4001, "bye")
        assert socket.close_code == 4001
    async with connect(f"ws://127.0.0.1:{echo_port}/", extensions=extensions) as socket:
        await socket.send(bytes(16 << 20) + b"x")
        with pytest.raises(ConnectionClosedError) as raised:
            await socket.recv()
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1009


NODE = """
import WebSocket from "ws"
const [url, deflate] = process.argv.slice(2)
const ws = new WebSocket(url, { perMessageDeflate: deflate === "true" })
const sent = ["", "é".repeat(3000), Buffer.alloc(0), Buffer.from([0, 255, 1]), Buffer.alloc(300000, "ab")]
let heard = 0
ws.on("open", () => { console.log(ws.extensions); ws.ping("p"); for (const each of sent) ws.send(each) })
ws.on("pong", (data) => console.log("pong", data.toString()))
ws.on("message", (data, isBinary) => {
  const wanted = sent[heard++]
  if (isBinary !== (typeof wanted !== "string") || !Buffer.from(wanted).equals(data)) throw new Error(`message ${heard}`)
  if (heard === sent.length) ws.close(4001, "bye")
})
ws.on("close", (code) => console.log("closed", code, heard))
"""


@pytest.mark.parametrize("deflate", ["true", "false"])
def test_the_ws_package_of_node_talks_to_it(echo_port, deflate):
    """The same with the client that most of Node uses."""
    command = ["node", "--input-type=module", "-", f"ws://127.0.0.1:{echo_port}/", deflate]
    done = subprocess.run(
        command, input=NODE, cwd=ROOT / "clients", capture_output=True, text=True, timeout=30
    )
    agreed = "permessage-deflate" if deflate == "true" else ""
    assert done.stdout.splitlines() == [agreed, "pong p", "closed 4001 5"], done.stderr
