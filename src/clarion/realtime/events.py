"""What the events of one client do: their rate, their order, who handles them, who is answered what.

Handlers begin in the order of the wire. A plain function runs at once; an async one begins with the loop's next turn, and what
comes meanwhile waits for that. How long they then run, and which ends first, is theirs. Where the socket has middlewares that wait,
its events pass them one after another. Made for a socket when it is first needed.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final, Protocol

from clarion.errors import Invalid, PeerError, RateLimited, ServerError, TooMany, UnknownEvent
from clarion.protocol.socketio import Packet, check_event_name
from clarion.realtime.admission import ROUNDING_S
from clarion.realtime.handlers import Listener, Reply, Runner, as_told, no_reply, nobody_asked
from clarion.realtime.listeners import Listeners, SharedListeners
from clarion.settings import Limits
from clarion.telemetry import events, events_refused, get_logger, limit_exceeded

log = get_logger(__name__)

Middleware = Callable[[list[Any]], Awaitable[None] | None]
"""Sees name and arguments of an event, and may change the list; raises what the client is answered instead."""

FORGIVEN_S: Final = 3.0  # who is over the rate for longer, without a pause, is closed
BURST_S: Final = 2.0  # a full bucket holds what this time brings


class Client(Protocol):
    """Whose events they are."""

    @property
    def connected(self) -> bool:
        """Whether it is still there."""
        ...

    def send_ack(self, id: int, args: tuple[Any, ...]) -> None:
        """Answer an event."""
        ...

    def too_fast(self) -> None:
        """It has sent more than it may for too long."""
        ...


class Events(Listeners):
    """The events of one socket, and its own handlers.

    Args:
        client: The socket.
        shared: Handlers for all sockets of the namespace; may grow later.
        limits: `events_per_s`, `event_name_bytes`, `events_waiting`.
        runner: Calls them.
    """

    __slots__ = (
        "_client",
        "_is_starting",
        "_limits",
        "_middlewares",
        "_over_since",
        "_runner",
        "_shared",
        "_spent_until",
        "_waiting",
    )

    is_typed: ClassVar[bool] = True

    def __init__(
        self,
        client: Client,
        shared: SharedListeners,
        limits: Limits,
        runner: Runner,
    ) -> None:
        super().__init__()
        # Fixed at creation
        self._client, self._shared, self._limits, self._runner = client, shared, limits, runner
        # Changes while open
        self._middlewares: Sequence[Middleware] = ()
        # Of the rate: see `admission.spend`; since when it is exceeded, 0: it is not
        self._spent_until = self._over_since = 0.0
        # While an async handler has not begun, or a middleware waits.
        # Invariant: _waiting is not empty  =>  _resume will be called.
        self._is_starting = False
        self._waiting: deque[Packet] | None = None

    def use(self, middleware: Middleware) -> None:
        """Let a function see every event before its handlers do."""
        self._middlewares = (*self._middlewares, middleware)

    def clear(self) -> None:
        """Forget all: handlers and socket would keep each other until the garbage is collected."""
        self.remove_all()
        self._middlewares, self._waiting = (), None

    def tell(self, event: str, *args: Any) -> None:
        """Call listeners of what is no event of the client, with as many arguments as each takes."""
        for listener in self._listening(event):
            self._runner.call(listener, self._client, args[: listener.most], nobody_asked, event)

    def start(self, listener: Listener, event: str) -> None:
        """Call a handler with the socket; events that come wait until it has begun."""
        client = self._client
        if self._runner.call(listener, client, (client,), nobody_asked, event, self._began):
            self._is_starting = True

    def received(self, packet: Packet, now: float) -> None:
        """An EVENT came in."""
        _came_in.value += 1
        reply: Reply = no_reply if packet.id is None else _Reply(self._client, packet.id)
        name = packet.data[0]
        # `admission.spend`, written out for the path that every event takes: two seconds' worth at once.
        spent = self._spent_until
        spent = (spent if spent > now else now) + 1.0 / self._limits.events_per_s  # noqa: FURB136  a call
        if spent - now > BURST_S + ROUNDING_S:
            self._refuse_rate(now, spent, reply)
            return
        self._spent_until = spent
        if self._over_since and spent - now < BURST_S / 2:
            self._over_since = 0.0  # half of the burst is free again: that was a pause
        if type(name) is str and len(name) * 4 > self._limits.event_name_bytes:
            if not self._fits(name, reply):
                return
        if self._is_starting or self._waiting:
            self._wait(packet, reply)
        else:
            self._dispatch(packet, reply)

    def _dispatch(self, packet: Packet, reply: Reply) -> None:
        if self._shared.any or self.any:
            self._tell_any(packet.data)
        if not self._middlewares or self._passes(packet.data, reply):
            self._handle(packet.data, reply)

    def _handle(self, event: list[Any], reply: Reply) -> None:
        name = event[0]
        client, call = self._client, self._runner.call
        args, label = event[1:], name if type(name) is str else str(name)
        listeners = self._listening(name)
        if not listeners and self._shared.others is not None:
            listeners, args = [self._shared.others], event
        if not listeners:
            # Node stays silent, and the client waits for ever.
            _refused_unknown.inc()
            told = UnknownEvent(f"nobody listens to {label!r} here")
            reply({"error": told.as_answer()})
            if reply is no_reply:  # nobody else is told
                log.debug("event refused", event_name=label[:64], why=told.message)
        for listener in listeners:
            if call(listener, client, args, reply, label, self._began):
                self._is_starting = True

    def _listening(self, event: Any) -> Sequence[Listener]:
        own, shared = self.by_event.get(event), self._shared.by_event.get(event)
        return [*(shared or ()), *own] if own else shared or ()

    def _tell_any(self, event: list[Any]) -> None:
        label = str(event[0])
        for listener in (*self._shared.any, *self.any):
            taken = event[: listener.most]
            self._runner.call(listener, self._client, taken, no_reply, label)

    # ── middlewares ──
    def _passes(self, event: list[Any], reply: Reply) -> bool:
        """Whether an event has passed the middlewares; False: it was refused, or one of them waits."""
        try:
            for number, middleware in enumerate(self._middlewares):
                waiting = middleware(event)
                if inspect.isawaitable(waiting):
                    rest = self._middlewares[number + 1 :]
                    self._is_starting = True
                    work = self._pass_later(event, reply, waiting, rest)
                    self._runner.start(work, f"middlewares of {event[0]}")
                    return False
            check_event_name(event[0])
        except Exception as exc:  # noqa: BLE001  a middleware may raise anything
            self._refuse(event, reply, exc)
            return False
        return True

    async def _pass_later(
        self,
        event: list[Any],
        reply: Reply,
        waiting: Awaitable[None],
        rest: Sequence[Middleware],
    ) -> None:
        try:
            await waiting
            for middleware in rest:
                result = middleware(event)
                if inspect.isawaitable(result):
                    await result
            check_event_name(event[0])
        except Exception as exc:  # noqa: BLE001  as above
            self._refuse(event, reply, exc)
        else:
            self._is_starting = False
            if self._client.connected:
                self._handle(event, reply)
        if not self._is_starting:
            self._resume()

    def _refuse(self, event: list[Any], reply: Reply, exc: Exception) -> None:
        """A middleware does not want it. Node tells its server and not its client, who waits for ever."""
        self._is_starting = False
        _refused_by_middleware.inc()
        reply({"error": as_told(exc)})
        if isinstance(exc, PeerError | ServerError):
            log.debug("event refused", event_name=str(event[:1])[:64], code=exc.code)
        else:
            log.error("middleware failed", event_name=str(event[:1])[:64], exc_info=exc)

    # ── order ──
    def _wait(self, packet: Packet, reply: Reply) -> None:
        """Its turn comes when what came before has begun."""
        if self._waiting is None:
            self._waiting = deque()
        limit = self._limits.events_waiting
        if len(self._waiting) >= limit:
            limit_exceeded.labels("events_waiting").inc()
            _refused_by_limit.inc()
            why = f"{limit} events wait to be handled (limits.events_waiting)"
            reply({"error": TooMany(why, limit=limit).as_answer()})
        else:
            self._waiting.append(packet)

    def _began(self) -> None:
        """An async handler runs: what waits comes after its first step."""
        self._is_starting = False
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        while self._waiting and not self._is_starting:
            packet = self._waiting.popleft()
            if self._client.connected:
                reply: Reply = no_reply if packet.id is None else _Reply(self._client, packet.id)
                self._dispatch(packet, reply)

    # ── limits ──
    def _refuse_rate(self, now: float, spent: float, reply: Reply) -> None:
        """The bucket is empty; who goes on for long is closed."""
        _refused_by_limit.inc()
        limit_exceeded.labels("events_per_s").inc()
        if not self._over_since:
            self._over_since = now
        elif now - self._over_since > FORGIVEN_S:
            self._client.too_fast()
        why = f"more than {self._limits.events_per_s} events a second (limits.events_per_s)"
        refused = RateLimited(why, retry_after_s=spent - now - BURST_S)
        reply({"error": refused.as_answer()})

    def _fits(self, name: str, reply: Reply) -> bool:
        """Whether a long name is no longer than it may be: a character is at least a byte and at most four."""
        limit = self._limits.event_name_bytes
        if len(name.encode()) <= limit:
            return True
        _refused_by_limit.inc()
        limit_exceeded.labels("event_name_bytes").inc()
        why = f"an event's name has at most {limit} bytes (limits.event_name_bytes)"
        reply({"error": Invalid(why).as_answer()})
        return False


class _Reply:
    """Answers one event, once."""

    __slots__ = ("_client", "_id")

    def __init__(self, client: Client, id: int) -> None:
        self._client: Client | None = client
        self._id = id

    def __call__(self, *args: Any) -> None:
        """Answer; only the first answer goes out."""
        if self._client is not None:
            self._client.send_ack(self._id, args)
            # Not before: an answer that can't be encoded has not gone out, and the error may still.
            self._client = None


_came_in = events.labels("in")
_refused_by_limit = events_refused.labels("limit")
_refused_by_middleware = events_refused.labels("middleware")
_refused_unknown = events_refused.labels("unknown_event")
