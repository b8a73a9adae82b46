"""Wire scripts of a session: what comes in (`>>`) and what must come of it (`<<`), in order and nothing else.

    assert Playbook(session) >> b"2probe" << b"3probe" << ReleasePoll() >> b"5" << Upgraded()

Bytes are a text packet: coming in on the newest transport (the probing WebSocket, if there is one), going out on any;
`polling(b"4a")` and `websocket(b"4a")` name it. `after(25)` lets seconds pass. Anything else that comes in is called
with the session and the time: `>> (lambda session, now: session.close(Reason.SHUTTING_DOWN, now))`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from clarion.protocol.engineio import Transport, decode, encode
from clarion.protocol.session import Event, Events, Send, Session, State

Act = Callable[[Session, float], object]


@dataclass(frozen=True)
class Packet:
    """A packet on a named transport."""

    wire: bytes
    via: Transport

    def __repr__(self) -> str:
        return f"{self.via.value}({self.wire!r})"


@dataclass(frozen=True)
class After:
    """Seconds that pass."""

    seconds: float


def polling(wire: bytes) -> Packet:
    return Packet(wire, Transport.POLLING)


def websocket(wire: bytes) -> Packet:
    return Packet(wire, Transport.WEBSOCKET)


def after(seconds: float) -> After:
    return After(seconds)


@dataclass
class Playbook:
    """A script over one session, checked as it is written."""

    session: Session
    now: float = 0.0
    log: list[str] = field(default_factory=list)
    pending: list[Event] = field(default_factory=list)

    def __rshift__(self, step: bytes | Packet | After | Act) -> Self:
        self._must_be_done()
        self.log.append(f">> {step!r}")
        self.pending = list(self._do(step))
        return self

    def __lshift__(self, expected: bytes | Packet | Event) -> Self:
        self.log.append(f"<< {expected!r}")
        assert self.pending, self._story("nothing came")
        event = self.pending.pop(0)
        assert _matches(event, expected), self._story(f"{event!r} came")
        return self

    def __bool__(self) -> bool:
        """The end of the script: nothing may be left."""
        self._must_be_done()
        return True

    def _do(self, step: bytes | Packet | After | Act) -> Events:
        match step:
            case bytes():
                return self._do(Packet(step, self._newest()))
            case Packet(wire, via):
                return self.session.receive(decode(wire.decode()), self.now, via)
            case After(seconds):
                self.now += seconds
                return self.session.expire(self.now)
            case _:
                result = step(self.session, self.now)
                return result if isinstance(result, tuple) else ()

    def _newest(self) -> Transport:
        if self.session.state in {State.PROBING, State.PROBED, State.WEBSOCKET}:
            return Transport.WEBSOCKET
        return Transport.POLLING

    def _must_be_done(self) -> None:
        assert not self.pending, self._story(f"{self.pending!r} came besides")

    def _story(self, what: str) -> str:
        return "\n".join([*self.log, f"-- but {what}"])


def _matches(event: Event, expected: bytes | Packet | Event) -> bool:
    match expected:
        case bytes():
            return isinstance(event, Send) and encode(event.packet) == expected.decode()
        case Packet(wire, via):
            return isinstance(event, Send) and (encode(event.packet), event.via) == (
                wire.decode(),
                via,
            )
        case _:
            return event == expected
