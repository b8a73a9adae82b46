"""The Engine.IO session as scripts on the wire, and as a machine that is driven at random."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clarion.protocol.codes import CloseCode, Reason
from clarion.protocol.engineio import Packet, PacketType, Transport, decode
from clarion.protocol.session import (
    DELIVER,
    NOTHING,
    TRANSITIONS,
    Closed,
    Deliver,
    Events,
    Input,
    ProbeClosed,
    ReleasePoll,
    Send,
    Session,
    State,
    Timing,
    Upgraded,
)
from tests.support.playbook import Act, Playbook, after, polling, websocket
from tests.support.vectors import lines

POLLING, WEBSOCKET = Transport.POLLING, Transport.WEBSOCKET


def opened(via: Transport = POLLING, timing: Timing | None = None) -> Session:
    session = Session(timing or Timing())
    session.open(via, 0.0)
    return session


def probing() -> Session:
    session = opened()
    assert session.begin_probe(0.0)
    return session


def lost(via: Transport, reason: Reason = Reason.TRANSPORT_CLOSE) -> Act:
    return lambda session, _: session.lost(via, reason)


def close(reason: Reason = Reason.SHUTTING_DOWN, code: int | None = None, text: str = "") -> Act:
    return lambda session, now: session.close(reason, now, code=code, text=text)


def flushed(session: Session, _: float) -> None:
    session.flushed()


def probe(session: Session, now: float) -> None:
    assert session.begin_probe(now)


def refused_probe(session: Session, now: float) -> None:
    assert not session.begin_probe(now)


# ---- Messages ----


@pytest.mark.parametrize("via", Transport)
def test_a_message_is_delivered_without_making_anything(via: Transport) -> None:
    """A message on an open session is the one constant that says so: the hot path allocates nothing."""
    session = opened(via)
    assert session.receive(decode("4hello"), 1.0, via) is DELIVER
    assert session.receive(decode(b"\x01"), 1.0, via) is DELIVER
    assert (session.is_open, session.transport) == (True, via)


def test_a_session_is_small() -> None:
    """Ten thousand sessions cost less than 2 MB."""
    session = opened()
    own = sys.getsizeof(session) + sys.getsizeof(session.deadline)
    assert own <= 200
    assert not hasattr(session, "__dict__")


@pytest.mark.parametrize("wire", [b"0{}", b"5", b"6", b"6x"])
@pytest.mark.parametrize("via", Transport)
def test_packets_that_mean_nothing_here_are_ignored(wire: bytes, via: Transport) -> None:
    """`0`, `5` and `6` on an open transport change nothing."""
    assert Playbook(opened(via)) >> wire >> b"4a" << Deliver()


def test_nothing_is_read_before_the_handshake() -> None:
    """A packet before the session opened goes nowhere."""
    session = Session(Timing())
    assert Playbook(session) >> polling(b"4a") >> websocket(b"4a")
    assert (session.state, session.deadline, session.transport) == (State.OPENING, None, None)


def test_a_session_opens_once() -> None:
    """A second `open` does not move the heartbeat or the transport."""
    session = opened()
    session.open(WEBSOCKET, 10.0)
    assert (session.transport, session.deadline) == (POLLING, 25.0)


# ---- Ends ----


def test_close_packet_on_websocket_ends_it_at_once() -> None:
    """`1` on a WebSocket closes at once; Node waits for the ping to time out."""
    session = opened(WEBSOCKET)
    assert Playbook(session) >> b"1" << Closed(Reason.TRANSPORT_CLOSE) >> b"4a" >> after(100)
    assert (session.state, session.deadline) == (State.CLOSED, None)


def test_close_packet_on_polling_answers_the_held_get_with_noop() -> None:
    """POST `1`: the session ends and a held GET gets exactly `6`."""
    session = opened()
    script = Playbook(session) >> b"1" << polling(b"6") << Closed(Reason.TRANSPORT_CLOSE)
    assert script >> flushed >> b"4a" >> b"1" >> after(100)
    assert (session.state, session.deadline) == (State.CLOSED, None)


def test_a_get_that_comes_just_after_the_close_packet_is_waited_for() -> None:
    """It was sent before `1`, by another connection; it is waited for like one that must fetch the server's own close."""
    session = opened()
    script = Playbook(session) >> b"1" << polling(b"6") << Closed(Reason.TRANSPORT_CLOSE)
    assert session.transport is POLLING
    assert script >> b"4a" >> after(5)
    assert session.state is State.CLOSED


@pytest.mark.parametrize("wire", [b"2", b"2probe"])
def test_a_client_may_not_ping(wire: bytes) -> None:
    """In revision 4 only the server pings: `2` outside a probe closes with `transport error`."""
    assert Playbook(opened(WEBSOCKET)) >> wire << Closed(Reason.TRANSPORT_ERROR)
    assert Playbook(opened()) >> wire << polling(b"1") << Closed(Reason.TRANSPORT_ERROR)


@pytest.mark.parametrize("reason", [Reason.TRANSPORT_ERROR, Reason.PARSE_ERROR])
def test_broken_rules_end_the_session_and_the_held_get_gets_1(reason: Reason) -> None:
    """A second GET, a bad packet: `1` for the held GET, the reason for the sockets, told once."""
    script = Playbook(opened()) >> lost(POLLING, reason) << polling(b"1") << Closed(reason)
    assert script >> lost(POLLING) >> close() >> b"4a" >> flushed


def test_losing_a_transport_that_is_not_its_own_means_nothing() -> None:
    """A WebSocket that was told to go away, polling after an upgrade: their ends are no news."""
    assert Playbook(opened()) >> lost(WEBSOCKET)
    assert Playbook(opened(WEBSOCKET)) >> lost(POLLING)


def test_a_session_may_end_before_it_opened() -> None:
    """Refused or lost during the handshake: closed, and told."""
    session = Session(Timing())
    assert Playbook(session) >> lost(WEBSOCKET) << Closed(Reason.TRANSPORT_CLOSE)
    assert session.state is State.CLOSED
    session = Session(Timing())
    assert Playbook(session) >> close() << Closed(Reason.SHUTTING_DOWN) >> close()
    assert session.state is State.CLOSED


def test_server_closes_a_websocket_with_code_and_reason() -> None:
    """A drain names its code; plain closes carry none, as in Node."""
    session = opened(WEBSOCKET)
    end = Closed(Reason.SHUTTING_DOWN, CloseCode.DRAINING, "draining")
    assert Playbook(session) >> close(code=3001, text="draining") << end
    assert (session.state, session.deadline) == (State.CLOSED, None)


def test_server_closes_polling_when_its_last_bytes_are_fetched() -> None:
    """The buffer goes out with `1` at its end; the sockets leave at once, the session's id stays until then."""
    session = opened()
    script = Playbook(session) >> close() << polling(b"1") << Closed(Reason.SHUTTING_DOWN)
    assert script >> b"4late" >> b"3" >> refused_probe >> close() >> after(4.9)
    assert (session.state, session.transport, session.is_open) == (State.CLOSING, POLLING, False)
    assert script >> flushed >> after(100)
    assert (session.state, session.deadline) == (State.CLOSED, None)


def test_a_closing_session_is_not_waited_for_for_ever() -> None:
    """Nobody fetches the last bytes: after the time-out the session is forgotten, and not told a second time."""
    session = opened()
    assert Playbook(session) >> close() << b"1" << Closed(Reason.SHUTTING_DOWN) >> after(5.0)
    assert session.state is State.CLOSED


def test_a_poll_lost_while_closing_ends_the_wait() -> None:
    """The fetch of the last bytes breaks off: forgotten, without a second end."""
    session = opened()
    script = Playbook(session) >> close() << b"1" << Closed(Reason.SHUTTING_DOWN)
    assert script >> lost(WEBSOCKET) >> lost(POLLING)
    assert (session.state, session.deadline) == (State.CLOSED, None)


# ---- Heartbeat ----


@pytest.mark.parametrize("via", Transport)
def test_heartbeat_goes_round(via: Transport) -> None:
    """A ping an interval after opening, and an interval after each pong."""
    session = opened(via)
    script = Playbook(session) >> after(24.9) >> after(0.1) << b"2" >> after(1.0) >> b"3"
    assert session.deadline == 51.0
    assert script >> after(24.9) >> after(0.1) << b"2" >> b"3"


@pytest.mark.parametrize("via", Transport)
def test_a_missing_pong_ends_the_session(via: Transport) -> None:
    """No pong within the time-out: `ping timeout`."""
    script = Playbook(opened(via)) >> after(25) << b"2" >> after(19.9) >> after(0.1)
    if via is POLLING:
        script << polling(b"1")
    assert script << Closed(Reason.PING_TIMEOUT)


def test_the_time_for_the_pong_runs_from_when_the_ping_was_due() -> None:
    """A timer that is a little late adds nothing; what the process was busy for is not taken from the client but for a tenth."""
    assert (
        Playbook(opened())
        >> after(26)
        << polling(b"2")
        >> after(18.9)
        >> after(0.1)
        << polling(b"1")
        << Closed(Reason.PING_TIMEOUT)
    )
    script = Playbook(opened()) >> after(60) << polling(b"2") >> after(17.9) >> after(0.1)
    assert script << polling(b"1") << Closed(Reason.PING_TIMEOUT)


def test_the_first_other_packet_restarts_the_time_for_the_pong_once() -> None:
    """6.6.10: 150 ms for the pong, packets at 100 and 200 ms: closed at 250 ms, as captured from Node."""
    timing = Timing(ping_interval_s=0.2, ping_timeout_s=0.15)
    session = opened(WEBSOCKET, timing)
    script = Playbook(session) >> after(0.2) << b"2"
    assert script >> after(0.1) >> b"4a" << Deliver() >> after(0.1) >> b"4b" << Deliver()
    assert session.deadline == pytest.approx(0.45)
    [vector] = [
        line for line in lines("behaviours") if line["name"] == "ping-timeout-refreshed-once"
    ]
    assert vector["observed"]["ms_after_ping"] == pytest.approx(250, abs=20)
    assert script >> after(0.049) >> after(0.002) << Closed(Reason.PING_TIMEOUT)


@pytest.mark.parametrize("via", Transport)
@pytest.mark.parametrize("after_s", [0.0, 25.0])
def test_hearing_a_message_is_receiving_it(via: Transport, after_s: float) -> None:
    """The short way of a message leaves the session as the long one does: heard where it is read, and a sign of life."""
    long, short = opened(WEBSOCKET), opened(WEBSOCKET)
    for each in (long, short):
        each.expire(after_s)
    is_heard = short.hears(via, lambda: after_s + 10)
    assert is_heard is (long.receive(decode("4a"), after_s + 10, via) is DELIVER)
    assert is_heard is (via is WEBSOCKET)
    assert short.deadline == long.deadline
    assert not short.hears(POLLING, lambda: 99.0)


def test_each_ping_may_be_delayed_once() -> None:
    """The delay is granted anew with the next ping."""
    session = opened(WEBSOCKET)
    script = Playbook(session) >> after(25) << b"2" >> b"4" << Deliver() >> b"3"
    assert script >> after(25) << b"2" >> after(10) >> b"6"
    assert session.deadline == 80.0


def test_traffic_alone_does_not_put_off_a_ping() -> None:
    """Official clients count pings only: a busy session is pinged as an idle one."""
    assert Playbook(opened(WEBSOCKET)) >> after(24) >> b"4a" << Deliver() >> after(1) << b"2"


def test_a_ping_is_unanswered_until_there_is_a_sign_of_life() -> None:
    """From when it was due: a pong is one, and so is any other packet."""
    session = opened(WEBSOCKET)
    script = Playbook(session) >> after(25) << b"2"
    assert script
    assert [session.unanswered_s(now) for now in (24.0, 25.0, 31.0)] == [0.0, 0.0, 6.0]
    assert script >> after(5) >> b"3"
    assert session.unanswered_s(31.0) == 0.0
    assert script >> after(25) << b"2" >> b"4" << Deliver()
    assert session.unanswered_s(80.0) == 0.0
    assert script >> b"3" >> after(25) << b"2"
    session.close(Reason.SHUTTING_DOWN, 81.0)
    assert session.unanswered_s(99.0) == 0.0


def test_unasked_pongs_do_no_harm() -> None:
    """CVE-2026-48802: 100,000 pongs are one timer."""
    session = opened(WEBSOCKET)
    for _ in range(100_000):
        assert session.receive(Packet(PacketType.PONG), 1.0, WEBSOCKET) is NOTHING
    assert session.deadline == 26.0


# ---- Upgrade ----


def test_an_upgrade() -> None:
    """Probe, answer, the held GET released, `5`; then the WebSocket carries the session and polling is over."""
    session = probing()
    assert not session.releases_polls
    script = Playbook(session) >> b"2probe" << websocket(b"3probe") << ReleasePoll()
    assert (session.transport, session.releases_polls, session.is_probing) == (POLLING, True, True)
    assert script >> polling(b"4a") << Deliver() >> b"5" << Upgraded() >> b"4b" << Deliver()
    assert (session.transport, session.releases_polls, session.is_probing) == (
        WEBSOCKET,
        False,
        False,
    )
    assert (
        script
        >> polling(b"4late")
        >> polling(b"1")
        >> refused_probe
        >> after(25)
        << websocket(b"2")
    )


def test_upgrade_without_probe_is_accepted() -> None:
    """`5` as the first packet upgrades, as in Node."""
    assert Playbook(probing()) >> b"5" << Upgraded() >> b"4a" << Deliver()


def test_a_probe_may_be_repeated() -> None:
    """Each `2probe` is answered."""
    script = Playbook(probing()) >> b"2probe" << b"3probe" << ReleasePoll()
    assert script >> b"2probe" << b"3probe" << ReleasePoll()


@pytest.mark.parametrize("wire", [b"2", b"2other", b"3", b"4a", b"0", b"1", b"6"])
@pytest.mark.parametrize("probed", [False, True])
def test_another_packet_closes_only_the_probing_websocket(wire: bytes, probed: bool) -> None:
    """The session lives on, on polling, and a new probe is welcome; late packets of the old one are ignored."""
    session = probing()
    script = Playbook(session)
    if probed:
        script >> b"2probe" << b"3probe" << ReleasePoll()
    assert (
        script >> wire << ProbeClosed() >> websocket(b"5") >> polling(b"4a") << Deliver() >> probe
    )
    assert session.is_probing


def test_a_probe_runs_out_of_time() -> None:
    """After the upgrade time-out only the WebSocket closes."""
    session = probing()
    assert session.deadline == 10.0
    assert (
        Playbook(session) >> after(9.9) >> after(0.1) << ProbeClosed() >> after(15) << polling(b"2")
    )


def test_a_probe_and_the_heartbeat_may_be_due_together() -> None:
    """Both are done, the probe first."""
    script = (
        Playbook(probing()) >> after(30) << ProbeClosed() << polling(b"2") >> probe >> after(30)
    )
    assert script << ProbeClosed() << b"1" << Closed(Reason.PING_TIMEOUT)


def test_the_probing_websocket_breaks() -> None:
    """Its loss, before or after the probe, or a packet that could not be read on it, is not the session's."""
    script = Playbook(probing()) >> lost(WEBSOCKET, Reason.PARSE_ERROR) << ProbeClosed()
    script = script >> b"4" << Deliver() >> probe >> b"2probe" << b"3probe" << ReleasePoll()
    assert script >> lost(WEBSOCKET) << ProbeClosed() >> b"4" << Deliver()


def test_a_second_websocket_is_refused() -> None:
    """While one probes, and after the upgrade."""
    assert Playbook(probing()) >> refused_probe >> b"5" << Upgraded() >> refused_probe


def test_the_probing_websocket_closes_with_the_session() -> None:
    """Whoever ends the session, the probe ends first."""
    script = Playbook(probing()) >> close() << ProbeClosed() << polling(b"1")
    assert script << Closed(Reason.SHUTTING_DOWN)
    script = Playbook(probing()) >> polling(b"1") << ProbeClosed() << polling(b"6")
    assert script << Closed(Reason.TRANSPORT_CLOSE)


def test_a_peer_that_dies_during_an_upgrade_is_found() -> None:
    """The pong's timer is carried over: Node stops it at `5` and waits for ever."""
    session = opened()
    script = Playbook(session) >> after(25) << polling(b"2") >> probe >> b"5" << Upgraded()
    assert script >> after(20) << Closed(Reason.PING_TIMEOUT)


# ---- The table ----


def test_the_table_is_closed() -> None:
    """Every state has a row, every state but CLOSED has a way out, and none leads out of CLOSED."""
    assert set(TRANSITIONS) == set(State)
    assert TRANSITIONS[State.CLOSED] == {}
    reached = {State.OPENING} | {after for row in TRANSITIONS.values() for after in row.values()}
    assert reached == set(State)
    for state in set(State) - {State.CLOSED}:
        assert TRANSITIONS[state][Input.END] is State.CLOSED


PACKETS = st.sampled_from(
    ["0", "1", "2", "2probe", "3", "3probe", "4", "4a", "5", "6"],
).map(decode)


class Walk(RuleBasedStateMachine):
    """Any shell, any peer, any order: the machine keeps its promises."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(Timing())
        self.now = 0.0
        self.closed = 0
        self.probes = 0

    def told(self, before: State, events: Events) -> None:
        for event in events:
            assert self.closed == 0, "nothing follows the end"
            self.closed += isinstance(event, Closed)
            self.probes -= isinstance(event, ProbeClosed | Upgraded)
        assert events is NOTHING or before is not State.CLOSED
        assert self.session.state is before or self.session.state in reachable(before)

    @rule(via=st.sampled_from(Transport))
    def open(self, via: Transport) -> None:
        self.session.open(via, self.now)

    @rule(packet=PACKETS, via=st.sampled_from(Transport))
    def receive(self, packet: Packet, via: Transport) -> None:
        before = self.session.state
        reads = self.session.is_open and self.session.transport is via
        events = self.session.receive(packet, self.now, via)
        assert (events is DELIVER) == (reads and packet.type is PacketType.MESSAGE)
        self.told(before, events)

    @rule()
    def begin_probe(self) -> None:
        self.probes += self.session.begin_probe(self.now)

    @rule(via=st.sampled_from(Transport), reason=st.sampled_from(Reason))
    def lost(self, via: Transport, reason: Reason) -> None:
        before = self.session.state
        self.told(before, self.session.lost(via, reason))

    @precondition(lambda self: self.session.state is not State.OPENING)
    @rule()
    def close(self) -> None:
        before = self.session.state
        self.told(before, self.session.close(Reason.SHUTTING_DOWN, self.now))

    @rule()
    def flushed(self) -> None:
        self.session.flushed()

    @rule(seconds=st.floats(0, 40))
    def expire(self, seconds: float) -> None:
        before = self.session.state
        self.now += seconds
        self.told(before, self.session.expire(self.now))
        assert self.session.deadline is None or self.session.deadline > self.now

    @invariant()
    def consistent(self) -> None:
        session = self.session
        assert (session.deadline is None) == (session.state in {State.OPENING, State.CLOSED})
        assert session.is_probing == (session.state in {State.PROBING, State.PROBED})
        assert self.probes == session.is_probing, "a probe ends once"
        ended = session.state in {State.CLOSING, State.CLOSED}
        assert self.closed == ended, "the end is told, once"
        assert session.is_open == (not ended and session.state is not State.OPENING)


def reachable(state: State) -> set[State]:
    """Within two steps: time may end a probe and the session at once."""
    near = set(TRANSITIONS[state].values())
    return near | {after for one in near for after in TRANSITIONS[one].values()}


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


STEPS = st.lists(
    st.sampled_from(["message", "probe", "2probe", "5", "1", "pass time"]), max_size=60
)


@settings(deadline=None)
@given(STEPS)
def test_messages_are_neither_lost_nor_doubled_by_upgrades(steps: list[str]) -> None:
    """A client that upgrades, fails and tries again: each message arrives once, in order, whatever lies between."""
    session, now = opened(), 0.0
    sent: list[str] = []
    arrived: list[str | bytes] = []
    for step in steps:
        if step == "message":
            sent.append(str(len(sent)))
            packet = Packet(PacketType.MESSAGE, sent[-1])
            if session.receive(packet, now, session.transport or POLLING) is DELIVER:
                arrived.append(packet.data)
        elif step == "pass time":
            now += 3.0
            for event in session.expire(now):
                if isinstance(event, Send):
                    session.receive(decode("3"), now, event.via)
        elif step == "probe":
            session.begin_probe(now)
        elif session.is_probing:
            session.receive(decode(step), now, WEBSOCKET)
    assert arrived == sent
