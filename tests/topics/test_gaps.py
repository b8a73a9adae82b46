"""Nothing is lost or doubled between the log and the wire, whatever the bus does."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.errors import Unavailable
from clarion.telemetry import spawn
from clarion.topics.stream import Position
from tests.support.publications import Publication
from tests.topics.fakes import OPEN, Bench, Socket, settle


async def test_an_announcement_twice_or_out_of_order_changes_nothing(bench: Bench) -> None:
    socket = Socket("s")
    await bench.subscribe(socket)
    one, two = bench.log.append(OPEN, 1), bench.log.append(OPEN, 2)
    for entries in (two, one, one, two):
        await bench.engine.announce(OPEN, "a", entries)
    await settle(lambda: len(socket.offsets) == 2)
    assert socket.offsets == [1, 2]


async def test_a_gap_is_filled_from_the_log(bench: Bench) -> None:
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1, 2, announce=False)
    await bench.publish(OPEN, 3)
    await settle(lambda: len(socket.offsets) == 3)
    assert socket.offsets == [1, 2, 3]
    assert socket.ended == []


async def test_what_comes_while_a_gap_is_filled_waits_for_it(bench: Bench) -> None:
    socket = Socket("s")
    await bench.subscribe(socket)
    bench.log.gate = asyncio.Event()
    bench.log.reading.clear()
    await bench.publish(OPEN, 1, announce=False)
    await bench.publish(OPEN, 2)
    await bench.log.reading.wait()
    await bench.publish(OPEN, 3)
    await settle()
    assert socket.offsets == []
    bench.log.gate.set()
    await settle(lambda: len(socket.offsets) == 3)
    assert socket.offsets == [1, 2, 3]


async def test_a_gap_that_the_log_cannot_fill_ends_the_subscription(bench: Bench) -> None:
    """3010 insufficient_state: the client subscribes again with its position, and is told the reason."""
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1, 2, announce=False)
    bench.log.trimmed[OPEN] = 2
    await bench.publish(OPEN, 3)
    await settle(lambda: bool(socket.ended))
    assert socket.ended == [{"topic": "sum:open-1", "code": 3010, "reason": "insufficient_state"}]
    assert socket.offsets == []
    await bench.publish(OPEN, 4)
    await settle()
    assert socket.offsets == []


async def test_another_epoch_ends_the_subscription(bench: Bench) -> None:
    socket = Socket("s")
    await bench.publish(OPEN, 1)
    await bench.subscribe(socket)
    bench.log.epoch = "b"
    await bench.publish(OPEN, 2)
    await settle(lambda: bool(socket.ended))
    assert socket.ended[0]["code"] == 3010


async def test_a_lost_announcement_is_found_by_the_position_check(bench: Bench) -> None:
    one, two = Socket("1"), Socket("2")
    await bench.subscribe(one)
    await bench.subscribe(two)
    await bench.publish(OPEN, 1, 2, announce=False)
    await bench.engine.check_positions()
    await settle(lambda: len(one.offsets) + len(two.offsets) == 4)
    assert one.offsets == two.offsets == [1, 2]


async def test_what_many_have_missed_is_read_and_encoded_once(bench: Bench) -> None:
    """For all who stand at the same place; 3,000 reads of a database for one lost announcement took half a minute."""
    sockets = [Socket(str(number)) for number in range(50)]
    for socket in sockets[:49]:
        await bench.subscribe(socket)
    await bench.publish(OPEN, 1, announce=False)
    await bench.subscribe(sockets[49])
    await bench.publish(OPEN, 1, announce=False)
    bench.prepared = 0
    await bench.engine.check_positions()
    await settle(lambda: all(socket.offsets for socket in sockets))
    assert [socket.offsets for socket in sockets] == [[1, 2]] * 49 + [[2]]
    assert (bench.log.reads, bench.prepared) == (2, 3)


async def test_a_log_that_lost_its_tail_is_found_by_the_position_check(bench: Bench) -> None:
    """And one that grew again to the same offset."""
    await bench.publish(OPEN, 1, 2)
    one, two = Socket("1"), Socket("2")
    await bench.subscribe(one)
    bench.log.lose_tail(OPEN, 1)
    await bench.engine.check_positions()
    await settle(lambda: bool(one.ended))
    await bench.publish(OPEN, 2, announce=False)
    await bench.subscribe(two)
    bench.log.lose_tail(OPEN, 1)
    bench.log.append(OPEN, 7)
    await bench.engine.check_positions()
    await settle(lambda: bool(two.ended))
    assert one.ended[0]["code"] == two.ended[0]["code"] == 3010


async def test_a_gap_of_the_bus_is_checked_at_once(bench: Bench) -> None:
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1, announce=False)
    bench.bus.gap()
    await settle(lambda: bool(socket.offsets))
    assert socket.offsets == [1]


async def test_a_gap_while_a_subscriber_is_answered_is_filled_when_it_goes_live(
    bench: Bench,
) -> None:
    """What was lost between the reading of the log and the ack is not left to the next check."""
    socket = Socket("s")
    bench.log.gate = asyncio.Event()
    subscribing = spawn(bench.subscribe(socket), name="test")
    await bench.log.reading.wait()
    await bench.publish(OPEN, 1, announce=False)
    bench.bus.gap()
    await settle()
    bench.log.gate.set()
    assert (await subscribing).offset == 0
    await settle(lambda: bool(socket.offsets))
    assert socket.offsets == [1]


async def test_the_log_is_read_when_the_bus_brings_what_comes_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription to a bus between nodes takes a moment: a publication in it is in the log that is read afterwards."""

    async def settle_slowly(_: str) -> None:
        await bench.publish(OPEN, 1, announce=False)

    monkeypatch.setattr(bench.bus, "settle", settle_slowly)
    assert (await bench.subscribe(Socket("s"))).offset == 1


async def test_a_log_that_is_down_costs_nobody_the_subscription(bench: Bench) -> None:
    """What is missing is read when the log is back: with the next entry, or by the next check."""
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1, announce=False)
    bench.log.is_down = True
    await bench.publish(OPEN, 2)
    bench.bus.gap()
    await settle()
    with pytest.raises(Unavailable):
        await bench.engine.check_positions()
    assert socket.got == []
    bench.log.is_down = False
    await bench.engine.check_positions()
    await settle(lambda: len(socket.offsets) == 2)
    assert socket.offsets == [1, 2]


async def test_a_kind_with_a_bug_sends_its_subscribers_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come back with their position, instead of waiting for ever."""
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1, announce=False)
    monkeypatch.setattr(bench.log, "read", lambda *args: 1 / 0)
    await bench.publish(OPEN, 2)
    await settle(lambda: bool(socket.ended))
    assert socket.ended[0]["code"] == 3010


async def test_a_bus_that_is_down_costs_nobody_the_announcement(bench: Bench) -> None:
    """`announce` comes after the commit: it has nothing to refuse any more."""
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.bus.close()
    await bench.publish(OPEN, 1)
    await bench.engine.check_positions()
    await settle(lambda: bool(socket.offsets))
    assert socket.offsets == [1]


async def test_announcements_that_overtake_each_other_are_put_in_order_without_reading(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers of one topic, or two nodes: what is late by a moment is no loss, and costs no reading of the log."""
    monkeypatch.setattr("clarion.topics.repairs.OVERTAKEN_S", 0.02)
    socket = Socket("s")
    await bench.subscribe(socket)
    entries = bench.log.append(OPEN, 1, 2, 3, 4)
    reads = bench.log.reads
    for number in (1, 3, 0, 2):
        await bench.engine.announce(OPEN, "a", [entries[number]])
    await settle()
    assert socket.offsets == []
    async with asyncio.timeout(5):
        while len(socket.offsets) < 4:
            socket.arrived.clear()
            await socket.arrived.wait()
    assert socket.offsets == [1, 2, 3, 4]
    assert bench.log.reads == reads
    lost = bench.log.append(OPEN, 5, 6)
    await bench.engine.announce(OPEN, "a", [lost[1]])
    async with asyncio.timeout(5):
        while len(socket.offsets) < 6:
            socket.arrived.clear()
            await socket.arrived.wait()
    assert bench.log.reads == reads + 1


Step = st.sampled_from(
    ["publish", "publish", "silent", "announce late", "yield", "check", "leave", "return", "gap"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(Step, max_size=40), st.integers(0, 3))
def test_whatever_the_bus_loses_every_client_ends_with_the_fresh_snapshot(
    steps: list[str], trimmed: int
) -> None:
    """State at subscribing + publications = the state now, after any history of losses, delays and reconnects."""

    async def history() -> None:
        bench, late = Bench(), []
        clients = [Client(bench, name) for name in "ab"]
        for client in clients:
            await client.connect()
        for at, step in enumerate(steps):
            client = clients[at % 2]
            match step:
                case "publish":
                    await bench.publish(OPEN, at)
                case "silent":
                    await bench.publish(OPEN, at, announce=False)
                case "announce late":
                    late.append(bench.log.append(OPEN, at, at))
                case "yield":
                    await settle()
                    while late:
                        await bench.engine.announce(OPEN, "a", late.pop())
                case "check":
                    await bench.engine.check_positions()
                case "leave":
                    client.leave()
                    bench.log.trimmed[OPEN] = max(0, bench.log.position(OPEN).offset - trimmed)
                case "return":
                    await client.connect()
                case "gap":
                    bench.bus.gap()
        for client in clients:
            await client.connect()
        await settle()
        await bench.engine.check_positions()
        await settle()
        for client in clients:
            await client.come_back_if_ended()
            assert client.sum == (await bench.log.snapshot(OPEN)).state
            assert client.position == bench.log.position(OPEN)
        await bench.engine.close()

    asyncio.run(history())


class Client:
    """What a client library does: keeps a state and a position, comes back with it."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench, self._name, self._lives = bench, name, 0
        self.socket = Socket(name)
        self.sum, self.position = 0, Position("", 0, 0)

    async def connect(self) -> None:
        """On a new socket, or again on the same."""
        self.take()
        since = self.position if self.position.epoch else None
        answer = await self._bench.subscribe(self.socket, since=since)
        if answer.recovered:
            for missed in answer.publications:
                self._apply(Publication(**missed))
        else:
            self.sum = answer.snapshot
        at = Position(answer.epoch, answer.offset, answer.mark)
        assert not answer.recovered or self.position == at
        self.position = at

    def leave(self) -> None:
        self.take()
        self._bench.engine.leave(self.socket)
        self._lives += 1
        self.socket = Socket(f"{self._name}{self._lives}")

    async def come_back_if_ended(self) -> None:
        self.take()
        if self.socket.ended:
            self.leave()
            await self.connect()

    def take(self) -> None:
        for event, data in self.socket.got:
            if event == "publication":
                self._apply(data)
        self.socket.got = [one for one in self.socket.got if one[0] != "publication"]

    def _apply(self, publication: object) -> None:
        assert publication.offset == self.position.offset + 1  # type: ignore[attr-defined]
        self.sum += publication.data  # type: ignore[attr-defined]
        self.position = Position(self.position.epoch, publication.offset, publication.mark)  # type: ignore[attr-defined]
