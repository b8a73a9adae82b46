"""The seam by itself with short limits, as a process to be attacked: `python attack_server.py uvloop|asyncio`; prints its port."""

import asyncio
import json
import sys
from typing import Any

from clarion.clock import SystemClock
from clarion.realtime.transports import HttpServer, Refused, Upgrade, WebSocket, run
from clarion.settings import Limits

QUICK = Limits(
    head_s=2, keep_alive_s=2, body_s=2, stall_s=3, close_s=2, drain_s=2, connections=200,
    max_payload_bytes=1 << 20,
)  # fmt: skip


class Echo(WebSocket):
    """Sends back what it gets; `raise` is a bug, `flood` more than anybody reads."""

    __slots__ = ()

    def on_message(self, data: str | bytes) -> None:
        if data == "raise":
            raise ValueError("a bug of the application")
        if data == "flood":
            for _ in range(50):
                self.write_frames(b"\x82\x7f" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20))
        else:
            self.send(data)


def admit(upgrade: Upgrade) -> WebSocket:
    if upgrade.query == b"refuse":
        raise Refused(400, b'{"code":0,"message":"Transport unknown"}', "application/json")
    if upgrade.query == b"raise":
        raise ValueError("a bug of the application")
    return Echo()


async def app(scope: Any, receive: Any, send: Any) -> None:
    path, size = scope["path"], 0
    await asyncio.sleep({"/slow": 1, "/slower": 5}.get(path, 0))
    more = path != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"hello %d" % size
    if path == "/big":
        body = b"." * 50_000_000
    if path == "/who":
        body = json.dumps([scope["client"], scope["scheme"], len(scope["headers"])]).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    server = HttpServer(
        app,
        limits=QUICK,
        clock=SystemClock(),
        endpoints={"/socket.io/": admit},
        trusted_proxies=["127.0.0.1"],
    )
    serving = asyncio.get_running_loop().create_task(server.serve())
    await server.started.wait()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await serving


if __name__ == "__main__":
    run(main(), use_uvloop=sys.argv[1] == "uvloop")
