"""A namespace: who may come in, who is in, and how to speak to all of them.

A client that asks to come in passes the middlewares one after another; while one of them waits the client counts as joining.
Only then is it in, is told so, and do `connection` handlers see it.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, overload

from clarion.errors import (
    ConnectRefused,
    PeerError,
    ServerError,
    TooManyConnections,
    UsageError,
)
from clarion.ids import Ids
from clarion.protocol import socketio
from clarion.protocol.parser import Parser
from clarion.realtime.any_events import AnyEvents
from clarion.realtime.conn import Session
from clarion.realtime.handlers import Handler, Runner, as_told, check_takes, nobody_asked
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.hub import Hub
from clarion.realtime.listeners import H, Listeners, check_named
from clarion.realtime.outgoing import Outgoing
from clarion.realtime.peers import Peers
from clarion.realtime.recovery import Recovery, Restored
from clarion.realtime.server_side import ServerSide
from clarion.realtime.shelf import Expired, Recoverable, Shelf
from clarion.realtime.socket import Socket
from clarion.realtime.speaking import Speaking
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded

log = get_logger(__name__)

Middleware = Callable[[Socket], Awaitable[bool | None] | bool | None]
"""Sees a socket before it is connected; raises ConnectRefused (or another PeerError or ServerError), or returns False, to keep it out."""
M = TypeVar("M", bound=Callable[[Socket], Any])

_CONNECTION: Final = ("connect", "connection")
_EVENTS: Final = {
    **dict.fromkeys(_CONNECTION, "the socket"),
    "recovery_expired": "an `Expired`",
}
"""What there is to listen to, and what a listener is called with."""


class Namespace(AnyEvents, Speaking[Socket]):
    """One namespace of a server; get it by `server.of(name)`.

    Args:
        name: `/` or `/…`.
        limits: The server's.
        wheel: The server's timer.
        runner: Calls the server's handlers.
        ids: Makes the ids of sockets.
        parser: How packets are encoded.
        shelf: Where it keeps what clients need that come back; None: recovery is off.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        wheel: Wheel,
        runner: Runner,
        ids: Ids,
        parser: Parser = socketio,
        shelf: Shelf | None = None,
    ) -> None:
        # Fixed at creation
        self.name = name
        self._hub: Hub[Socket] = Hub(name, limits, wheel, runner, parser)
        self._hub.namespace = self
        if shelf is not None:
            self._hub.recovery = Recovery(name, shelf, on_expired=self._expired)
        self._ids = ids
        self.server_side: Final = ServerSide(runner)
        """What other nodes are told and tell; `heard` is for a backplane."""
        # Grows while the application sets itself up
        self._middlewares: Sequence[Middleware] = ()
        self._on_connection = Listeners()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # ── setting up ──
    def use(self, middleware: M) -> M:
        """Let a function judge every client that wants to come in, in the order of registration; a decorator.

        It gets the socket, which is not connected yet, with `handshake`, `data`, `user` and `principal` to be set. `def` or
        `async def`. What it raises keeps the client out: a PeerError or ServerError is told as `connect_error` with `err.message`
        and `err.data = {code, message, …}`, anything else is logged and told as `internal`. To return False is to raise
        `ConnectRefused()`.

        Raises:
            UsageError: It does not take one argument.
        """
        check_takes(middleware, "the socket")

        def change(it: Namespace) -> None:
            it._middlewares = (*it._middlewares, middleware)

        self._set_up(change)
        return middleware

    @overload
    def on(self, event: str) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str, handler: H) -> H: ...
    def on(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with each socket that connects; `event` is `connection` (or `connect`, which comes before).

        With `recovery_expired` it is called with each `Expired`: a socket whose client was away for too long, or came in vain.
        """
        _check(event)
        if handler is None:
            return lambda given: self.on(event, given)
        check_takes(handler, _EVENTS[event])
        self._set_up(lambda it: it._on_connection.add(event, handler))
        return handler

    @overload
    def once(self, event: str) -> Callable[[H], H]: ...
    @overload
    def once(self, event: str, handler: H) -> H: ...
    def once(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """As `on`, for the next socket alone."""
        _check(event)
        if handler is None:
            return lambda given: self.once(event, given)
        check_takes(handler, _EVENTS[event])
        self._set_up(lambda it: it._on_connection.add_once(event, handler))
        return handler

    def off(self, event: str, handler: Handler) -> None:
        """Call this handler of `connection` or `connect` no more."""
        self._set_up(lambda it: it._on_connection.remove(event, handler))

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Call nobody with new sockets any more; `event` is `connection` or `connect`, None is both."""
        self._set_up(lambda it: it._on_connection.remove_all(event))

    def listeners(self, event: str) -> list[Handler]:
        """Who is called with new sockets, in this order."""
        return self._on_connection.handlers(event)

    @overload
    def handle(self, event: str | float) -> Callable[[H], H]: ...
    @overload
    def handle(self, event: str | float, handler: H) -> H: ...
    def handle(self, event: str | float, handler: H | None = None) -> H | Callable[[H], H]:
        """Handle an event of every socket: as `socket.on`, but the handler gets the socket first.

        One registration for all: ten thousand sockets hold no handlers of their own. Also for `disconnecting` and `disconnect`.

        Raises:
            UsageError: As for `socket.on`, or the handler does not take the socket.
        """
        if handler is None:
            check_named(event)
            return lambda given: self.handle(event, given)
        self._set_up(lambda it: it._hub.listeners.add(event, handler))
        return handler

    def unhandle(self, event: str | float, handler: Handler) -> None:
        """Take back what `handle` did."""
        self._set_up(lambda it: it._hub.listeners.remove(event, handler))

    def handle_others(self, handler: H) -> H:
        """Handle the events that nobody listens to, which are refused as `unknown_event` otherwise; a decorator. One a namespace.

        It gets the socket, the event's name and its arguments, and answers as every handler does.
        """
        self._set_up(lambda it: it._hub.listeners.set_others(handler))
        return handler

    # ── other nodes ──
    @overload
    def on_server_side(self, event: str) -> Callable[[H], H]: ...
    @overload
    def on_server_side(self, event: str, handler: H) -> H: ...
    def on_server_side(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with what *other* nodes `server_side_emit`; what it returns is this node's answer.

        In Node it is `io.on(event)`, where a typing error in `connection` waits for such an event for ever.
        """
        if handler is None:
            return lambda given: self.on_server_side(event, given)
        self._set_up(lambda it: it.server_side.on(event, handler))
        return handler

    def server_side_emit(self, event: str, *args: Any) -> None:
        """Call the `on_server_side` listeners of this namespace on all *other* nodes: never those of this one.

        Raises:
            UsageError: The name is `connect`, `connection` or `new_namespace`, or a value can't be sent.
        """
        self.server_side.emit(event, args)

    async def server_side_emit_with_ack(self, event: str, *args: Any) -> list[Any]:
        """As `server_side_emit`, and wait for the answers: one of each other node, so none where this is the only one."""
        return await self.server_side.ask(event, args)

    # ── coming in: for sessions ──
    def make_socket(self, session: Session, auth: Mapping[str, Any]) -> Socket:
        """The socket of a client that asks to come in; `admit` decides about it."""
        if self._hub.recovery is None:
            return Socket(self._ids.token(), session, self._hub, auth)
        # The application sees what its client wrote, not what the library added.
        own = {key: value for key, value in auth.items() if key not in ("pid", "offset")}
        socket = Socket(self._ids.token(), session, self._hub, own)
        asked = (auth["pid"], auth.get("offset")) if "pid" in auth else None
        socket.recoverable = Recoverable(asked)
        return socket

    def admit(self, socket: Socket) -> None:
        """Let a socket pass the middlewares: at once, or in a task of its own from the first that waits."""
        recovery = self._hub.recovery
        if recovery is not None and recovery.skips_middlewares and not recovery.is_shared:
            restored = recovery.restore(socket, trusts_pid=True)
            if restored is not None:
                socket.user, socket.principal = restored.parked.user, restored.parked.principal
                socket.user_room = restored.parked.user_room
                self._let_in(socket, restored)
                return
        try:
            for number, middleware in enumerate(self._middlewares):
                waiting = middleware(socket)
                if waiting is False:
                    raise ConnectRefused()
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
        self, socket: Socket, waiting: Awaitable[bool | None], rest: Sequence[Middleware]
    ) -> None:
        try:
            passed = await waiting
            for middleware in rest:
                if passed is False or not socket.is_joining:
                    break
                result = middleware(socket)
                passed = await result if inspect.isawaitable(result) else result
            if passed is False:
                raise ConnectRefused()
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
        recovery = self._hub.recovery
        if recovery is None or not socket.is_joining:
            self._let_in(socket, None)
        elif recovery.is_shared and socket.recoverable is not None and socket.recoverable.asked:
            self._hub.runner.start(self._seek(socket, recovery), f"recovery in {self.name}")
        else:
            self._let_in(socket, recovery.restore(socket, trusts_pid=False))

    async def _seek(self, socket: Socket, recovery: Recovery) -> None:
        restored = await recovery.seek(socket)
        if restored is not None and not socket.is_joining:
            recovery.put_back(restored)
        self._let_in(socket, restored)

    def _let_in(self, socket: Socket, restored: Restored | None) -> None:
        if not socket.is_joining:
            return
        most = self._hub.limits.sessions_per_user
        if socket.user_room is not None and 0 < most <= self._hub.size_of(socket.user_room):
            limit_exceeded.labels("sessions_per_user").inc()
            told = f"a user has at most {most} connections (limits.sessions_per_user)"
            if restored is not None:
                restored.parked.lost("too_many")
            socket.one_too_many(TooManyConnections(told, limit=most).as_answer())
            return
        socket.joined(restored)
        for event in _CONNECTION:
            for listener in self._on_connection.by_event.get(event, ()):
                socket.greet(listener, event)

    def _expired(self, expired: Expired) -> None:
        event = "recovery_expired"
        for listener in self._on_connection.by_event.get(event, ()):
            self._hub.runner.call(listener, None, (expired,)[: listener.most], nobody_asked, event)

    # ── for a backplane ──
    @property
    def hub(self) -> Hub[Socket]:
        """Its sockets and rooms on this node."""
        return self._hub

    @property
    def peers(self) -> Peers | None:
        """The same namespace on other nodes; None: there are none."""
        return self._hub.peers

    @peers.setter
    def peers(self, peers: Peers) -> None:
        self._hub.peers = self.server_side.peers = peers

    async def server_count(self) -> int:
        """How many nodes there are, this one included.

        Raises:
            Unavailable: The others cannot be reached.
        """
        return 1 if self.peers is None else 1 + await self.peers.count()

    # ── for the registry of namespaces ──
    @property
    def guests(self) -> int:
        """How many clients are in it or in its middlewares."""
        return self._hub.guests

    def when_empty(self, call: Callable[[], None]) -> None:
        """Have it called each time that the last of them goes."""
        self._hub.on_empty = call

    # ── for listening to any event ──
    def _incoming(self) -> Listeners:
        return self._hub.listeners

    def _outgoing(self) -> Outgoing[Socket]:
        return self._hub.outgoing

    def _whose(self) -> None:
        """All of the namespace."""


def _check(event: str) -> None:
    check_named(event)
    if event not in _EVENTS:
        raise UsageError(
            f"a namespace has no event {event!r}, only {', '.join(_EVENTS)}: what clients send is for `handle({event!r})`, or for"
            f" `socket.on({event!r})` in a handler of `connection`, and what other nodes send for `on_server_side`"
        )
