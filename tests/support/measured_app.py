"""What a server under load does for its clients: the events of the stress runner and of the soak."""

from collections import Counter
from typing import Any

from clarion.errors import Disconnected
from clarion.realtime import Server, Socket
from clarion.realtime.egress import Sent


def serve_events(io: Server) -> Counter[str]:
    """Add the handlers; returns what they count: `connection`, and why sockets left."""
    told: Counter[str] = Counter()
    io.on("connection", lambda _: told.update(["connection"]))
    io.handle("disconnect", lambda _, reason: told.update([reason]))
    io.handle("echo", lambda socket, *args: args)
    io.handle("join", _join)
    io.handle("leave", _leave)
    io.handle("say", _say)
    io.handle("rush", _rush)
    io.handle("pour", _pour)
    io.handle("ask", _ask)
    io.handle("out", lambda socket: socket.disconnect())

    @io.handle("tell")
    def tell(_socket: Socket, room: str, *args: Any) -> int:
        return io.to(room).emit("said", *args)

    return told


def _join(socket: Socket, *rooms: str) -> int:
    """Go into rooms; answers in how many it is, its own included."""
    socket.join(*rooms)
    return len(socket.rooms)


def _leave(socket: Socket, *rooms: str) -> int:
    for room in rooms:
        socket.leave(room)
    return len(socket.rooms)


def _say(socket: Socket, room: str, *args: Any) -> int:
    """To the others in a room; answers to how many."""
    return socket.to(room).emit("said", *args)


def _rush(socket: Socket, room: str, *args: Any) -> int:
    """To the others in a room, unless they are behind; answers to how many."""
    return socket.to(room).volatile.emit("rushed", *args)


def _pour(socket: Socket, count: int, size: int) -> dict[str, int]:
    """Much to oneself, which recovery does not keep; answers what became of it."""
    became = dict.fromkeys((each.value for each in Sent), 0)
    text = "." * size
    for number in range(count):
        became[socket.deliver(socket.nsp.prepare("drop", number, text)).value] += 1
    return became


async def _ask(socket: Socket, *args: Any) -> Any:
    """Ask the client itself; answers with its answer."""
    try:
        return await socket.emit_with_ack("question", *args, timeout_s=30)
    except Disconnected:
        return None  # nobody is there to be answered either
