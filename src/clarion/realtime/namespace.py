"""A namespace: who may come in, who is in, and how to speak to all of them.

A client that asks to come in passes the middlewares one after another; while one of them waits the client counts as joining.
Only then is it in, is told so, and do `connection` handlers see it.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar, overload

from clarion.errors import PeerError, ServerError, UsageError
from clarion.ids import Ids
from clarion.protocol import socketio
from clarion.protocol.parser import Parser
from clarion.realtime.handlers import Handler, Listener, Runner, as_told
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.hub import EVERYBODY, Hub, Selection
from clarion.realtime.operators import Operator
from clarion.realtime.socket import Session, Socket
from clarion.realtime.transports.base import Prepared
from clarion.settings import Limits
from clarion.telemetry import get_logger

log = get_logger(__name__)

H = TypeVar("H", bound=Handler)

Middleware = Callable[[Socket], Awaitable[None] | None]
"""Sees a socket before it is connected; raises ConnectRefused (or another PeerError or ServerError) to keep it out."""
M = TypeVar("M", bound=Callable[[Socket], Any])

_CONNECTION: Final = ("connect", "connection")


class Namespace:
    """One namespace of a server; get it by `server.of(name)`.

    Args:
        name: `/` or `/…`.
        limits: The server's.
        wheel: The server's timer.
        runner: Calls the server's handlers.
        ids: Makes the ids of sockets.
        parser: How packets are encoded.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        wheel: Wheel,
        runner: Runner,
        ids: Ids,
        parser: Parser = socketio,
    ) -> None:
        # Fixed at creation
        self.name = name
        self._hub: Hub[Socket] = Hub(name, limits, wheel, runner, parser)
        self._ids = ids
        self._everybody = Operator(self._hub)
        # Grows while the application sets itself up
        self._middlewares: list[Middleware] = []
        self._on_connection: dict[str, list[Listener]] = {event: [] for event in _CONNECTION}

    # ── setting up ──
    def use(self, middleware: M) -> M:
        """Let a function judge every client that wants to come in, in the order of registration; a decorator.

        It gets the socket, which is not connected yet, with `handshake`, `data`, `user` and `principal` to be set. `def` or
        `async def`. What it raises keeps the client out: a PeerError or ServerError is told as `connect_error` with `err.message`
        and `err.data = {code, message, …}`, anything else is logged and told as `internal`.
        """
        self._middlewares.append(middleware)
        return middleware

    @overload
    def on(self, event: str) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str, handler: H) -> H: ...
    def on(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with each socket that connects; `event` is `connection` (or `connect`, which comes before)."""
        if event not in _CONNECTION:
            raise UsageError(
                f"a namespace has no event {event!r}: use `handle` for events of all its sockets"
            )
        if handler is None:
            return lambda given: self.on(event, given)
        self._on_connection[event].append(Listener(handler))
        return handler

    @overload
    def handle(self, event: str | float) -> Callable[[H], H]: ...
    @overload
    def handle(self, event: str | float, handler: H) -> H: ...
    def handle(self, event: str | float, handler: H | None = None) -> H | Callable[[H], H]:
        """Handle an event of every socket: as `socket.on`, but the handler gets the socket first.

        One registration for all: ten thousand sockets hold no handlers of their own. Also for `disconnecting` and `disconnect`.
        """
        if handler is None:
            return lambda given: self.handle(event, given)
        listeners = self._hub.listeners.setdefault(event, [])
        listeners.append(Listener(handler, takes_socket=True))
        return handler

    # ── speaking ──
    @property
    def sockets(self) -> Mapping[str, Socket]:
        """Those that are connected to this process, by id."""
        return self._hub.sockets

    @property
    def rooms(self) -> dict[str, int]:
        """Rooms that somebody of this process joined, and how many; without the rooms of ids."""
        return self._hub.rooms()

    def to(self, *rooms: str) -> Operator[Socket]:
        """Everybody in any of these rooms."""
        return self._everybody.to(*rooms)

    def in_(self, *rooms: str) -> Operator[Socket]:
        """The same as `to`."""
        return self._everybody.to(*rooms)

    def except_(self, *rooms: str) -> Operator[Socket]:
        """Everybody who is in none of these rooms."""
        return self._everybody.except_(*rooms)

    @property
    def volatile(self) -> Operator[Socket]:
        """Everybody; the event is dropped for those who are behind."""
        return self._everybody.volatile

    def timeout(self, seconds: float) -> Operator[Socket]:
        """Everybody; how long to wait for answers."""
        return self._everybody.timeout(seconds)

    def emit(self, event: str, *args: Any) -> int:
        """Send an event to everybody; see `Operator.emit`."""
        return self._everybody.emit(event, *args)

    def prepare(self, event: str, *args: Any) -> Prepared:
        """Encode an event once, for `deliver` of many sockets.

        Raises:
            UsageError: A reserved name, or a value that can't be sent.
        """
        return self._hub.prepare(event, args)

    def deliver(self, prepared: Prepared, selection: Selection = EVERYBODY) -> int:
        """Send an event that was encoded by `prepare`; returns to how many of this process."""
        return self._hub.deliver(selection, prepared)

    async def fetch_sockets(self) -> list[Socket]:
        """Everybody."""
        return await self._everybody.fetch_sockets()

    async def disconnect_sockets(self, *, close: bool = False) -> None:
        """Put everybody out; with `close` end their sessions."""
        await self._everybody.disconnect_sockets(close=close)

    # ── coming in: for sessions ──
    def make_socket(self, session: Session, auth: Mapping[str, Any]) -> Socket:
        """The socket of a client that asks to come in; `admit` decides about it."""
        return Socket(self._ids.token(), session, self._hub, auth)

    def admit(self, socket: Socket) -> None:
        """Let a socket pass the middlewares: at once, or in a task of its own from the first that waits."""
        try:
            for number, middleware in enumerate(self._middlewares):
                waiting = middleware(socket)
                if inspect.isawaitable(waiting):
                    rest = self._middlewares[number + 1 :]
                    work = self._admit_later(socket, waiting, rest)
                    self._hub.runner.start(work, f"middlewares of {self.name}")
                    return
        except Exception as exc:  # noqa: BLE001  a middleware may raise anything
            self._refuse(socket, exc)
        else:
            self._welcome(socket)

    async def _admit_later(
        self, socket: Socket, waiting: Awaitable[None], rest: list[Middleware]
    ) -> None:
        try:
            await waiting
            for middleware in rest:
                if not socket.is_joining:
                    return  # the client left meanwhile
                result = middleware(socket)
                if inspect.isawaitable(result):
                    await result
        except Exception as exc:  # noqa: BLE001  as above
            self._refuse(socket, exc)
        else:
            self._welcome(socket)

    def _refuse(self, socket: Socket, exc: Exception) -> None:
        if not isinstance(exc, PeerError | ServerError):
            log.error("middleware failed", namespace=self.name, exc_info=exc)
        if socket.is_joining:
            socket.refused(as_told(exc))

    def _welcome(self, socket: Socket) -> None:
        if not socket.is_joining:
            return
        socket.joined()
        for event, listeners in self._on_connection.items():
            for listener in listeners:
                socket.greet(listener, event)
