"""The chat after: line for line what it was in Node."""

from clarion.realtime import ConnectRefused, Server, Socket

io = Server()
app = io.asgi


@io.use
def check(socket: Socket) -> None:
    name = socket.handshake.auth.get("name")
    if not name:
        raise ConnectRefused("a name, please")
    socket.data["name"] = name


@io.on("connection")
def connected(socket: Socket) -> None:
    name = socket.data["name"]
    socket.join("lobby")
    socket.to("lobby").emit("joined", name)

    @socket.on("say")
    def say(text: str) -> dict[str, bool]:
        socket.to("lobby").emit("said", {"by": name, "text": text})
        return {"ok": True}

    @socket.on("who")
    async def who() -> list[str]:
        return [each.data["name"] for each in await io.in_("lobby").fetch_sockets()]

    @socket.on("disconnecting")
    def left(reason: str) -> None:
        socket.to("lobby").emit("left", name)
