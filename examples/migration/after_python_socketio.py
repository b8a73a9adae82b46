"""The chat after: one handler for all sockets, which gets the socket where python-socketio gives its id."""

from clarion.realtime import ConnectRefused, Server, Socket

io = Server()
app = io.asgi


@io.use
def check(socket: Socket) -> None:
    if not socket.handshake.auth.get("name"):
        raise ConnectRefused("a name, please")
    socket.data["name"] = socket.handshake.auth["name"]


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.join("lobby")
    socket.to("lobby").emit("joined", socket.data["name"])


@io.handle("say")
def say(socket: Socket, text: str) -> dict[str, bool]:
    socket.to("lobby").emit("said", {"by": socket.data["name"], "text": text})
    return {"ok": True}


@io.handle("who")
async def who(socket: Socket) -> list[str]:
    return [each.data["name"] for each in await io.in_("lobby").fetch_sockets()]


@io.handle("disconnecting")
def left(socket: Socket, reason: str) -> None:
    socket.to("lobby").emit("left", socket.data["name"])
