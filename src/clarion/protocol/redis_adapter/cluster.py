"""The newer format of Node's adapters: one shape for all messages. @socket.io/redis-adapter's sharded one sends it by SPUBLISH, and the
streams adapter what is not to be kept by PUBLISH.

    {type, data, uid, nsp}      JSON, or MessagePack where there are bytes (always, beside a stream)

Types: 1, 2 heartbeats, 3 broadcast, 4 join, 5 leave, 6 disconnect, 7 sockets → 8, 9 event for servers → 10, a broadcast's 11 how many will
answer and 12 an answer, 13 a server goes. PREFIX#NSP# is for all, PREFIX#NSP#UID# for answers to one, and in the dynamic modes
PREFIX#NSP#ROOM# for broadcasts to one room. Source: the adapters' own bytes (tests/data/socketio-vectors).
"""

from typing import Any, Final, Literal

from clarion.errors import ProtocolError
from clarion.protocol import jsontext
from clarion.protocol.redis_adapter import values
from clarion.protocol.redis_adapter.messages import (
    Acked,
    Beat,
    Broadcast,
    Counted,
    Disconnect,
    Emitted,
    Fetch,
    Fetched,
    Join,
    Leave,
    Message,
    Options,
    ServerSide,
)

Mode = Literal["static", "dynamic", "dynamic-private"]
"""Which rooms have a channel of their own: none, those that are no socket's, all."""

ID_CHARS: Final = 20  # a room whose name is as long is taken for a socket's own
_BINARY: Final = (3, 8, 9, 10, 12)  # types with values of the application


class Cluster:
    """One namespace in this format.

    Args:
        namespace: Its name.
        uid: This server's.
        prefix: As all servers have it.
        mode: Likewise: a server in another mode does not hear channels of rooms.
    """

    def __init__(
        self, namespace: str, uid: str, prefix: str = "socket.io", mode: Mode = "static"
    ) -> None:
        self.namespace, self.uid, self.mode = namespace, uid, mode
        self.common = f"{prefix}#{namespace}#"
        self.own = self.answers_to(uid)

    def answers_to(self, uid: str) -> str:
        """Where a server is answered."""
        return f"{self.common}{uid}#"

    def room(self, room: str) -> str | None:
        """The channel of a room; None: it has none."""
        if self.mode == "static" or (self.mode == "dynamic" and len(room) == ID_CHARS):
            return None
        return f"{self.common}{room}#"

    def channel(self, message: Message) -> str:
        """Where a message goes that is no answer."""
        if isinstance(message, Broadcast) and message.request is None:
            rooms = message.options.rooms
            if len(rooms) == 1 and (channel := self.room(rooms[0])) is not None:
                return channel
        return self.common

    # ── writing ──
    def write(self, message: Message, *, is_packed: bool = False) -> bytes:
        """A message's bytes.

        Args:
            message: What is said.
            is_packed: In MessagePack, whatever it holds.

        Raises:
            UsageError: A value that can't be sent.
        """
        kind, data = fields(message)
        whole: dict[str, Any] = {"type": kind}
        if data is not None:
            whole["data"] = data
        whole |= {"uid": self.uid, "nsp": self.namespace}
        if is_packed or (kind in _BINARY and values.has_bytes(data)):
            return values.pack(whole)
        return jsontext.write(whole).encode()

    # ── reading ──
    def read(self, data: bytes) -> Message | None:
        """What came; None: it is this server's own, or about another namespace.

        Raises:
            ProtocolError: It is no message.
        """
        said = values.read(data)
        if said.get("uid") == self.uid or said.get("nsp") != self.namespace:
            return None
        return message(values.taken(said.get("uid"), str), said.get("type"), said.get("data"))


def fields(of: Message) -> tuple[int, dict[str, Any] | None]:
    """The type of a message, and its `data`, whose keys are in Node's order."""
    match of:
        case Broadcast():
            packet: dict[str, Any] = {"type": 2, "data": values.packable(of.event)}
            if of.ack is not None:
                packet["id"] = of.ack
            asked = {} if of.request is None else {"requestId": of.request}
            return 3, {"packet": packet} | asked | {"opts": _options(of.options)}
        case Join():
            return 4, {"opts": _options(of.options), "rooms": of.rooms}
        case Leave():
            return 5, {"opts": _options(of.options), "rooms": of.rooms}
        case Disconnect():
            return 6, {"opts": _options(of.options), "close": of.close}
        case Fetch():
            return 7, {"opts": _options(of.options), "requestId": of.request}
        case Fetched():
            return 8, {"requestId": of.request, "sockets": values.packable(of.sockets)}
        case ServerSide():
            asked = {} if of.request is None else {"requestId": of.request}
            return 9, asked | {"packet": values.packable(of.event)}
        case Emitted():
            return 10, {"requestId": of.request, "packet": values.packable(of.value)}
        case Counted():
            return 11, {"requestId": of.request, "clientCount": of.count}
        case Acked():
            return 12, {"requestId": of.request, "packet": values.packable(of.value)}
        case Beat():
            return of.kind, None
    raise ProtocolError(f"{type(of).__name__} is nothing that this format has")


def message(uid: str, kind: Any, data: Any) -> Message:
    """A message of its type and `data`.

    Raises:
        ProtocolError: It is none.
    """
    if kind in (1, 2, 13):
        return Beat(uid, kind)
    said = values.taken(data, dict)
    match kind:
        case 3:
            packet = values.taken(said.get("packet"), dict)
            ack = packet.get("id")
            return Broadcast(
                uid,
                values.event(packet.get("data")),
                values.options(said.get("opts")),
                None if said.get("requestId") is None else _request(said),
                None if ack is None else values.taken(ack, int),
            )
        case 4:
            return Join(uid, values.options(said.get("opts")), values.texts(said.get("rooms")))
        case 5:
            return Leave(uid, values.options(said.get("opts")), values.texts(said.get("rooms")))
        case 6:
            return Disconnect(uid, values.options(said.get("opts")), said.get("close") is True)
        case 7:
            return Fetch(uid, values.options(said.get("opts")), _request(said))
        case 8:
            sockets = values.taken(said.get("sockets"), list)
            found = [values.taken(socket, dict) for socket in sockets]
            return Fetched(_request(said), found, uid)
        case 9:
            request = None if said.get("requestId") is None else _request(said)
            return ServerSide(uid, values.event(said.get("packet")), request)
        case 10:
            return Emitted(_request(said), said.get("packet"), uid)
        case 11:
            return Counted(_request(said), values.taken(said.get("clientCount"), int), uid)
        case 12:
            return Acked(_request(said), said.get("packet"), uid)
    raise ProtocolError("a message of no known type")


def _request(said: dict[str, Any]) -> str:
    return str(values.taken(said.get("requestId"), str))


def _options(of: Options) -> dict[str, Any]:
    return {"rooms": of.rooms, "except": of.excluded, "flags": values.flags(of)}
