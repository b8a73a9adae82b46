"""Calling what the application registered: `def` or `async def`, and what becomes the answer of it.

One rule: what a handler returns answers the client, as in python-socketio: None is no argument, a tuple is several, all else is
one. A handler with a parameter named `ack` answers by calling that, and its return value means nothing. What it raises is
answered, too: a PeerError or ServerError as it says, anything else as `internal` without detail, and logged whole.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import lru_cache
from types import CodeType, CoroutineType, FunctionType, MethodType
from typing import Any, Final, Protocol

from clarion.errors import (
    AckTimeout,
    ClarionError,
    Disconnected,
    Internal,
    Invalid,
    PeerError,
    ServerError,
    UsageError,
)
from clarion.telemetry import events_refused, get_logger, spawn

log = get_logger(__name__)

Handler = Callable[..., Any]
"""Takes the event's arguments; sync or async."""

_MANY: Final = 1 << 30  # positional arguments that `*args` takes


class Listener:
    """A handler, and what it can be called with.

    Args:
        handler: What the application gave.
        takes_socket: Whether it gets the socket before the arguments, as one for all sockets of a namespace does.
    """

    __slots__ = ("call", "handler", "least", "most", "takes_ack", "takes_socket")

    def __init__(self, handler: Handler, *, takes_socket: bool = False) -> None:
        self.call = self.handler = handler
        self.takes_socket = takes_socket
        least, most, self.takes_ack = _shape(handler)
        # Without the socket: what the client may send.
        self.least = max(0, least - takes_socket)
        self.most = most if most == _MANY else max(0, most - takes_socket)

    @property
    def name(self) -> str:
        """For the log."""
        return getattr(self.handler, "__qualname__", None) or repr(self.handler)

    def take(self, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments as the handler gets them, just before it is called.

        Raises:
            Invalid: It does not take these: it is the client who chose them.
        """
        if not self.least <= len(args) <= self.most:
            takes = _count(self.least)
            if self.most == _MANY:
                takes = f"{self.least} or more arguments"
            elif self.least != self.most:
                takes = f"{self.least} to {self.most} arguments"
            refused_arguments.inc()
            raise Invalid(f"this event takes {takes}, not {len(args)}")
        return args


class Once(Listener):
    """A listener for one call.

    Args:
        listener: Whom to call.
        drop: Takes this listener off the list that it is on.
    """

    __slots__ = ("_drop", "_take")

    def __init__(self, listener: Listener, drop: "Callable[[Listener], None]") -> None:
        self.call, self.handler = listener.call, listener.handler
        self.least, self.most = listener.least, listener.most
        self.takes_ack, self.takes_socket = listener.takes_ack, listener.takes_socket
        self._take, self._drop = listener.take, drop

    def take(self, args: Sequence[Any]) -> Sequence[Any]:
        """As the listener does; arguments that it refuses do not count as its call."""
        args = self._take(args)
        self._drop(self)
        return args


def _shape(call: Handler) -> tuple[int, int, bool]:
    """Fewest and most positional arguments, and whether there is an `ack`."""
    bound = 0
    if isinstance(call, MethodType):
        bound, function = 1, call.__func__
    else:
        function = call
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        return _shape_of_code(function.__code__, len(function.__defaults__ or ()), bound)
    return _shape_of_signature(call)


@lru_cache(4096)
def _shape_of_code(code: CodeType, defaults: int, bound: int) -> tuple[int, int, bool]:
    """The same without `inspect.signature`, which takes 15 us: handlers are registered for each socket that connects."""
    positional = code.co_varnames[: code.co_argcount]
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    most = len(positional) - bound
    least = most - defaults
    takes_ack = "ack" in keywords or "ack" in positional
    if "ack" in positional:
        most -= 1
        least = min(least, most)
    if code.co_flags & inspect.CO_VARARGS:
        most = _MANY
    return least, most, takes_ack


def _shape_of_signature(call: Handler) -> tuple[int, int, bool]:
    least = most = 0
    takes_ack = False
    for parameter in inspect.signature(call).parameters.values():
        if parameter.name == "ack":
            takes_ack = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            most = _MANY
        elif parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            most += 1
            least += parameter.default is parameter.empty
    return least, most, takes_ack


def check_takes(call: Handler, what: str, count: int = 1) -> None:
    """Raise UsageError unless a function of the application can be called with so many arguments: found at the start, not with a client."""
    if not callable(call):
        raise UsageError(f"{call!r} is no function: it would be called with {what}")
    least, most, _ = _shape(call)
    if not least <= count <= most:
        name = getattr(call, "__qualname__", None) or repr(call)
        raise UsageError(f"{name} is called with {what}, and that alone; it takes {_count(least)}")


def check_takes_socket(call: Handler) -> None:
    """Raise UsageError unless a handler of all sockets takes the socket, which comes first."""
    if _shape(call)[1] == 0:
        name = getattr(call, "__qualname__", None) or repr(call)
        raise UsageError(f"{name} is called with the socket first, and takes no argument")


def _count(arguments: int) -> str:
    return "1 argument" if arguments == 1 else f"{arguments} arguments"


class Reply(Protocol):
    """How an event is answered; only the first answer goes out."""

    def __call__(self, *args: Any) -> None:
        """Answer."""
        ...


def no_reply(*_args: Any) -> None:
    """The client asked for no answer."""


def nobody_asked(*_args: Any) -> None:
    """It is no client's event, such as `connection`: nobody but the log can be told what its handler raises."""


Starting = Callable[[], None]
"""Called when an async handler has begun to run."""


class Runner:
    """Calls handlers, and owns the tasks of those that are async. One a server."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], None] = {}

    def call(
        self,
        listener: Listener,
        socket: object,
        args: Sequence[Any],
        reply: Reply,
        event: str,
        began: Starting | None = None,
    ) -> bool:
        """Call a handler and answer.

        Args:
            listener: Whom.
            socket: Whose event it is.
            args: What the event brought.
            reply: Answers it; `no_reply` where no answer is wanted.
            event: For the log.
            began: For an async handler: called as soon as it runs.

        Returns:
            Whether it is async: then it begins with a later turn of the loop.
        """
        try:
            args = listener.take(args)
            if listener.takes_socket:
                args = (socket, *args)
            call = listener.call
            result = call(*args, ack=reply) if listener.takes_ack else call(*args)
            if isinstance(result, CoroutineType):
                self.start(_finish(listener, result, reply, event, began), f"handler of {event}")
                return True
            if reply is not no_reply and not listener.takes_ack:
                _answer(reply, result)
        except Exception as exc:  # noqa: BLE001  a handler may raise anything
            _failed(exc, reply, event, listener.name)
        return False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside; it is cancelled when the server closes."""
        task = spawn(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    async def close(self, grace_s: float) -> None:
        """Let what runs end by itself for a while, then cancel it."""
        running = [task for task in self._tasks if task is not asyncio.current_task()]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]


async def _finish(
    listener: Listener,
    running: Awaitable[Any],
    reply: Reply,
    event: str,
    began: Starting | None,
) -> None:
    if began is not None:
        began()
    try:
        result = await running
        if not listener.takes_ack:
            _answer(reply, result)
    except Exception as exc:  # noqa: BLE001  as above
        _failed(exc, reply, event, listener.name)


def _answer(reply: Reply, result: Any) -> None:
    """Answer with what a handler returned."""
    if result is None:
        reply()
    elif isinstance(result, tuple):
        reply(*result)
    else:
        reply(result)


def _failed(exc: Exception, reply: Reply, event: str, handler: str) -> None:
    """Answer with what a handler raised; a bug is logged, and only that."""
    reply({"error": as_told(exc)})
    if isinstance(exc, PeerError | ServerError):
        if reply is nobody_asked:
            log.warning("handler failed", event_name=event[:64], handler=handler, why=exc.message)
        elif reply is no_reply:  # nobody else is told
            log.debug("event refused", event_name=event[:64], handler=handler, why=exc.message)
    elif isinstance(exc, AckTimeout | Disconnected):
        # No bug: a client left, or never answers. With a traceback for each it could fill the log.
        log.info("handler given up", event_name=event[:64], handler=handler, why=exc.message)
    else:
        log.error("handler failed", event_name=event[:64], handler=handler, exc_info=exc)


def as_told(exc: BaseException) -> dict[str, Any]:
    """An exception as a client may see it."""
    error: ClarionError = exc if isinstance(exc, PeerError | ServerError) else Internal()
    return error.as_answer()


refused_arguments = events_refused.labels("arguments")
