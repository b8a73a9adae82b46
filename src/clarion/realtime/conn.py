"""What a socket needs of its session, and what the application may know of it."""

from typing import Protocol

from msgspec import Struct

from clarion.protocol.codes import Reason
from clarion.realtime.egress import Egress
from clarion.realtime.handshake import Handshake


class Session(Protocol):
    """What a socket needs of its session."""

    @property
    def id(self) -> str:
        """The session's id."""
        ...

    @property
    def egress(self) -> Egress:
        """Where bytes go."""
        ...

    @property
    def handshake(self) -> Handshake:
        """What the client said when it opened the session."""
        ...

    @property
    def transport_name(self) -> str:
        """`polling` or `websocket`."""
        ...

    @property
    def unanswered_s(self) -> float:
        """For how long its peer has not answered a ping, nor said anything else (s)."""
        ...

    async def drained(self) -> None:
        """Wait until the client has taken what waits, or the session has ended."""
        ...

    def forget(self, namespace: str, *, was_in: bool) -> None:
        """The socket of a namespace has left, or was not let in."""
        ...

    def unwanted(self) -> None:
        """Its user has too many already: end it, unless it is in another namespace."""
        ...

    def close(self, reason: Reason, code: int | None = None, text: str = "") -> None:
        """End the session."""
        ...


class Connection(Struct, frozen=True):
    """What a socket's session runs on at the moment, as `socket.conn` in Node."""

    id: str
    """The session's."""
    transport: str
    """`polling` or `websocket`."""
    remote_address: str
    """The client's, as a trusted proxy told it where there is one."""
    protocol: int = 4
    """Revision of Engine.IO."""


class Details(Struct, frozen=True):
    """More about why a session has ended: what `disconnecting` and `disconnect` listeners may take behind the reason."""

    code: int | None
    """Close code of the WebSocket, where this server chose one: see `protocol.codes.CloseCode`."""
    text: str
    """For people: the limit that was exceeded, or what was wrong with a packet; empty if there is no more to say."""
