"""What the events of one client do: their rate, their order, who handles them, who is answered what.

Handlers begin in the order of the wire. A plain function runs at once; an async one begins with the loop's next turn, and what
comes meanwhile waits for that. How long they then run, and which ends first, is theirs. Made for a socket when it is first needed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

from clarion.errors import Invalid, PeerError, RateLimited, UnknownEvent
from clarion.protocol.socketio import Packet
from clarion.realtime.admission import spend
from clarion.realtime.handlers import Handler, Listener, Reply, Runner, no_reply
from clarion.settings import Limits
from clarion.telemetry import events, limit_exceeded

FORGIVEN_S: Final = 3.0  # who is over the rate for longer, without a pause, is closed


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


class Events:
    """The events of one socket.

    Args:
        client: The socket.
        shared: Handlers for all sockets of the namespace; may grow later.
        limits: `events_per_s`, `event_name_bytes`.
        runner: Calls them.
    """

    __slots__ = (
        "_any",
        "_client",
        "_is_starting",
        "_limits",
        "_listeners",
        "_over_since",
        "_runner",
        "_shared",
        "_spent_until",
        "_waiting",
    )

    def __init__(
        self,
        client: Client,
        shared: dict[Any, list[Listener]],
        limits: Limits,
        runner: Runner,
    ) -> None:
        # Fixed at creation
        self._client, self._shared, self._limits, self._runner = client, shared, limits, runner
        # Changes while open; keys are text, or numbers, which clients may send, too
        self._listeners: dict[Any, list[Listener]] = {}
        self._any: Sequence[Listener] = ()
        # Of the rate: see `admission.spend`; since when it is exceeded, 0: it is not
        self._spent_until = self._over_since = 0.0
        # While an async handler has not begun. Invariant: _waiting is not empty  =>  _resume will be called.
        self._is_starting = False
        self._waiting: deque[Packet] | None = None

    def on(self, event: Any, handler: Handler) -> None:
        """Call a handler with the arguments of each such event."""
        self._listeners.setdefault(event, []).append(Listener(handler))

    def on_any(self, handler: Handler) -> None:
        """Call a handler with name and arguments of each event."""
        self._any = (*self._any, Listener(handler))

    def tell(self, event: str, *args: Any) -> None:
        """Call listeners of what is no event of the client, with as many arguments as each takes."""
        for listener in self._listening(event):
            self._runner.call(listener, self._client, args[: listener.most], no_reply, event)

    def start(self, listener: Listener, event: str) -> None:
        """Call a handler with the socket; events that come wait until it has begun."""
        client = self._client
        if self._runner.call(listener, client, (client,), no_reply, event, self._began):
            self._is_starting = True

    def received(self, packet: Packet, now: float) -> None:
        """An EVENT came in."""
        _came_in.inc()
        reply: Reply = no_reply if packet.id is None else _Reply(self._client, packet.id)
        try:
            self._check_rate(now)
            self._check_name(packet.data[0])
        except PeerError as refused:
            reply({"error": refused.as_answer()})
            return
        if self._is_starting or self._waiting:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(packet)
        else:
            self._dispatch(packet, reply)

    def _dispatch(self, packet: Packet, reply: Reply) -> None:
        name, *args = packet.data
        client, label = self._client, str(name)
        for listener in self._any:
            self._runner.call(listener, client, packet.data, no_reply, label)
        listeners = self._listening(name)
        if not listeners:
            # Node stays silent, and the client waits for ever.
            told = UnknownEvent(f"nobody listens to {label!r} here")
            reply({"error": told.as_answer()})
        for listener in listeners:
            if self._runner.call(listener, client, args, reply, label, self._began):
                self._is_starting = True

    def _listening(self, event: Any) -> list[Listener]:
        own, shared = self._listeners.get(event), self._shared.get(event)
        return [*(shared or ()), *own] if own else shared or []

    # ── order ──
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
    def _check_rate(self, now: float) -> None:
        rate = self._limits.events_per_s
        self._spent_until, wait_s = spend(self._spent_until, now, rate, burst=2 * rate)
        if not wait_s:
            # Half of the burst is free again: that was a pause.
            if self._over_since and self._spent_until - now < 1:
                self._over_since = 0.0
            return
        limit_exceeded.labels("events_per_s").inc()
        if not self._over_since:
            self._over_since = now
        elif now - self._over_since > FORGIVEN_S:
            self._client.too_fast()
        raise RateLimited(
            f"more than {rate} events a second (limits.events_per_s)", retry_after_s=wait_s
        )

    def _check_name(self, name: Any) -> None:
        limit = self._limits.event_name_bytes
        # A character is at least a byte and at most four.
        if type(name) is str and len(name) * 4 > limit and len(name.encode()) > limit:
            limit_exceeded.labels("event_name_bytes").inc()
            raise Invalid(f"an event's name has at most {limit} bytes (limits.event_name_bytes)")


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
