"""What python-socketio's threaded client sees of a server, one JSON line a fact: python client_sync.py URL TRANSPORT[,TRANSPORT]."""

import json
import sys
import threading
from typing import Any

import socketio


def tell(fact: str, value: Any) -> None:
    sys.stdout.write(json.dumps({"fact": fact, "value": value}) + "\n")
    sys.stdout.flush()


def main(url: str, transports: list[str]) -> None:
    client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.1)
    connected, gone = threading.Semaphore(0), threading.Event()
    client.on("connect", lambda: connected.release())
    client.on("disconnect", lambda *_: gone.set())
    client.connect(url, transports=transports)
    tell("connected", connected.acquire(timeout=10))
    if "websocket" in transports:
        tell("transport", client.call("transport"))
    tell("echo", client.call("later", [1, "é😀", None]))
    big = bytes([7]) * 400_000
    tell("big", client.call("echo", big) == big)
    if "websocket" in transports:
        come_back(client, connected, gone)
    client.disconnect()


def come_back(client: Any, connected: threading.Semaphore, gone: threading.Event) -> None:
    """On polling it would stay away: to this client `1` is a farewell for good, from whatever server."""
    before = client.get_sid()
    client.emit("end my session")
    tell("comes back", [gone.wait(10), connected.acquire(timeout=10), client.get_sid() != before])
    tell("echo again", client.call("later", 2))


main(sys.argv[1], sys.argv[2].split(","))
