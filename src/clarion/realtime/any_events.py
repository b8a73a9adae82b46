"""Listening to every event, in and out, of a socket or of all sockets of a namespace."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

from clarion.realtime.handlers import Handler
from clarion.realtime.listeners import H, Listeners
from clarion.realtime.outgoing import Outgoing


class AnyEvents(ABC):
    """Those of a namespace get the socket first. What they return means nothing.

    Incoming events are seen before `socket.use` and before their handlers. Outgoing ones are seen once for each recipient, of emits and
    of broadcasts, and also if they are volatile and are dropped then; answers are not among them, and neither is what was encoded
    by `prepare` before anybody listened.
    """

    __slots__ = ()

    def on_any(self, handler: H) -> H:
        """Call a handler with name and arguments of every event that comes in."""
        self._set_up(lambda it: it._incoming().add_any(handler))
        return handler

    def prepend_any(self, handler: H) -> H:
        """As `on_any`, before those who are there."""
        self._set_up(lambda it: it._incoming().add_any(handler, first=True))
        return handler

    def off_any(self, handler: Handler | None = None) -> None:
        """Call it no more; None: call none of them."""
        self._set_up(lambda it: it._incoming().remove_any(handler))

    def listeners_any(self) -> list[Handler]:
        """Who is called, in this order."""
        return [listener.handler for listener in self._incoming().any]

    def on_any_outgoing(self, handler: H) -> H:
        """Call a handler with name and arguments of every event that goes out."""
        self._set_up(lambda it: it._outgoing().add(it._whose(), handler))
        return handler

    def prepend_any_outgoing(self, handler: H) -> H:
        """As `on_any_outgoing`, before those who are there."""
        self._set_up(lambda it: it._outgoing().add(it._whose(), handler, first=True))
        return handler

    def off_any_outgoing(self, handler: Handler | None = None) -> None:
        """Call it no more; None: call none of them."""
        self._set_up(lambda it: it._outgoing().remove(it._whose(), handler))

    def listeners_any_outgoing(self) -> list[Handler]:
        """Who is called, in this order."""
        return self._outgoing().handlers(self._whose())

    def _set_up(self, change: Callable[[Self], object]) -> None:
        """Do something to this, and to what is to be alike."""
        change(self)

    @abstractmethod
    def _incoming(self) -> Listeners:
        """Who listens to what comes in."""

    @abstractmethod
    def _outgoing(self) -> Outgoing[Any]:
        """Who listens to what goes out."""

    @abstractmethod
    def _whose(self) -> Any:
        """Whose outgoing events: a socket's, or None for all of the namespace."""
