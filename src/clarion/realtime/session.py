"""One Engine.IO session: the shell around the protocol's state machine.

It owns the transports, feeds what they receive to the machine and does what that answers. It decides nothing that `protocol.session`
can decide, and knows nothing of Socket.IO: `client.Client` fills in the hooks.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol, assert_never

from clarion.errors import ProtocolError
from clarion.protocol import engineio
from clarion.protocol.codes import CloseCode, Reason
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.session import (
    DELIVER,
    Closed,
    Deliver,
    Events,
    ProbeClosed,
    ReleasePoll,
    Send,
    State,
    Timing,
    Upgraded,
)
from clarion.protocol.session import Session as Machine
from clarion.realtime.admission import Ingress
from clarion.realtime.conn import Details
from clarion.realtime.egress import Egress, Flusher
from clarion.realtime.handshake import Handshake
from clarion.realtime.heartbeat import Timed, Wheel
from clarion.realtime.transports.base import Transport, prepared_engine
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded, session_closed, sessions

log = get_logger(__name__)


class Shared(Protocol):
    """What all sessions of a server share."""

    limits: Limits
    timing: Timing
    upgrades: Sequence[str]
    ingress: Ingress
    wheel: Wheel
    flusher: Flusher

    def aged_by(self, now: float) -> float | None:
        """When a session that begins now has lived long enough; None: never."""
        ...

    def ended(self, session: "Session") -> None:
        """Forget a session."""
        ...


class Session(Timed):
    """A peer, whatever transport it is on.

    Args:
        id: Its id.
        shared: The server's part.
        handshake: What it said.
        transport: On which it begins; `open` follows.
    """

    __slots__ = (
        "_aged_by",
        "_credit",
        "_drained",
        "_machine",
        "_probe",
        "_refilled_at",
        "_shared",
        "_transport",
        "egress",
        "handshake",
        "id",
    )

    def __init__(self, id: str, shared: Shared, handshake: Handshake, transport: Transport) -> None:
        super().__init__()
        # Fixed at creation
        self.id: Final = id
        self.handshake: Final = handshake
        self.egress: Final = Egress(self, shared.flusher, transport)
        self._shared = shared
        self._machine = Machine(shared.timing)
        # Changes while open
        self._transport = transport
        # What it may still send before the clock is asked, and when that was done last: see `admission.Ingress`.
        self._credit = shared.ingress.burst
        self._refilled_at = 0.0
        self._aged_by: float | None = None  # a deadline; None: not running
        # Only while upgrading
        self._probe: Transport | None = None
        # Only while somebody waits for the client to read
        self._drained: asyncio.Future[None] | None = None

    # ── hooks ──
    def on_message(self, message: str | bytes, via: Transport, start: int) -> None:
        """A message came.

        Args:
            message: Text, or bytes.
            via: Where.
            start: Where in a text it begins: 1 if Engine.IO's digit is still before it.
        """

    def on_last_words(self) -> None:
        """The session is about to be closed for good: tell the client not to come back."""

    def on_end(self, reason: Reason, details: Details | None) -> None:
        """It has ended."""

    # ── what it is ──
    @property
    def transport(self) -> Transport:
        """Where its messages go now."""
        return self._transport

    @property
    def transport_name(self) -> str:
        """`polling` or `websocket`."""
        return self._transport.kind.value

    @property
    def expects(self) -> Kind | None:
        """The transport that requests with its id must name; None once it has ended."""
        return self._machine.transport

    @property
    def is_open(self) -> bool:
        """Whether messages come and go."""
        return self._machine.is_open

    @property
    def unanswered_s(self) -> float:
        """For how long its peer has not answered a ping, nor said anything else (s): it may be gone without a word."""
        return self._machine.unanswered_s(self._shared.wheel.now())

    # ── beginning ──
    def open(self) -> None:
        """Say hello on the transport; the session exists for the client from now on."""
        now, shared = self._shared.wheel.now(), self._shared
        kind = self._transport.kind
        self._refilled_at = now
        self._aged_by = shared.aged_by(now)
        self._machine.open(kind, now)
        hello = engineio.handshake(
            self.id,
            upgrades=shared.upgrades if kind is Kind.POLLING else (),
            ping_interval_s=shared.timing.ping_interval_s,
            ping_timeout_s=shared.timing.ping_timeout_s,
            max_payload_bytes=shared.limits.max_payload_bytes,
        )
        self.egress.push(prepared_engine(hello))
        sessions.labels(kind.value).inc()
        self._wake()

    def probe(self, transport: Transport) -> bool:
        """Let a second transport try to take over; False: it must be closed."""
        if not self._machine.begin_probe(self._shared.wheel.now()):
            return False
        self._probe = transport
        self._wake()
        return True

    # ── from the network ──
    def receive(self, message: str | bytes, via: Transport) -> None:
        """One message came in."""
        if via is not self._transport and via is not self._probe:
            return  # a WebSocket that was not let probe, or polling after the upgrade
        self._credit -= len(message) + self._shared.ingress.message_bytes
        if self._credit < 0:
            self._took_too_much(via)
        # The hot path: what is for the application needs neither an Engine.IO packet nor the machine's events.
        if message[:1] == "4" or type(message) is bytes:
            if self._machine.hears(via.kind, self._shared.wheel.now):
                self.on_message(message, via, 1)
                return
        try:
            self._take(engineio.decode(message), via)
        except ProtocolError as exc:
            self._broke(exc, via)

    def signalled(self, size: int, via: Transport) -> None:
        """A ping or a pong of the WebSocket's own came in."""
        self._credit -= size + self._shared.ingress.message_bytes
        if self._credit < 0:
            self._took_too_much(via)

    def receive_payload(self, body: bytes, via: Transport) -> bool:
        """A polling body came in; False if there was something wrong with it: then the session has ended."""
        self._credit -= len(body)
        try:
            for packet in engineio.decode_payload(body, self._shared.limits.packets_per_payload):
                self._credit -= self._shared.ingress.message_bytes
                self._take(packet, via)
        except ProtocolError as exc:
            if exc.facts.get("name") == "too_many_packets":
                limit_exceeded.labels("packets_per_payload").inc()
            self._broke(exc, via)
            return False
        if self._credit < 0:
            self._took_too_much(via)
        return True

    def _take(self, packet: engineio.Packet, via: Transport) -> None:
        events = self._machine.receive(packet, self._shared.wheel.now(), via.kind)
        if events is DELIVER:
            self.on_message(packet.data, via, 0)
        else:
            self._execute(events)

    def _broke(self, exc: ProtocolError, via: Transport) -> None:
        """A packet does not parse: the transport is at fault."""
        if self._machine.is_open:  # or it has ended by what came before
            log.debug("packet refused", sid=self.id, why=str(exc))
            self._execute(self._machine.lost(via.kind, Reason.PARSE_ERROR), str(exc))

    def _took_too_much(self, via: Transport) -> None:
        """The client has used up what it may send, unless time has brought more."""
        now = self._shared.wheel.now()
        self._credit, hold_s = self._shared.ingress.refill(self._credit, self._refilled_at, now)
        self._refilled_at = now
        if hold_s:
            limit_exceeded.labels("bytes_per_s").inc()
            via.throttle(hold_s)

    def polled(self, via: Transport) -> None:
        """A GET is held: give it what waits, and `6` where the client must be let go of polling."""
        if self._machine.releases_polls and self.egress.is_empty:
            self.egress.push(prepared_engine(engineio.NOOP))
        self.writable(via)
        self._fetched()

    def writable(self, via: Transport) -> None:
        """The peer can take more."""
        if via is self._transport:
            self.egress.resumed()
            self.egress.flush()
            self._tell_drained()

    def full(self, via: Transport) -> None:
        """The peer takes no more for now."""
        if via is self._transport:
            self.egress.full()

    def flush(self) -> None:
        """The WebSocket is about to send a control frame: what was sent before goes first."""
        self.egress.flush()

    def lost(self, via: Transport, reason: Reason = Reason.TRANSPORT_CLOSE) -> None:
        """A transport has ended, or its peer broke the rules."""
        if via is self._transport or via is self._probe:
            self._execute(self._machine.lost(via.kind, reason))
            self._fetched()

    # ── to the network ──
    async def drained(self) -> None:
        """Wait until at most the soft mark waits to be sent, or the session has ended."""
        await asyncio.sleep(0)  # what was sent in this turn leaves with its end
        while self._machine.is_open and self.egress.waiting > self._shared.limits.egress_soft_bytes:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _tell_drained(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def close(
        self, reason: Reason, code: int | None = None, text: str = "", *, why: str = ""
    ) -> None:
        """End it; what was sent before still goes out.

        Args:
            reason: What its sockets are told.
            code: Close code on a WebSocket. One of 3500-3999 ("stop") puts the sockets out first: clients of other libraries
                read no code, but they do not come back after DISCONNECT.
            text: For people.
            why: For the application alone.
        """
        is_final = reason is Reason.SERVER_DISCONNECT or (code is not None and 3500 <= code < 4000)
        if is_final and self._machine.is_open:
            self.on_last_words()
        events = self._machine.close(reason, self._shared.wheel.now(), code=code, text=text)
        self._execute(events, why)

    def drain(self) -> None:
        """The server stops, and it is this session's turn: its client comes back, elsewhere or later."""
        self.close(Reason.SHUTTING_DOWN, CloseCode.DRAINING, "draining")

    def overflowed(self, waiting: int) -> None:
        """More waits than may."""
        log.info("session is too slow", sid=self.id, queued_bytes=waiting)
        self.close(Reason.TRANSPORT_ERROR, CloseCode.SLOW, "slow")

    # ── time ──
    def on_time(self, now: float) -> float | None:
        """Something may be due."""
        if self._aged_by is not None and now >= self._aged_by:
            limit_exceeded.labels("connection_age_s").inc()
            self.close(Reason.FORCED_SERVER_CLOSE, CloseCode.AGED, "aged")
        self._execute(self._machine.expire(now))
        self._fetched()
        return self._deadline()

    def _deadline(self) -> float | None:
        return earliest(self._machine.deadline, self._aged_by)

    def _wake(self) -> None:
        """Have the wheel call in time."""
        when = self._deadline()
        if when is not None:
            self._shared.wheel.set(self, when)

    # ── doing what the machine says ──
    def _execute(self, events: Events, why: str = "") -> None:
        for event in events:
            match event:
                case Send(packet, via):
                    self._send(packet, via)
                case ReleasePoll():
                    if self._transport.is_writable and self.egress.is_empty:
                        self.egress.push(prepared_engine(engineio.NOOP))
                case Upgraded():
                    self._upgrade()
                case ProbeClosed():
                    self._end_probe()
                case Closed(reason, code, text):
                    self._end(reason, code, text, why)
                case Deliver():
                    raise AssertionError("DELIVER is compared with `is`")
                case _:
                    assert_never(event)

    def _send(self, packet: engineio.Packet, via: Kind) -> None:
        if via is self._transport.kind:
            self.egress.push(prepared_engine(packet))
        elif self._probe is not None:
            self._probe.write(prepared_engine(packet))

    def _upgrade(self) -> None:
        assert self._probe is not None, "only a probe upgrades"
        old, self._transport, self._probe = self._transport, self._probe, None
        sessions.labels(old.kind.value).dec()
        sessions.labels(self._transport.kind.value).inc()
        if old.is_writable:
            old.write(prepared_engine(engineio.NOOP))
        self.egress.attach(self._transport)
        self._tell_drained()

    def _end_probe(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close(None, "")

    def _end(self, reason: Reason, code: int | None, text: str, why: str) -> None:
        """The session's end; on polling its last packets may still wait to be fetched."""
        self._aged_by = None
        self.egress.finish(keep=self._machine.state is State.CLOSING)
        self._transport.close(code, text)
        self._tell_drained()
        session_closed.labels(reason.name.lower()).inc()
        sessions.labels(self._transport.kind.value).dec()
        self.on_end(reason, Details(code, text or why) if code or text or why else None)
        self._fetched()
        self._wake()

    def _fetched(self) -> None:
        """Forget the session once nothing of it waits any more."""
        if self._machine.state is State.CLOSING and self.egress.is_empty:
            self._machine.flushed()
        if self._machine.state is State.CLOSED:
            self._shared.ended(self)


def earliest(*deadlines: float | None) -> float | None:
    """The first of some deadlines; None: there is none."""
    first: float | None = None
    for when in deadlines:
        if when is not None and (first is None or when < first):
            first = when
    return first
