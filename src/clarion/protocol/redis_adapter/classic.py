"""The format of @socket.io/redis-adapter 8 (and 5 to 7, which it understands) and of @socket.io/redis-emitter, over Pub/Sub.

    PREFIX#NSP#             broadcasts        MessagePack [uid, {type: 2, data, nsp}, {rooms, except, flags}]
    PREFIX#NSP#ROOM#        those to one room
    PREFIX-request#NSP#     requests          JSON {uid, requestId, type, …}; with values of sockets MessagePack
    PREFIX-response#NSP#    answers           likewise
    PREFIX-response#NSP#UID#                  answers, by servers that are set so

Requests: 0 ids of sockets, 1 rooms, 2 join, 3 leave, 4 disconnect, 5 sockets, 6 an event for servers (its answer: 6), 7 a broadcast that
wants answers (8: how many will answer, 9: an answer). Source: the adapter's own bytes (tests/data/socketio-vectors).
"""

from typing import Any, Final

from clarion.errors import ProtocolError
from clarion.protocol import jsontext
from clarion.protocol.redis_adapter import values
from clarion.protocol.redis_adapter.messages import (
    Acked,
    AllRooms,
    Broadcast,
    Counted,
    Disconnect,
    Done,
    Emitted,
    Fetch,
    Fetched,
    Join,
    Leave,
    ListedIds,
    ListIds,
    Message,
    Options,
    Rooms,
    ServerSide,
)

EMITTER: Final = "emitter"  # who says so that is no server


class Classic:
    """One namespace in this format.

    Args:
        namespace: Its name.
        prefix: As all servers have it: `key` in Node.
    """

    def __init__(self, namespace: str, prefix: str = "socket.io") -> None:
        self.namespace = namespace
        self.broadcasts = f"{prefix}#{namespace}#"
        self.requests = f"{prefix}-request#{namespace}#"
        self.answers = f"{prefix}-response#{namespace}#"

    def answers_to(self, uid: str) -> str:
        """Where one server is answered by those that are set so."""
        return f"{self.answers}{uid}#"

    # ── writing ──
    def channel(self, message: Message) -> str:
        """Where a message goes."""
        match message:
            case Broadcast(request=None):
                rooms = message.options.rooms
                return f"{self.broadcasts}{rooms[0]}#" if len(rooms) == 1 else self.broadcasts
            case (
                Broadcast()
                | Join()
                | Leave()
                | Disconnect()
                | Fetch()
                | ServerSide()
                | AllRooms()
                | ListIds()
            ):
                return self.requests
            case _:
                return self.answers

    def write(self, message: Message) -> bytes:
        """A message's bytes.

        Raises:
            UsageError: A value that can't be sent.
        """
        match message:
            case Broadcast(request=None):
                packet = self._packet(message)
                return values.pack([message.uid, packet, _options(message.options, message.uid)])
            case Broadcast():
                fields = _request(message.uid, message.request, 7)
                fields["packet"] = self._packet(message)
                fields["opts"] = _options(message.options, message.uid)
                return values.pack(fields)
            case Acked():
                answer = {"type": 9, "requestId": message.request}
                return values.pack(answer | {"packet": values.packable(message.value)})
            case _:
                return jsontext.write(_fields(message)).encode()

    def _packet(self, message: Broadcast) -> dict[str, Any]:
        return {"type": 2, "data": values.packable(message.event), "nsp": self.namespace}

    # ── reading ──
    def read(self, channel: str, data: bytes) -> Message | None:
        """What came on one of the channels; None: it is about another namespace, or an answer of a kind that there is not.

        Raises:
            ProtocolError: It is no message.
        """
        if channel.startswith(self.broadcasts):
            return self._broadcast(data)
        fields = values.read(data)
        if channel == self.requests:
            return self._request(fields)
        return _answer(fields)

    def room(self, channel: str) -> str | None:
        """The only room that what came on a channel is for; None: the message says."""
        name = channel[len(self.broadcasts) :]
        return name[:-1] if name.endswith("#") else None

    def _broadcast(self, data: bytes) -> Broadcast | None:
        said = values.taken(values.unpack(data), list)
        if len(said) != 3:
            raise ProtocolError("a broadcast has three parts")
        uid, packet, options = said
        event = self._event(packet)
        if event is None:
            return None
        return Broadcast(values.taken(uid, str), event, values.options(options))

    def _event(self, packet: Any) -> list[Any] | None:
        packet = values.taken(packet, dict)
        if packet.get("nsp", "/") != self.namespace:
            return None
        return values.event(packet.get("data"))

    def _request(self, said: dict[str, Any]) -> Message | None:
        uid, request = str(said.get("uid", EMITTER)), said.get("requestId")
        if request is not None:
            request = values.taken(request, str)
        kind = said.get("type")
        if "sid" in said:
            return _of_one(uid, request, said)
        match kind:
            case 2 | 3:
                made = Join if kind == 2 else Leave
                return made(uid, values.options(said.get("opts")), values.texts(said.get("rooms")))
            case 4:
                return Disconnect(uid, values.options(said.get("opts")), said.get("close") is True)
            case 6:
                return ServerSide(uid, values.event(said.get("data")), request)
        if request is None:
            raise ProtocolError("a request without an id, or of no known type")
        match kind:
            case 0:
                return ListIds(uid, request, values.texts(said.get("rooms", [])))
            case 1:
                return AllRooms(uid, request)
            case 5:
                return Fetch(uid, values.options(said.get("opts")), request)
            case 7:
                event = self._event(said.get("packet"))
                if event is None:
                    return None
                return Broadcast(uid, event, values.options(said.get("opts")), request)
        raise ProtocolError("a request of no known type")


def _of_one(uid: str, request: str | None, said: dict[str, Any]) -> Message:
    """A request of an adapter before version 7, which is about one socket."""
    options = Options((values.taken(said["sid"], str),))
    match said.get("type"):
        case 2:
            return Join(uid, options, values.texts([said.get("room")]), request)
        case 3:
            return Leave(uid, options, values.texts([said.get("room")]), request)
        case 4:
            return Disconnect(uid, options, said.get("close") is True, request)
    raise ProtocolError("a request of no known type about one socket")


def _answer(said: dict[str, Any]) -> Message:
    request = values.taken(said.get("requestId"), str)
    match said:
        case {"type": 6}:
            return Emitted(request, said.get("data"))
        case {"type": 8}:
            return Counted(request, values.taken(said.get("clientCount"), int))
        case {"type": 9}:
            return Acked(request, said.get("packet"))
        case {"rooms": rooms}:
            return Rooms(request, values.texts(rooms))
        case {"sockets": [str(), *_]}:
            return ListedIds(request, values.texts(said["sockets"]))
        case {"sockets": sockets}:
            found = [values.taken(socket, dict) for socket in values.taken(sockets, list)]
            return Fetched(request, found)
    return Done(request)


# ── writing: the order of keys is Node's ──


def _options(of: Options, uid: str) -> dict[str, Any]:
    said: dict[str, Any] = {"rooms": of.rooms}
    if uid == EMITTER:
        return said | {"flags": values.flags(of), "except": of.excluded}
    return said | {"except": of.excluded, "flags": values.flags(of)}


def _request(uid: str, request: str | None, kind: int) -> dict[str, Any]:
    named = {} if uid == EMITTER and kind != 6 else {"uid": uid}
    asked = {} if request is None else {"requestId": request}
    return named | asked | {"type": kind}


def _fields(message: Message) -> dict[str, Any]:
    match message:
        case Join() | Leave():
            said = _request(message.uid, message.request, 2 if isinstance(message, Join) else 3)
            if message.request is not None:
                return said | {"sid": message.options.rooms[0], "room": message.rooms[0]}
            return said | {"opts": _whom(message.options), "rooms": message.rooms}
        case Disconnect():
            said = _request(message.uid, message.request, 4)
            if message.request is not None:
                return said | {"sid": message.options.rooms[0], "close": message.close}
            return said | {"opts": _whom(message.options), "close": message.close}
        case Fetch():
            said = _request(message.uid, message.request, 5)
            return said | {"opts": _whom(message.options)}
        case ServerSide():
            return _request(message.uid, message.request, 6) | {"data": message.event}
        case AllRooms():
            return _request(message.uid, message.request, 1)
        case ListIds():
            return _request(message.uid, message.request, 0) | {"rooms": message.rooms}
        case Fetched():
            return {"requestId": message.request, "sockets": message.sockets}
        case Rooms():
            return {"requestId": message.request, "rooms": message.rooms}
        case ListedIds():
            return {"requestId": message.request, "sockets": message.ids}
        case Emitted():
            said = {"type": 6, "requestId": message.request}
            return said if message.value is None else said | {"data": message.value}
        case Counted():
            return {"type": 8, "requestId": message.request, "clientCount": message.count}
        case Done():
            return {"requestId": message.request}
    raise ProtocolError(f"{type(message).__name__} is nothing that this format has")


def _whom(of: Options) -> dict[str, Any]:
    return {"rooms": of.rooms, "except": of.excluded}
