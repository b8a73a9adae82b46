"""A socket of another node: what that said of it when it was asked, and how to act on it from here."""

from typing import Any

from msgspec import Struct

from clarion.errors import AckTimeout
from clarion.realtime.acks import DEFAULT_TIMEOUT_S, checked_timeout
from clarion.realtime.handshake import Handshake
from clarion.realtime.peers import Described, Peers, Selection
from clarion.realtime.rooms import Rooms, chosen


class RemoteSocket(Struct, frozen=True):
    """As `RemoteSocket` in Node. Its rooms and data are those of the moment when it was asked for.

    Args:
        id: Its id, and the name of its own room.
        namespace: Where it is.
        handshake: The first request of its session.
        rooms: Those that it is in, its own first.
        data: What its application put there.
        transport: `polling` or `websocket`; empty where its node, one of Node's, does not say.
        peers: Where it is reached.
    """

    id: str
    namespace: str
    handshake: Handshake
    rooms: tuple[str, ...]
    data: Any
    transport: str
    peers: Peers

    @classmethod
    def of(cls, described: Described, namespace: str, peers: Peers) -> "RemoteSocket":
        """Of what its node says."""
        return cls(
            described.id,
            namespace,
            _handshake(described.handshake),
            described.rooms,
            described.data,
            described.transport,
            peers,
        )

    @property
    def connected(self) -> bool:
        """As it was when it was asked for."""
        return True

    @property
    def _itself(self) -> Selection:
        return Selection((self.id,))

    def emit(self, event: str, *args: Any) -> None:
        """Send an event to its client; see `Peers.emit`."""
        self.peers.emit(self._itself, (event, *args), is_one=True)

    async def emit_with_ack(
        self, event: str, *args: Any, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Any:
        """Send an event and wait for the answer: its first argument.

        Raises:
            AckTimeout: There was none in time.
            Unavailable: Its node cannot be reached.
        """
        answers = await self.peers.ask(
            self._itself, (event, *args), checked_timeout(timeout_s), is_one=True
        )
        if not answers.values:
            raise AckTimeout()
        return answers.values[0]

    def join(self, *rooms: Rooms) -> None:
        """Put it into rooms; see `Peers.join`."""
        self.peers.join(self._itself, tuple(chosen(rooms)))

    def leave(self, room: str) -> None:
        """Take it out of a room."""
        self.peers.leave(self._itself, (room,))

    def disconnect(self, *, close: bool = False) -> None:
        """Put it out of its namespace; with `close` end its session."""
        self.peers.disconnect(self._itself, close=close)


def described(handshake: Handshake) -> dict[str, Any]:
    """A handshake as Node describes it to other servers."""
    return {
        "headers": handshake.headers,
        "time": handshake.time,
        "address": handshake.address,
        "xdomain": handshake.xdomain,
        "secure": handshake.secure,
        "issued": handshake.issued,
        "url": handshake.url,
        "query": handshake.query,
        "auth": dict(handshake.auth),
    }


def _handshake(said: dict[str, Any]) -> Handshake:
    """What another server says of one, as far as it is one."""

    def text(name: str) -> str:
        return value if type(value := said.get(name)) is str else ""

    headers, auth, issued = said.get("headers"), said.get("auth"), said.get("issued")
    lines = headers.items() if isinstance(headers, dict) else ()
    raw = "\n".join(f"{name}:{value}".replace("\n", " ") for name, value in lines)
    return Handshake(
        text("address"),
        said.get("secure") is True,
        issued if type(issued) is int else 0,
        text("url"),
        auth if isinstance(auth, dict) else {},
        raw.encode("latin-1", "replace"),
    )
