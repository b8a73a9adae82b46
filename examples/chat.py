"""A chat in Python: `clarion serve --app examples.chat:setup`. Handlers are yours, in namespace `/`."""

from clarion.app import App
from clarion.realtime import Socket


def setup(app: App) -> None:
    """Called before the server starts."""

    @app.io.on("connection")
    async def connected(socket: Socket) -> None:
        socket.join("lobby")

        @socket.on("say")
        async def say(text: str) -> dict[str, bool]:
            socket.to("lobby").emit("said", {"by": socket.user, "text": text})
            return {"ok": True}
