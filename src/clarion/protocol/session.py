"""The Engine.IO v4 session: one state machine, without sockets and without a clock.

A session begins on polling or on a WebSocket; from polling it may move to a WebSocket, never back:

    POLLING --a WebSocket with its sid--> PROBING --`2probe`--> PROBED --`5`--> WEBSOCKET
       ^                                     |                    |
       +------any other packet, time-out, loss of the WebSocket --+

Rule 1: until `5` the session *is* polling: its messages go out and come in there, and whatever happens to the probing
WebSocket concerns that WebSocket alone. Rule 2: `5` moves it in one step; nothing is read from polling afterwards, so
a message comes once and in order. Rule 3: the end is told once (`Closed`), whoever caused it. CLOSING is for polling
only, where the last bytes must wait to be fetched; a closed session stays closed.

The heartbeat is a second, smaller machine beside it (§ Heartbeat below): one deadline, carried over an upgrade.
Source: Engine.IO protocol revision 4; engine.io 6.6 for what it leaves open.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

from msgspec import Struct

from clarion.protocol.codes import Reason
from clarion.protocol.engineio import (
    CLOSE,
    NOOP,
    PING,
    PONG_PROBE,
    Packet,
    PacketType,
    Transport,
)


class Timing(Struct, frozen=True):
    """Times of all sessions of a server, in seconds."""

    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    upgrade_timeout_s: float = 10.0
    # Node waits 30 s; a client on polling comes back within a round trip, and thousands may be waited for.
    close_timeout_s: float = 5.0


# ---- What a session tells its shell ----


class Deliver(Struct, frozen=True):
    """The packet just received is a message for the application."""


class Send(Struct, frozen=True):
    """Write a packet. On polling: answer the held GET with it, or keep it for the next one while there will be one."""

    packet: Packet
    via: Transport


class ReleasePoll(Struct, frozen=True):
    """Answer a held GET with `6` if there is nothing else, now and as long as `releases_polls`: the client pauses."""


class Upgraded(Struct, frozen=True):
    """The session is on the WebSocket now: write what polling still buffered there, answer a held GET with `6`."""


class ProbeClosed(Struct, frozen=True):
    """Close the probing WebSocket and read nothing more from it; the session lives on, unless `Closed` follows."""


class Closed(Struct, frozen=True):
    """The session has ended: its sockets leave with `reason`, its transport closes.

    `code` and `text` are for the close frame; None sends one without code, as Node does. Told exactly once.
    """

    reason: Reason
    code: int | None = None
    text: str = ""


Event = Deliver | Send | ReleasePoll | Upgraded | ProbeClosed | Closed
Events = tuple[Event, ...]

# The hot path returns these very objects: compare with `is`.
DELIVER: Final[Events] = (Deliver(),)
NOTHING: Final[Events] = ()

# ---- The table ----


class State(Enum):
    """Where a session is."""

    OPENING = "opening"
    POLLING = "polling"
    PROBING = "probing"
    PROBED = "probed"
    WEBSOCKET = "websocket"
    CLOSING = "closing"
    CLOSED = "closed"


class Input(Enum):
    """What can happen to it."""

    OPEN_POLLING = "open on polling"
    OPEN_WEBSOCKET = "open on WebSocket"
    PROBE_OPENED = "WebSocket with its sid"
    PROBE_PING = "2probe"
    UPGRADE = "5 on the probing WebSocket"
    PROBE_FAILED = "probing WebSocket failed"
    CLOSE = "close in good order, by either side"
    END = "end by a loss, a broken rule or by time"
    FLUSHED = "last bytes fetched"


TRANSITIONS: Final[dict[State, dict[Input, State]]] = {
    State.OPENING: {
        Input.OPEN_POLLING: State.POLLING,
        Input.OPEN_WEBSOCKET: State.WEBSOCKET,
        Input.CLOSE: State.CLOSED,
        Input.END: State.CLOSED,
    },
    State.POLLING: {
        Input.PROBE_OPENED: State.PROBING,
        Input.CLOSE: State.CLOSING,
        Input.END: State.CLOSED,
    },
    State.PROBING: {
        Input.PROBE_PING: State.PROBED,
        Input.UPGRADE: State.WEBSOCKET,  # without a probe: Node accepts it
        Input.PROBE_FAILED: State.POLLING,
        Input.CLOSE: State.CLOSING,
        Input.END: State.CLOSED,
    },
    State.PROBED: {
        Input.PROBE_PING: State.PROBED,
        Input.UPGRADE: State.WEBSOCKET,
        Input.PROBE_FAILED: State.POLLING,
        Input.CLOSE: State.CLOSING,
        Input.END: State.CLOSED,
    },
    State.WEBSOCKET: {
        Input.CLOSE: State.CLOSED,
        Input.END: State.CLOSED,
    },
    State.CLOSING: {
        Input.FLUSHED: State.CLOSED,
        Input.END: State.CLOSED,
    },
    State.CLOSED: {},
}
"""An input that a state does not name is ignored there."""

# The transport that requests with the session's sid must name; polling while it closes, so that `1` can be fetched.
_TRANSPORT: Final[dict[State, Transport | None]] = {
    State.OPENING: None,
    State.POLLING: Transport.POLLING,
    State.PROBING: Transport.POLLING,
    State.PROBED: Transport.POLLING,
    State.WEBSOCKET: Transport.WEBSOCKET,
    State.CLOSING: Transport.POLLING,
    State.CLOSED: None,
}
_OPEN: Final = frozenset({State.POLLING, State.PROBING, State.PROBED, State.WEBSOCKET})
_PROBE: Final = frozenset({State.PROBING, State.PROBED})

_POLLING, _WEBSOCKET = Transport.POLLING, Transport.WEBSOCKET
_MESSAGE, _PING, _PONG = PacketType.MESSAGE, PacketType.PING, PacketType.PONG
_CLOSE, _UPGRADE = PacketType.CLOSE, PacketType.UPGRADE

_PINGS: Final[dict[Transport, Events]] = {via: (Send(PING, via),) for via in Transport}
_PROBE_ANSWER: Final[Events] = (Send(PONG_PROBE, _WEBSOCKET), ReleasePoll())
_UPGRADED: Final[Events] = (Upgraded(),)
_PROBE_CLOSED: Final[Events] = (ProbeClosed(),)


class _Heartbeat(Enum):
    """What the heartbeat's deadline is for."""

    PING = "send a ping"
    PONG = "have a pong; the next packet of another type restarts the time once"
    LAST = "have a pong, no more delay"


_AWAITS_PONG: Final = _Heartbeat.PONG


class Session:
    """One Engine.IO session.

    The shell feeds it packets and the passing of time, and does what the returned events say, in their order. No call
    raises. Ten thousand of them exist in a process: five slots, no lists, the times are shared.
    """

    __slots__ = ("_heartbeat", "_receives", "_timer", "_timing", "_until", "state")

    def __init__(self, timing: Timing) -> None:
        # Fixed at creation
        self._timing = timing
        # Changes while open
        self.state = State.OPENING
        self._receives: Transport | None = None  # not None <=> state in _OPEN
        self._heartbeat = _Heartbeat.PING
        self._timer: float | None = None  # of the heartbeat; while CLOSING, of the last fetch
        # Only while upgrading
        self._until: float | None = None  # not None <=> state in _PROBE

    # Public: what it is.

    @property
    def transport(self) -> Transport | None:
        """The transport that requests with its sid must name; None before it opened and after it closed."""
        return _TRANSPORT[self.state]

    @property
    def is_open(self) -> bool:
        """Whether messages come and go."""
        return self._receives is not None

    @property
    def is_probing(self) -> bool:
        """Whether a second transport is under way: another one must be closed."""
        return self._until is not None

    @property
    def releases_polls(self) -> bool:
        """Whether a GET must be answered at once, with `6` where there is nothing else (protocol, "Upgrade")."""
        return self.state is State.PROBED

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called, on the clock of `now`; None: never. It may move later by itself."""
        if self._until is None or self._timer is None:
            return self._timer
        return min(self._until, self._timer)

    def unanswered_s(self, now: float) -> float:
        """For how long a ping has gone without an answer or any other sign of life (s); 0: none has."""
        if self._heartbeat is not _AWAITS_PONG or self._receives is None or self._timer is None:
            return 0.0
        return max(0.0, now + self._timing.ping_timeout_s - self._timer)

    # Public: from the network.

    def open(self, via: Transport, now: float) -> None:
        """Begin, once the handshake packet was written on `via`; the first ping is due one interval later."""
        if self._step(Input.OPEN_POLLING if via is _POLLING else Input.OPEN_WEBSOCKET):
            self._timer = now + self._timing.ping_interval_s

    def hears(self, via: Transport, now: Callable[[], float]) -> bool:
        """Take that a message came in: the same as `receive` of one, for the path that every event takes.

        Args:
            via: Where it came in.
            now: Asked only if a pong is due.

        Returns:
            Whether it is for the application; False: hand it to `receive`, which knows why not.
        """
        if via is not self._receives:
            return False
        if self._heartbeat is _AWAITS_PONG:
            self._delay_pong(now())
        return True

    def receive(self, packet: Packet, now: float, via: Transport) -> Events:
        """Take a packet that came in.

        Args:
            packet: Decoded.
            now: Seconds, monotonic.
            via: Where it came in. A WebSocket while the session is on polling is the probing one.

        Returns:
            What to do. A message for the application is `DELIVER`, that very object; hand `packet.data` on then.
            A packet on a transport that the session does not read (any more) is ignored: `NOTHING`.
        """
        if via is not self._receives:
            return self._receive_probe(packet) if via is _WEBSOCKET else NOTHING
        kind = packet.type
        if self._heartbeat is _AWAITS_PONG and kind is not _PONG:
            self._delay_pong(now)
        if kind is _MESSAGE:
            return DELIVER
        if kind is _PONG:
            # Also unasked: it puts off the next ping and does no harm. There is one timer, however many come.
            self._heartbeat = _Heartbeat.PING
            self._timer = now + self._timing.ping_interval_s
            return NOTHING
        if kind is _CLOSE:
            # A held GET is answered with `6`: it was the client that closed. So is one that it sent just before and that comes
            # just after, by another connection: a client that closes has nearly always one under way. On a WebSocket Node
            # waits for the time-out of the ping instead; nothing more can come, so we end it now.
            return self._close(NOOP, now, Closed(Reason.TRANSPORT_CLOSE))
        if kind is _PING:
            return self._end(Reason.TRANSPORT_ERROR)  # revision 4: only the server pings
        return NOTHING  # 0, 5 and 6 mean nothing here

    def lost(self, via: Transport, reason: Reason) -> Events:
        """Take that a transport is gone or that its peer broke the rules (bad packet, second GET, reset).

        Where `via` is the probing WebSocket only that one ends.

        Args:
            via: Which.
            reason: TRANSPORT_CLOSE, TRANSPORT_ERROR or PARSE_ERROR.
        """
        if via is _WEBSOCKET and self._until is not None:
            return self._fail_probe()
        if via is not self.transport and self.state is not State.OPENING:
            return NOTHING
        return self._end(reason)

    # Public: to the network.

    def begin_probe(self, now: float) -> bool:
        """Let a WebSocket with the session's sid probe; False: it must be closed (one is enough, or none is needed)."""
        if not self._step(Input.PROBE_OPENED):
            return False
        self._until = now + self._timing.upgrade_timeout_s
        return True

    def close(
        self, reason: Reason, now: float, *, code: int | None = None, text: str = ""
    ) -> Events:
        """End it from our side; what was sent before still goes out.

        On polling the session is CLOSING until the shell reports `flushed`, or nobody fetched for `close_timeout_s`.
        """
        if self._receives is None and self.state is not State.OPENING:
            return NOTHING
        return self._close(CLOSE, now, Closed(reason, code, text))

    def flushed(self) -> None:
        """Take that the last payload was fetched; only then a CLOSING session is CLOSED."""
        if self._step(Input.FLUSHED):
            self._timer = None

    # Public: time.

    def expire(self, now: float) -> Events:
        """Do what is due at `now`; calling it early does nothing."""
        events = NOTHING
        if self._until is not None and now >= self._until:
            events = self._fail_probe()
        if self._timer is None or now < self._timer:
            return events
        via = self._receives
        if via is None:
            self._step(Input.END)  # CLOSING, and nobody came for the rest: the end was told before
            self._timer = None
            return NOTHING
        if self._heartbeat is _Heartbeat.PING:
            self._heartbeat = _Heartbeat.PONG
            # From when the ping was due: a timer that is a little late does not add to what the client was told. One that is very
            # late, because the process was busy, does not take it from the client either.
            allowed_s = self._timing.ping_timeout_s
            self._timer = max(self._timer, now - allowed_s / 10) + allowed_s
            return events + _PINGS[via]
        return events + self._end(Reason.PING_TIMEOUT)

    # Private.

    def _delay_pong(self, now: float) -> None:
        """6.6.10: the first other packet restarts the time for the pong, once for each ping: a busy peer is alive."""
        self._heartbeat = _Heartbeat.LAST
        self._timer = now + self._timing.ping_timeout_s

    def _receive_probe(self, packet: Packet) -> Events:
        if self._until is None:
            return NOTHING
        if packet.type is _PING and packet.data == "probe":
            self._step(Input.PROBE_PING)
            return _PROBE_ANSWER
        if packet.type is _UPGRADE:
            # The heartbeat goes on as it was. Node stops a running timer here, and never finds a peer that dies now.
            self._step(Input.UPGRADE)
            self._until = None
            return _UPGRADED
        return self._fail_probe()

    def _close(self, farewell: Packet, now: float, closed: Closed) -> Events:
        polling = self._receives is _POLLING
        events = self._leave_probe()
        self._step(Input.CLOSE)
        self._timer = now + self._timing.close_timeout_s if polling else None
        last: Events = (Send(farewell, _POLLING),) if polling else ()
        return (*events, *last, closed)

    def _fail_probe(self) -> Events:
        self._step(Input.PROBE_FAILED)
        self._until = None
        return _PROBE_CLOSED

    def _leave_probe(self) -> Events:
        if self._until is None:
            return NOTHING
        self._until = None
        return _PROBE_CLOSED

    def _end(self, reason: Reason) -> Events:
        last: Events = (Send(CLOSE, _POLLING),) if self._receives is _POLLING else ()
        told = self._receives is not None or self.state is State.OPENING
        events = self._leave_probe()
        self._step(Input.END)
        self._timer = None
        return (*events, *last, Closed(reason)) if told else NOTHING

    def _step(self, what: Input) -> bool:
        after = TRANSITIONS[self.state].get(what)
        if after is None:
            return False
        self.state = after
        self._receives = _TRANSPORT[after] if after in _OPEN else None
        return True
