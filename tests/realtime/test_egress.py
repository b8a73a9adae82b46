"""The egress of a session: order, one write a turn, two marks, and an end."""

import asyncio
from threading import get_ident

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import UsageError
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.egress import Egress, Flusher, Sent
from clarion.realtime.transports.base import Prepared
from tests.support.memory_transport import MemoryClient, MemoryTransport, make_server, settle


class Owner:
    def __init__(self) -> None:
        self.overflows: list[int] = []

    def overflowed(self, waiting: int) -> None:
        self.overflows.append(waiting)


def made(soft: int = 1000, hard: int = 5000, kind: Kind = Kind.WEBSOCKET):
    owner, transport, flusher = Owner(), MemoryTransport(kind), Flusher(soft, hard)
    return Egress(owner, flusher, transport), transport, owner


def text(number: object, size: int = 0) -> Prepared:
    return Prepared([f"4{number}".ljust(size, ".")])


async def test_what_is_sent_in_a_turn_leaves_together():
    """However much is sent in a turn of the loop, the connection is written to once, in order."""
    egress, transport, _ = made()
    for turn in ("a", "b"):
        assert [egress.push(text(turn + str(n))) for n in range(5)] == [Sent.NOW] * 5
        await settle()
    assert transport.sent == [f"4{turn}{n}" for turn in "ab" for n in range(5)]
    assert transport.writes == 2
    assert egress.waiting == 0


async def test_the_first_of_what_goes_to_many_goes_straight_on_the_rest_together():
    """A broadcast's first message does not wait for the turn's end; those behind it do, and none overtakes another."""
    egress, transport, _ = made()
    transport.goes_straight = True
    for turn in ("a", "b"):
        assert [egress.push_straight(text(turn + str(n))) for n in range(5)] == [Sent.NOW] * 5
        assert transport.sent[-1] == f"4{turn}0"
        await settle()
    egress.push(text("c0"))
    egress.push_straight(text("c1"))
    assert transport.sent[-1] == "4b4"
    await settle()
    assert transport.sent == [*(f"4{turn}{n}" for turn in "ab" for n in range(5)), "4c0", "4c1"]
    assert transport.writes == 5
    assert egress.waiting == 0


async def test_a_transport_that_fails_keeps_nothing_back_from_others():
    """What waits for the other sessions of that turn leaves."""
    flusher, transports = Flusher(1000, 5000), [MemoryTransport() for _ in range(3)]
    transports[1].write = lambda item: 1 / 0
    for transport in transports:
        Egress(Owner(), flusher, transport).push(text(1))
    await settle()
    assert [transport.sent for transport in transports] == [["41"], [], ["41"]]


async def test_one_answer_to_a_poll_takes_all_of_a_turn():
    """A GET is answered only once: what is sent in a turn of the loop is in it together."""
    egress, transport, _ = made(kind=Kind.POLLING)
    for n in range(3):
        egress.push(text(n))
    assert transport.sent == []
    await settle()
    assert transport.sent == ["40", "41", "42"]
    assert transport.writes == 1


async def test_all_sessions_are_flushed_by_one_callback():
    """One callback of the loop serves every session that has something to send."""
    flusher = Flusher(1000, 5000)
    scheduled: list[object] = []
    transports = [MemoryTransport() for _ in range(3)]
    egresses = [Egress(Owner(), flusher, transport) for transport in transports]
    loop = asyncio.get_running_loop()

    class Loop:
        def call_soon(self, what) -> None:
            scheduled.append(loop.call_soon(what))

    flusher.loop, flusher.thread = Loop(), get_ident()
    for egress in egresses * 2:
        egress.push(text(1))
    await settle()
    assert len(scheduled) == 1
    assert [transport.sent for transport in transports] == [["41", "41"]] * 3


async def test_a_peer_that_does_not_read_keeps_its_frames_in_order():
    """While the transport is full everything waits, is called queued, and leaves in order when it can."""
    egress, transport, _ = made()
    transport.is_writable = False
    assert egress.push(text(1)) is Sent.QUEUED
    await settle()
    assert egress.push(text(2)) is Sent.QUEUED
    await settle()
    assert transport.sent == []
    transport.is_writable = True
    egress.resumed()
    egress.flush()
    assert transport.sent == ["41", "42"]


async def test_volatile_events_are_dropped_above_the_soft_mark():
    """Past the soft mark volatile events are dropped, ordinary ones are not."""
    egress, transport, _ = made(soft=100)
    transport.is_writable = False
    assert egress.push_volatile(text(1, 60)) is Sent.QUEUED
    assert egress.push_volatile(text(2, 60)) is Sent.DROPPED
    assert egress.push(text(3, 60)) is Sent.QUEUED
    transport.is_writable = True
    egress.flush()
    assert [message[:2] for message in transport.sent] == ["41", "43"]


async def test_bytes_stuck_in_the_connection_count():
    """What the connection's own buffer holds counts against the marks, as it is now, not as it was when it became full."""
    egress, transport, _ = made(soft=100)
    transport.is_writable, transport.stuck = False, 90
    egress.full()
    assert egress.waiting == 90
    assert egress.push_volatile(text(1, 60)) is Sent.DROPPED
    transport.stuck = 10
    assert egress.push_volatile(text(2, 60)) is Sent.QUEUED
    egress.resumed()
    assert egress.waiting == 62


async def test_above_the_hard_mark_nothing_more_is_taken_and_the_owner_is_told_once():
    """Past the hard mark the queue is dropped, the session is told in a later turn, and everything after is refused."""
    egress, transport, owner = made(hard=200)
    transport.is_writable = False
    assert egress.push(text(1, 150)) is Sent.QUEUED
    assert egress.push(text(2, 150)) is Sent.REFUSED
    assert owner.overflows == []
    assert egress.push(text(3)) is Sent.REFUSED
    assert egress.push_volatile(text(3)) is Sent.REFUSED
    await settle()
    assert len(owner.overflows) == 1
    assert egress.is_empty
    transport.is_writable = True
    egress.resumed()
    egress.flush()
    assert transport.sent == []


async def test_a_burst_in_one_turn_does_not_make_a_reader_slow():
    """More than the hard mark in one turn of the loop: what the connection takes leaves at once, and nobody is closed."""
    egress, transport, owner = made(hard=200)
    for number in range(20):
        assert egress.push(text(number, 60)) is Sent.NOW
    await settle()
    assert owner.overflows == []
    assert [int(message[1:].rstrip(".")) for message in transport.sent] == list(range(20))


async def test_on_polling_volatile_events_need_a_held_poll():
    """Between two polls nobody listens: a volatile event is dropped, as in Node."""
    egress, transport, _ = made(kind=Kind.POLLING)
    transport.is_writable = False
    assert egress.push_volatile(text(1)) is Sent.DROPPED
    assert egress.push(text(2)) is Sent.QUEUED


async def test_an_upgrade_takes_the_queue_along():
    """What waits for a poll leaves by the WebSocket after the upgrade, before anything newer."""
    egress, transport, _ = made(kind=Kind.POLLING)
    transport.is_writable = False
    egress.push(text(1))
    egress.push(text(2))
    await settle()
    websocket = MemoryTransport()
    egress.attach(websocket)
    egress.push(text(3))
    await settle()
    assert transport.sent == []
    assert websocket.sent == ["41", "42", "43"]


async def test_the_end_hands_a_websocket_all_that_waits():
    """A close does not overtake what was sent, even to a slow peer."""
    egress, transport, _ = made()
    transport.is_writable = False
    egress.push(text(1))
    egress.push(text(2))
    egress.finish(keep=False)
    assert transport.sent == ["41", "42"]
    assert egress.push(text(3)) is Sent.REFUSED


async def test_the_end_on_polling_keeps_what_must_be_fetched():
    """On polling the last packets wait for a poll; nothing is added to them."""
    egress, transport, _ = made(kind=Kind.POLLING)
    transport.is_writable = False
    egress.push(text(1))
    egress.push(text(2))
    egress.finish(keep=True)
    assert egress.push(text(3)) is Sent.REFUSED
    transport.is_writable = True
    egress.flush()
    assert transport.sent == ["41", "42"]
    assert egress.push(text(4)) is Sent.REFUSED


class Choosy(MemoryTransport):
    """Takes a few at a time, and becomes full now and then."""

    def __init__(self, few: int) -> None:
        super().__init__()
        self.few = few

    def write_many(self, items, /) -> int:
        taken = super().write_many(items[: self.few])
        self.is_writable = False
        return taken


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 5))
def test_nothing_is_lost_doubled_or_reordered(bursts, few):
    """Whatever the transport takes at a time, the peer gets what was pushed, and the debt ends at zero."""

    async def story() -> None:
        transport = Choosy(few)
        egress = Egress(Owner(), Flusher(1 << 20, 1 << 30), transport)
        number = 0
        for burst in bursts:
            for _ in range(burst):
                egress.push(text(number))
                number += 1
            await asyncio.sleep(0)
        while not egress.is_empty:
            transport.is_writable = True
            egress.flush()
        assert transport.sent == [f"4{n}" for n in range(number)]
        assert egress.waiting == 0

    asyncio.run(story())


async def test_a_thread_that_sends_is_told():
    """FastAPI runs a `def` view in a thread: what it emits would leave some time later, if nothing worse happens. The loop's own calls go on."""
    io = make_server()
    client = MemoryClient(io)
    socket = io.sockets[await client.join()]
    await client.hear()
    for send in (io.emit, io.to(socket.id).emit, socket.emit):
        with pytest.raises(UsageError, match="call_soon_threadsafe"):
            await asyncio.to_thread(send, "from a thread")
    assert await client.hear() == []
    asyncio.get_running_loop().call_soon_threadsafe(io.emit, "from the loop")
    assert await client.hear() == ['42["from the loop"]']
