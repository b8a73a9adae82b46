"""Handlers that say what they take: `clarion serve --app examples.typed:setup`."""

from typing import Annotated

from msgspec import Meta, Struct

from clarion.app import App
from clarion.realtime import Server, Socket

Text = Annotated[str, Meta(min_length=1, max_length=2000)]


class Message(Struct):
    """What a client says."""

    text: Text
    to: str = "lobby"


def listen(io: Server) -> None:
    """One handler for all sockets; the socket comes first."""

    @io.handle("say")
    def say(socket: Socket, message: Message) -> int:
        return socket.to(message.to).emit("said", message.text)


def setup(app: App) -> None:
    """Called before the server starts."""
    listen(app.io)
