"""What a server does to its namespace `/`, as in Node, where `io.on` and `io.emit` mean that; and short ways to users and rooms."""

from collections.abc import Callable
from typing import Any, Final, overload

from clarion.errors import UsageError
from clarion.realtime.emitter import Emitter
from clarion.realtime.handlers import Handler
from clarion.realtime.listeners import H
from clarion.realtime.namespace import M, Namespace
from clarion.realtime.namespaces import Namespaces
from clarion.realtime.socket import Socket
from clarion.realtime.speaking import Speaking

OWN_EVENTS: Final = ("new_namespace",)
"""Of the server itself; the others that `on` knows are those of `/`."""


class Root(Speaking[Socket]):
    """The part of a server that speaks for `/`."""

    home: str
    _root: Namespace
    _spaces: Namespaces
    _events: Emitter

    # ── setting up ──
    def use(self, middleware: M) -> M:
        """A middleware of `/`; see `Namespace.use`."""
        return self._root.use(middleware)

    @overload
    def on(self, event: str) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str, handler: H) -> H: ...
    def on(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with each socket that connects to `/` (`@io.on("connection")`), or with each `new_namespace`."""
        target: Emitter | Namespace = self._events if _is_own(event) else self._root
        return target.on(event) if handler is None else target.on(event, handler)

    @overload
    def once(self, event: str) -> Callable[[H], H]: ...
    @overload
    def once(self, event: str, handler: H) -> H: ...
    def once(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """As `on`, for the next such event alone."""
        target: Emitter | Namespace = self._events if _is_own(event) else self._root
        return target.once(event) if handler is None else target.once(event, handler)

    def off(self, event: str, handler: Handler) -> None:
        """Call this handler no more."""
        (self._events if _is_own(event) else self._root).off(event, handler)

    @overload
    def handle(self, event: str | float) -> Callable[[H], H]: ...
    @overload
    def handle(self, event: str | float, handler: H) -> H: ...
    def handle(self, event: str | float, handler: H | None = None) -> H | Callable[[H], H]:
        """Handle an event of every socket of `/`; see `Namespace.handle`."""
        return self._root.handle(event) if handler is None else self._root.handle(event, handler)

    def handle_others(self, handler: H) -> H:
        """Handle the events of `/` that nobody listens to; see `Namespace.handle_others`."""
        return self._root.handle_others(handler)

    @overload
    def on_server_side(self, event: str) -> Callable[[H], H]: ...
    @overload
    def on_server_side(self, event: str, handler: H) -> H: ...
    def on_server_side(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Hear what other nodes emit to `/`; see `Namespace.on_server_side`."""
        root = self._root
        return (
            root.on_server_side(event) if handler is None else root.on_server_side(event, handler)
        )

    # ── speaking ──
    def server_side_emit(self, event: str, *args: Any) -> None:
        """Tell `/` of the other nodes; see `Namespace.server_side_emit`."""
        self._root.server_side_emit(event, *args)

    async def server_side_emit_with_ack(self, event: str, *args: Any) -> list[Any]:
        """Ask `/` of the other nodes; see `Namespace.server_side_emit_with_ack`."""
        return await self._root.server_side_emit_with_ack(event, *args)

    def emit_to_user(self, user: str, event: str, *args: Any, namespace: str | None = None) -> int:
        """Send an event to all sockets of a user.

        Args:
            user: As in `socket.user`.
            event: As for `Operator.emit`.
            args: As for `Operator.emit`.
            namespace: None: `home`.

        Returns:
            To how many sockets of this process.

        Raises:
            UsageError: There is no such namespace, or as for `Operator.emit`.
        """
        return self._existing(namespace).to(f"user:{user}").emit(event, *args)

    def emit_to_room(self, room: str, event: str, *args: Any, namespace: str | None = None) -> int:
        """Send an event to everybody in a room; as `emit_to_user`."""
        return self._existing(namespace).to(room).emit(event, *args)

    def broadcast(self, event: str, *args: Any, namespace: str | None = None) -> int:
        """Send an event to everybody in a namespace, of whatever tenant; as `emit_to_user`."""
        return self._existing(namespace).emit(event, *args)

    def _existing(self, name: str | None) -> Namespace:
        name = self.home if name is None else name
        found = self._spaces.by_name.get(name)
        if found is None:
            raise UsageError(f"there is no namespace {name!r}: make it with `server.of`")
        return found


def _is_own(event: str) -> bool:
    return str(event).replace("-", "_") in OWN_EVENTS
