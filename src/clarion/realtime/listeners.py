"""Who handles the events of clients: by name, and of any name. One registry a namespace, for all its sockets, and one a socket.

A registry may change while an event goes through it: whoever is called was there when the event came.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

from clarion.errors import UsageError
from clarion.protocol.socketio import RESERVED_EVENTS
from clarion.realtime.handlers import Handler, Listener, Once, check_takes_socket
from clarion.realtime.typed import listen

H = TypeVar("H", bound=Handler)

_OURS: Final = ("disconnecting", "disconnect")
_TOLD: Final = 2  # reason and details; who takes fewer gets fewer
_NEVER: Final = RESERVED_EVENTS.difference(_OURS)


class Listeners:
    """Handlers by event. Invariant: no list is ever changed, it is replaced."""

    __slots__ = ("any", "by_event")

    takes_socket: ClassVar[bool] = False
    is_typed: ClassVar[bool] = False
    """Whether arguments are a client's, and are made into what handlers say they take."""

    def __init__(self) -> None:
        self.by_event: dict[Any, list[Listener]] = {}
        """Keys are text, or numbers, which clients may send, too."""
        self.any: Sequence[Listener] = ()
        """They get name and arguments of each event before its own handlers, and answer nothing."""

    def add(self, event: Any, handler: Handler) -> None:
        """Call a handler with the arguments of each such event."""
        self._add(event, self._made(event, handler))

    def add_once(self, event: Any, handler: Handler) -> None:
        """Call a handler with the next such event."""
        once = Once(self._made(event, handler), lambda listener: self._drop(event, listener))
        self._add(event, once)

    def remove(self, event: Any, handler: Handler) -> None:
        """Call it no more; where it was added twice, its last place goes."""
        self._set(event, without(self.by_event.get(event, ()), handler))

    def remove_all(self, event: Any | None = None) -> None:
        """Call nobody with this event any more; None: with none, also those who listen to any."""
        if event is None:
            self.by_event.clear()
            self.any = ()
        else:
            self.by_event.pop(event, None)

    def handlers(self, event: Any) -> list[Handler]:
        """Who is called with an event, in this order."""
        return [listener.handler for listener in self.by_event.get(event, ())]

    def add_any(self, handler: Handler, *, first: bool = False) -> None:
        """Call a handler with every event: behind, or before, those who are there."""
        listener = Listener(handler, takes_socket=self.takes_socket)
        self.any = (listener, *self.any) if first else (*self.any, listener)

    def remove_any(self, handler: Handler | None = None) -> None:
        """Take this handler off the list of those who get every event; None: all."""
        self.any = () if handler is None else without(self.any, handler)

    def _made(self, event: Any, handler: Handler) -> Listener:
        if self.is_typed and event in _NEVER:
            raise UsageError(
                f'no client can send {event!r}: `use` judges who comes in, `on("connection")` is told who came'
            )
        if self.takes_socket:
            check_takes_socket(handler)
        # What the server tells is not a client's to get wrong.
        if self.is_typed and event not in _OURS:
            return listen(handler, takes_socket=self.takes_socket)
        listener = Listener(handler, takes_socket=self.takes_socket)
        if event in _OURS and listener.least > _TOLD:
            raise UsageError(
                f"{listener.name} is told the reason and details of a {event}, and wants more"
            )
        return listener

    def _add(self, event: Any, listener: Listener) -> None:
        found = self.by_event.get(event)
        self.by_event[event] = [listener] if found is None else [*found, listener]

    def _drop(self, event: Any, gone: Listener) -> None:
        self._set(event, [each for each in self.by_event.get(event, ()) if each is not gone])

    def _set(self, event: Any, listeners: list[Listener]) -> None:
        if listeners:
            self.by_event[event] = listeners
        else:
            self.by_event.pop(event, None)


class SharedListeners(Listeners):
    """Handlers for all sockets of a namespace; each gets the socket first."""

    __slots__ = ("others",)

    takes_socket: ClassVar[bool] = True
    is_typed: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.others: Listener | None = None
        """Gets socket, name and arguments of the events that nobody else listens to, and answers them."""

    def set_others(self, handler: Handler | None) -> None:
        """Call a handler with the events that nobody listens to; None: refuse them."""
        self.others = None if handler is None else Listener(handler, takes_socket=True)


def check_named(event: Any) -> None:
    """Raise UsageError for `@socket.on` without the event's name: as a decorator it would register nothing."""
    if callable(event):
        name = getattr(event, "__name__", "name")
        raise UsageError(
            f'the event is not named: write it behind the decorator, as in `("{name}")`'
        )


def without(listeners: Sequence[Listener], handler: Handler) -> list[Listener]:
    """The same listeners but for the last one that calls this handler."""
    left = list(listeners)
    for place in reversed(range(len(left))):
        if left[place].handler == handler:
            del left[place]
            break
    return left
