"""What python-socketio's client sees of a server, one JSON line a fact: python client.py URL TRANSPORT[,TRANSPORT]."""

import asyncio
import contextlib
import json
import sys
from typing import Any

import socketio


def tell(fact: str, value: Any) -> None:
    sys.stdout.write(json.dumps({"fact": fact, "value": value}) + "\n")
    sys.stdout.flush()


async def main(url: str, transports: list[str]) -> None:
    client = socketio.AsyncClient(reconnection=False)
    client.on("question", lambda text, data: {"text": text, "data": data})
    welcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.on("welcome", lambda *args: welcome.set_result(args))
    namespaces = ["/", "/admin"]
    await client.connect(
        url, auth={"token": "secret"}, transports=transports, namespaces=namespaces
    )
    tell("connected", (await welcome)[0] == client.get_sid("/"))
    tell("transport", [client.transport(), await client.call("transport")])
    tell("later", await client.call("later", [1, "é😀"]))
    asked = await client.call("ask me", "what?")
    tell("asked", [asked["text"], list(asked["data"])])
    big = bytes([7]) * 400_000
    tell("big", await client.call("echo", big) == big)
    tell("refused", (await client.call("refuse"))["error"]["code"])
    tell("admin", await client.call("whoami", namespace="/admin"))
    gone = asyncio.Event()
    client.on("disconnect", lambda *_: gone.set())
    await client.emit("leave me")
    await gone.wait()
    tell("put out", client.get_sid("/admin") is not None)
    refused = socketio.AsyncClient(reconnection=False)
    heard: list[Any] = []
    refused.on("connect_error", heard.append, namespace="/nowhere")
    with contextlib.suppress(socketio.exceptions.ConnectionError):
        await refused.connect(url, namespaces=["/nowhere"], transports=transports)
    tell("unknown namespace", heard[0]["message"])
    for each in (client, refused):
        await each.shutdown()


asyncio.run(main(sys.argv[1], sys.argv[2].split(",")))
