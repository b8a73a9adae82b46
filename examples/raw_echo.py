"""Two WebSockets that are not Socket.IO: `clarion serve --app examples.raw_echo:setup`, then `ws://127.0.0.1:8000/echo`."""

import asyncio

from clarion.app import App
from clarion.errors import Disconnected
from clarion.realtime import RawConnection


def setup(app: App) -> None:
    """Called before the server starts."""

    @app.io.websocket("/echo")
    def echo(ws: RawConnection) -> None:
        ws.on_message(ws.send)

    @app.io.websocket("/clock", subprotocols=["ticks"])
    async def clock(ws: RawConnection) -> None:
        every = float(ws.request.query.get("every", "1"))
        try:
            for tick in range(10):
                ws.send(str(tick))
                await ws.drained()
                await asyncio.sleep(every)
        except Disconnected:
            pass  # it left
