"""Events of the server itself, such as `io.engine` and `namespace.adapter` have: a fixed set of names, and who listens.

Events of clients are elsewhere (`listeners.py`): their names are the clients' choice, and their handlers answer.
"""

from collections.abc import Callable
from typing import Any, Final, overload

from clarion.errors import UsageError
from clarion.realtime.handlers import Handler, Runner, nobody_asked
from clarion.realtime.listeners import H, Listeners, check_named


class Emitter:
    """Who listens to events of some part of the server.

    Args:
        names: The events that there are, with `_`; listeners may write `-`, as Node does.
        runner: Calls them. What a listener raises is logged and hurts nobody; an async one runs beside.
    """

    __slots__ = ("_listeners", "_names", "_runner")

    def __init__(self, names: tuple[str, ...], runner: Runner) -> None:
        # Fixed at creation
        self._names: Final = names
        self._runner = runner
        # Grows and shrinks
        self._listeners = Listeners()

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens to anything: where nobody does, telling need not even be prepared."""
        return bool(self._listeners.by_event)

    @overload
    def on(self, event: str) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str, handler: H) -> H: ...
    def on(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Call a handler with each such event, with as many arguments as it takes; a decorator, or with the handler.

        Raises:
            UsageError: There is no such event.
        """
        name = self._known(event)
        if handler is None:
            return lambda given: self.on(event, given)
        self._listeners.add(name, handler)
        return handler

    @overload
    def once(self, event: str) -> Callable[[H], H]: ...
    @overload
    def once(self, event: str, handler: H) -> H: ...
    def once(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """As `on`, for the next such event alone."""
        name = self._known(event)
        if handler is None:
            return lambda given: self.once(event, given)
        self._listeners.add_once(name, handler)
        return handler

    def off(self, event: str, handler: Handler) -> None:
        """Call this handler no more; it may not have been there. Where it was added twice, its last place goes."""
        self._listeners.remove(self._known(event), handler)

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Call nobody with this event any more; None: with none."""
        self._listeners.remove_all(None if event is None else self._known(event))

    def listeners(self, event: str) -> list[Handler]:
        """Who is called with an event, in this order."""
        return self._listeners.handlers(self._known(event))

    def tell(self, event: str, *args: Any) -> None:
        """Call the listeners of an event."""
        for listener in self._listeners.by_event.get(event, ()):
            self._runner.call(listener, None, args[: listener.most], nobody_asked, event)

    def _known(self, event: str) -> str:
        check_named(event)
        name = event.replace("-", "_")
        if name not in self._names:
            raise UsageError(f"there is no event {event!r} here, only {', '.join(self._names)}")
        return name
