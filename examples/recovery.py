"""A chat whose people survive a tunnel: `python examples/recovery.py`."""

from clarion.realtime import Expired, Server, Socket
from clarion.settings import Realtime

io = Server(Realtime(recovery_s=120))


@io.on("connection")
def connected(socket: Socket) -> None:
    if not socket.recovered:  # else it is in its rooms, and has its data and what it missed
        socket.join("lobby")
        socket.data["said"] = 0

    @socket.on("say")
    def say(text: str) -> dict[str, int]:
        socket.data["said"] += 1
        socket.to("lobby").emit("said", text)
        return {"said": socket.data["said"]}


@io.on("recovery_expired")
def gone(expired: Expired) -> None:
    io.to("lobby").emit("left for good", expired.id)


if __name__ == "__main__":
    io.run(port=3000)
