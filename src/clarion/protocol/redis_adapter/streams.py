"""The format of @socket.io/redis-streams-adapter 0.3 for what is kept: entries of a stream, and sessions for who comes back.

    XADD STREAM MAXLEN ~ n * uid … nsp … type "3" data …        data: JSON, or base64 of MessagePack where there are bytes
    SET sio:session:PID <base64 of MessagePack {sid, pid, rooms, data}> PX …

The id of an entry is the offset that clients come back with. Source: the adapter's own bytes (tests/data/socketio-vectors).
"""

import base64
import binascii
import re
from typing import Any, Final

from msgspec import Struct

from clarion.errors import ProtocolError
from clarion.protocol import jsontext
from clarion.protocol.redis_adapter import cluster, values
from clarion.protocol.redis_adapter.messages import Message

KEPT: Final = (3, 4, 5, 6)  # types that are in the stream, but for a broadcast that wants answers
_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")


def position_of(id: str) -> int:
    """The id of an entry as a number that orders as ids do."""
    ms, _, number = id.partition("-")
    return int(ms) << 64 | int(number)


def id_at(position: int) -> str:
    """What `position_of` was given."""
    return f"{position >> 64}-{position & _LOW}"


_LOW: Final = (1 << 64) - 1


def is_offset(text: str) -> bool:
    """Whether this can be the id of an entry."""
    return _ID.fullmatch(text) is not None


class Entry(Struct, frozen=True):
    """An entry of the stream.

    Args:
        namespace: What it is about.
        uid: Whose it is.
        message: What it says.
    """

    namespace: str
    uid: str
    message: Message

    def write(self) -> dict[str, str]:
        """Its fields.

        Raises:
            UsageError: A value that can't be sent.
        """
        kind, data = cluster.fields(self.message)
        if values.has_bytes(data):
            text = base64.b64encode(values.pack(data)).decode()
        else:
            text = jsontext.write(data)
        return {"uid": self.uid, "nsp": self.namespace, "type": str(kind), "data": text}

    @classmethod
    def read(cls, fields: dict[bytes, bytes]) -> "Entry":
        """Of what a stream holds.

        Raises:
            ProtocolError: It is no entry.
        """
        try:
            uid, namespace = fields[b"uid"].decode(), fields[b"nsp"].decode()
            kind, data = int(fields[b"type"]), fields.get(b"data", b"")
        except (KeyError, ValueError) as exc:
            raise ProtocolError("no entry of a stream of Socket.IO") from exc
        value = values.read_json(data) if data[:1] == b"{" else _unpacked(data)
        return cls(namespace, uid, cluster.message(uid, kind, value))


class Kept(Struct, frozen=True):
    """A socket as it is kept for its client.

    Args:
        id: The socket's.
        pid: What its client, and nobody else, knows it by.
        rooms: Those that it is in.
        data: What the application put there.
        more: What servers of Clarion know beside it; those of Node pass over it.
    """

    id: str
    pid: str
    rooms: tuple[str, ...]
    data: Any
    more: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """Its key in Redis."""
        return session_key(self.pid)

    def write(self) -> bytes:
        """Its value in Redis.

        Raises:
            UsageError: `data` can't be kept.
        """
        data = values.packable(self.data)
        fields = {"sid": self.id, "pid": self.pid, "rooms": self.rooms, "data": data}
        if self.more:
            fields["clarion"] = self.more
        return base64.b64encode(values.pack(fields))

    @classmethod
    def read(cls, value: bytes) -> "Kept":
        """Of what Redis holds.

        Raises:
            ProtocolError: It is no session.
        """
        said = values.taken(_unpacked(value), dict)
        id, pid = values.taken(said.get("sid"), str), values.taken(said.get("pid"), str)
        more = said.get("clarion")
        rooms = values.texts(said.get("rooms"))
        return cls(id, pid, rooms, said.get("data"), more if type(more) is dict else {})


def session_key(pid: str) -> str:
    """Where a session is kept."""
    return f"sio:session:{pid}"


def _unpacked(data: bytes) -> Any:
    try:
        return values.unpack(base64.b64decode(data, validate=True)) if data else None
    except binascii.Error as exc:
        raise ProtocolError(f"bad base64: {exc}") from exc
