"""Who wants to see what goes out of a namespace: of one socket, or of all. Nothing is prepared for them where nobody does."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from clarion.realtime.handlers import Handler, Listener, Runner, nobody_asked
from clarion.realtime.listeners import without


class Receiver(Protocol):
    """To whom something goes."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


S = TypeVar("S", bound=Receiver)


class Outgoing(Generic[S]):
    """Listeners of what is sent; `None` stands for all sockets of the namespace, whose listeners get the socket first.

    Args:
        runner: Calls them.
    """

    __slots__ = ("_listeners", "_runner", "is_heard")

    def __init__(self, runner: Runner) -> None:
        # Fixed at creation
        self._runner = runner
        # Invariant: no sequence is empty; is_heard  <=>  there is one.
        self._listeners: dict[S | None, Sequence[Listener]] = {}
        self.is_heard = False
        """Whether anybody listens: the one question that sending asks."""

    def add(self, whose: S | None, handler: Handler, *, first: bool = False) -> None:
        """Call a handler with name and arguments of each event, behind or before those who are there."""
        listener = Listener(handler, takes_socket=whose is None)
        there = self._listeners.get(whose, ())
        self._set(whose, (listener, *there) if first else (*there, listener))

    def remove(self, whose: S | None, handler: Handler | None = None) -> None:
        """Call it no more; None: call none of them."""
        left = () if handler is None else without(self._listeners.get(whose, ()), handler)
        self._set(whose, left)

    def handlers(self, whose: S | None) -> list[Handler]:
        """Who is called, in this order."""
        return [listener.handler for listener in self._listeners.get(whose, ())]

    def tell(self, sockets: Iterable[S], event: list[Any] | None) -> None:
        """Something goes to these sockets; None: it was encoded before anybody listened."""
        if event is None:
            return
        everybody, label = self._listeners.get(None, ()), str(event[0])
        for socket in list(sockets):
            for listener in (*everybody, *self._listeners.get(socket, ())):
                self._runner.call(listener, socket, event[: listener.most], nobody_asked, label)

    def _set(self, whose: S | None, listeners: Sequence[Listener]) -> None:
        if listeners:
            self._listeners[whose] = listeners
        else:
            self._listeners.pop(whose, None)
        self.is_heard = bool(self._listeners)
