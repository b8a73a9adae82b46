"""What an operator may do from the page: emit, join, leave, disconnect. Each is written into the log.

The page sends no acks; who asks for one is answered, with the error where something is wrong.
"""

from collections.abc import Mapping
from typing import Any, Final

from clarion.errors import Invalid, UnknownNamespace, UsageError
from clarion.realtime.namespace import Namespace
from clarion.realtime.operators import Operator
from clarion.realtime.rooms import check_room
from clarion.realtime.server import Server
from clarion.realtime.socket import Socket
from clarion.telemetry import get_logger

log = get_logger(__name__)

FEATURES: Final = ("EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT")
"""What the page offers where it may do all of this; those with an M take a room, too, or everybody."""


class Commands:
    """The commands, for all pages.

    Args:
        io: What they act on.
    """

    def __init__(self, io: Server) -> None:
        self._io = io

    def install(self, namespace: Namespace) -> None:
        """Take them from every socket of a namespace."""
        namespace.handle("emit", self.emit)
        namespace.handle("join", self.join)
        namespace.handle("leave", self.leave)
        namespace.handle("_disconnect", self.disconnect)

    def emit(self, by: Socket, nsp: Any, chosen: Any, event: Any, *args: Any) -> None:
        """Send an event to those chosen: everybody, a room, or a socket by its id."""
        whom = self._whom(nsp, chosen)
        try:
            whom.emit(event, *args)
        except UsageError as exc:
            raise Invalid(exc.message) from exc
        _acted(by, "emit", nsp, chosen, event_name=str(event)[:64])

    async def join(self, by: Socket, nsp: Any, room: Any, chosen: Any = None) -> None:
        """Put those chosen into a room."""
        check_room(room, self._io.limits.name_bytes)
        await self._whom(nsp, chosen).sockets_join(room)
        _acted(by, "join", nsp, chosen, room=room)

    async def leave(self, by: Socket, nsp: Any, room: Any, chosen: Any = None) -> None:
        """Take those chosen out of a room."""
        check_room(room, self._io.limits.name_bytes)
        await self._whom(nsp, chosen).sockets_leave(room)
        _acted(by, "leave", nsp, chosen, room=room)

    async def disconnect(
        self, by: Socket, nsp: Any, close: Any = False, chosen: Any = None
    ) -> None:
        """Put those chosen out of their namespace; with `close` end their sessions."""
        whom = self._whom(nsp, chosen)
        _acted(by, "disconnect", nsp, chosen, close=bool(close))
        await whom.disconnect_sockets(close=bool(close))

    def _whom(self, nsp: Any, chosen: Any) -> Operator[Socket]:
        namespaces: Mapping[str, Namespace] = self._io.namespaces
        # Node makes the namespace that a page names.
        where = namespaces.get(nsp) if isinstance(nsp, str) else None
        if where is None:
            raise UnknownNamespace()
        if not chosen:
            return where.except_()
        if not isinstance(chosen, str):
            raise Invalid("a room or the id of a socket is text")
        return where.to(chosen)


def _acted(by: Socket, what: str, nsp: str, chosen: Any, **facts: Any) -> None:
    address = by.handshake.address
    whom = chosen or "everybody"
    log.info("admin page", did=what, namespace=nsp, whom=whom, address=address, **facts)
