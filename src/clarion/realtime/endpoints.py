"""The raw endpoints of a server: who is let in, and which connections are open."""

from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Any, Final, Protocol

from clarion.clock import Clock
from clarion.errors import UsageError
from clarion.realtime.admission import Admission, Ingress
from clarion.realtime.egress import Flusher
from clarion.realtime.handlers import Runner
from clarion.realtime.handshake import make_handshake
from clarion.realtime.origins import Origins
from clarion.realtime.raw import RawConnection, RawHandler
from clarion.realtime.transports.base import Transport
from clarion.realtime.transports.deflated import Deflating
from clarion.realtime.transports.head import Refused, Upgrade
from clarion.realtime.transports.leaving import Admit
from clarion.realtime.transports.request import Request
from clarion.realtime.transports.websocket import SessionSocket
from clarion.settings import Limits


class Door(Protocol):
    """The server's door, which sessions and raw connections share."""

    origins: Origins
    admission: Admission

    def count(self, address: str = "") -> None:
        """Take a newcomer into account; raises Refused."""
        ...


class RawEndpoints:
    """Admits WebSockets that are no Socket.IO.

    Args:
        limits: How much clients may do.
        flusher: The server's.
        runner: Owns the tasks of handlers.
        door: Says who may come.
        clock: Says when.
        now: The time that rates are measured with (s).
    """

    def __init__(
        self,
        limits: Limits,
        flusher: Flusher,
        runner: Runner,
        door: Door,
        clock: Clock,
        now: Callable[[], float],
    ) -> None:
        # Fixed at creation
        self.limits, self.flusher, self.now = limits, flusher, now
        self.ingress = Ingress.of(limits)
        self.start: Final[Callable[[Coroutine[Any, Any, None], str], None]] = runner.start
        self._door, self._clock = door, clock
        # Changes while open. A dict, because a set has no order to replay.
        self._open: dict[RawConnection, None] = {}

    @property
    def open(self) -> list[RawConnection]:
        """Those that are open."""
        return list(self._open)

    def admit(
        self, handler: RawHandler, subprotocols: Sequence[str], deflating: Deflating | None
    ) -> Admit:
        """What decides about upgrades on one path.

        Args:
            handler: Serves the connections.
            subprotocols: That can be spoken; the client's first that is among them is taken.
            deflating: Agrees on compression; None: not offered.
        """

        def admit(upgrade: Upgrade) -> SessionSocket:
            request = Request.of_upgrade(upgrade)
            origin, host = request.header(b"origin"), request.header(b"host")
            if not self._door.origins.allows(origin, host, is_secure=request.is_secure):
                raise Refused(403, "foreign origin")
            self._door.count(request.address)
            subprotocol = _subprotocol(request, subprotocols)
            if subprotocol:
                upgrade.answer.append(("Sec-WebSocket-Protocol", subprotocol))
            handshake = make_handshake(request, self._clock.now_ms())

            def begin(transport: Transport) -> RawConnection:
                assert isinstance(transport, SessionSocket)
                connection = RawConnection(self, handler, handshake, transport, subprotocol)
                self._open[connection] = None
                self._door.admission.entered(handshake.address)
                connection.open()
                return connection

            return SessionSocket(begin) if deflating is None else deflating.socket(upgrade, begin)

        return admit

    def ended(self, connection: RawConnection) -> None:
        """Forget a connection."""
        del self._open[connection]
        self._door.admission.left(connection.request.address)


def _subprotocol(request: Request, ours: Sequence[str]) -> str:
    """The client's first that is among ours; empty if none is."""
    for name in request.header(b"sec-websocket-protocol").split(b","):
        if (found := name.strip().decode("latin-1")) in ours:
            return found
    return ""


def check_path(path: str, *, taken: Container[str]) -> None:
    """Refuse a path that cannot be an endpoint's.

    Raises:
        UsageError: Why.
    """
    if not path.startswith("/") or not path.isascii() or "?" in path or "#" in path:
        raise UsageError(f"{path!r} is no path: it begins with / and is ASCII without ? and #")
    if path in taken:
        raise UsageError(f"{path!r} is served already")
