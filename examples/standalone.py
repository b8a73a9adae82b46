"""A chat, alone on its port: `python examples/standalone.py`."""

from clarion.realtime import Server, Socket

io = Server()


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.join("lobby")

    @socket.on("say")
    def say(text: str) -> dict[str, bool]:
        socket.to("lobby").emit("said", text)
        return {"ok": True}


if __name__ == "__main__":
    io.run(port=3000)
