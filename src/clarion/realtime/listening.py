"""How the application listens to one socket: its events, by name and of any name, and who judges them before."""

from abc import abstractmethod
from collections.abc import Callable
from typing import overload

from clarion.realtime.any_events import AnyEvents
from clarion.realtime.events import Events, Middleware
from clarion.realtime.handlers import Handler, check_takes
from clarion.realtime.listeners import H, Listeners, check_named


class Listening(AnyEvents):
    """What a socket offers to who listens to it."""

    __slots__ = ()

    @overload
    def on(self, event: str | float) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str | float, handler: H) -> H: ...
    def on(self, event: str | float, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with the arguments of each such event; a decorator, or with the handler.

        `disconnecting` (still in its rooms) and `disconnect` tell the reason, one of `protocol.codes.Reason` as text, and `Details`
        or None. What a handler returns is the answer: see `clarion.realtime.handlers`. Where several listen, the first that ends
        answers.

        Raises:
            UsageError: No client can send such an event, or an annotation of the handler is none that arguments can be made into.
        """
        if handler is None:
            check_named(event)
            return lambda given: self.on(event, given)
        self._made_events().add(event, handler)
        return handler

    @overload
    def once(self, event: str | float) -> Callable[[H], H]: ...
    @overload
    def once(self, event: str | float, handler: H) -> H: ...
    def once(self, event: str | float, handler: H | None = None) -> H | Callable[[H], H]:
        """As `on`, for the next such event alone; one whose arguments are refused does not count."""
        if handler is None:
            check_named(event)
            return lambda given: self.once(event, given)
        self._made_events().add_once(event, handler)
        return handler

    def off(self, event: str | float, handler: Handler) -> None:
        """Call this handler no more; where it was added twice, its last place goes."""
        self._made_events().remove(event, handler)

    def remove_all_listeners(self, event: str | float | None = None) -> None:
        """Handle this event no more; None: none, and let nobody listen to all. Handlers of the namespace stay."""
        self._made_events().remove_all(event)

    def listeners(self, event: str | float) -> list[Handler]:
        """This socket's own handlers of an event, in the order of their calls."""
        return self._made_events().handlers(event)

    def use(self, middleware: Middleware) -> Middleware:
        """Let a function judge every event before its handlers get it, in the order of registration; a decorator.

        It gets the list of name and arguments, and may change it. `def`, or `async def`: then what comes meanwhile waits, so that
        events keep their order. What it raises refuses the event: no handler is called, and the ack is answered with
        `{"error": {"code", "message", …}}` for a PeerError or ServerError, with `internal` for anything else, which is logged.

        Raises:
            UsageError: It does not take one argument.
        """
        check_takes(middleware, "the list of an event's name and arguments")
        self._made_events().use(middleware)
        return middleware

    def _incoming(self) -> Listeners:
        return self._made_events()

    @abstractmethod
    def _made_events(self) -> Events:
        """Its events; made when they are first needed."""
