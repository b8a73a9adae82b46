"""The engine: nothing is lost or doubled between the log and the wire, whatever the bus does."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.auth.principal import Principal
from clarion.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from clarion.settings import Limits
from clarion.telemetry import spawn
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.stream import Position
from tests.support.publications import Publication
from tests.topics.fakes import ADA, INBOX, OPEN, Bench, Socket, settle


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.engine.close()


async def test_a_subscriber_gets_the_state_then_every_change_in_order(bench: Bench) -> None:
    await bench.publish(OPEN, 1, 2)
    socket = Socket("s")
    answer = await bench.subscribe(socket)
    assert (answer.snapshot, answer.offset, answer.recovered) == (3, 2, False)
    await bench.publish(OPEN, 4)
    await bench.publish(OPEN, 8, 16)
    await settle()
    assert socket.offsets == [3, 4, 5]
    assert [data.data for _, data in socket.got] == [4, 8, 16]


async def test_the_answer_is_what_the_wire_contract_says(bench: Bench) -> None:
    """`snapshot` or `publications`, never both; `reason` only where recovery was asked for and refused."""
    entries = await bench.publish(OPEN, 5)
    plain = msgspec.json.decode(msgspec.json.encode(await bench.subscribe(Socket("a"))))
    top = bench.log.position(OPEN)
    assert plain == {
        "topic": "sum:open-1",
        "epoch": "a",
        "offset": 1,
        "mark": top.mark,
        "class": "durable",
        "recovered": False,
        "snapshot": 5,
        "log": {"size": 100, "age_s": 60},
    }
    again = await bench.subscribe(Socket("b"), since=Position("a", 0, 0))
    assert msgspec.to_builtins(again)["publications"] == [
        {"topic": "sum:open-1", "offset": 1, "mark": entries[0].mark, "event": "add", "data": 5}
    ]
    assert "snapshot" not in msgspec.to_builtins(again)


async def test_who_comes_back_gets_just_what_was_missed(bench: Bench) -> None:
    await bench.publish(OPEN, 1, 2)
    since = bench.log.position(OPEN)
    await bench.publish(OPEN, 3, 4)
    answer = await bench.subscribe(Socket("s"), since=since)
    assert answer.recovered
    assert [missed["data"] for missed in answer.publications] == [3, 4]
    assert answer.offset == 4


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        (Position("b", 1, 0), "epoch_changed"),
        (Position("a", 99, 0), "diverged"),
        (Position("a", 0, 1), "diverged"),
    ],
)
async def test_what_cannot_be_recovered_is_a_snapshot_with_a_reason(
    bench: Bench, since: Position, reason: str
) -> None:
    await bench.publish(OPEN, 1)
    answer = await bench.subscribe(Socket("s"), since=since)
    assert (answer.recovered, answer.reason, answer.snapshot) == (False, reason, 1)


async def test_more_than_may_be_recovered_is_a_snapshot(bench: Bench) -> None:
    await bench.publish(OPEN, *[1] * 11)
    answer = await bench.subscribe(Socket("s"), since=Position("a", 0, 0))
    assert (answer.recovered, answer.reason, answer.snapshot) == (False, "too_many", 11)


async def test_a_recovery_too_large_for_a_socket_is_a_snapshot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ack must fit into the socket's queue, or the client would be closed again and again."""
    monkeypatch.setattr("clarion.topics.fitting.ANSWER_BYTES", 100)
    await bench.publish(OPEN, 1, 1)
    answer = await bench.subscribe(Socket("s"), since=Position("a", 0, 0))
    assert (answer.recovered, answer.reason) == (False, "too_many")


@pytest.mark.parametrize("since", [None, Position("a", 0, 0)])
async def test_what_is_announced_while_the_log_is_read_is_neither_lost_nor_doubled(
    bench: Bench, since: Position | None
) -> None:
    """Some of it is already in what was read, some is not."""
    await bench.publish(OPEN, 1)
    bench.log.gate = asyncio.Event()
    socket = Socket("s")
    late = bench.log.append(OPEN, 2)  # in the log, its announcement still on the way
    subscribing = asyncio.get_running_loop().create_task(bench.subscribe(socket, since=since))
    await bench.log.reading.wait()
    await bench.engine.announce(OPEN, "a", late)
    await bench.publish(OPEN, 3, 4)
    await settle()
    bench.log.gate.set()
    answer = await subscribing
    await bench.publish(OPEN, 5)
    await settle()
    assert answer.offset == 2
    assert socket.offsets == [3, 4, 5]
    assert bench.log.reads == (0 if since is None else 1), "merged, not repaired"


async def test_nothing_overtakes_the_answer(bench: Bench) -> None:
    """Publications wait until the ack is on its way."""
    socket = Socket("s")
    _, subscription = await bench.engine.subscribe(socket, ADA, SubscribeArgs(OPEN.wire))
    await bench.publish(OPEN, 1)
    await settle()
    assert socket.got == []
    bench.engine.go(subscription)
    assert socket.offsets == [1]


async def test_what_waits_for_a_slow_log_is_bounded(bench: Bench) -> None:
    """Beyond what a recovery may bring nothing is kept, and the client comes back for a snapshot."""
    socket = Socket("s")
    _, subscription = await bench.engine.subscribe(socket, ADA, SubscribeArgs(OPEN.wire))
    await bench.publish(OPEN, *range(bench.limits.recovery_publications + 1))
    await settle()
    bench.engine.go(subscription)
    await settle(lambda: bool(socket.ended))
    assert socket.offsets == []
    assert socket.ended[0]["code"] == 3010


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


async def test_a_check_asks_once_for_all_subscribers_of_a_topic(bench: Bench) -> None:
    for number in range(5):
        await bench.subscribe(Socket(str(number)))
    await bench.subscribe(Socket("own"), INBOX)
    await bench.engine.check_positions()
    assert [len(asked) for asked in bench.log.asked] == [1, 1]


async def test_a_subscriber_who_is_further_than_the_answer_is_not_disturbed(bench: Bench) -> None:
    """An entry that arrives while the check waits for the log makes nobody diverge."""
    socket = Socket("s")
    await bench.subscribe(socket)
    bench.log.gate = asyncio.Event()
    bench.log.reading.clear()
    checking = asyncio.get_running_loop().create_task(bench.engine.check_positions())
    await bench.log.reading.wait()
    await bench.publish(OPEN, 1)
    await settle()
    bench.log.gate.set()
    await checking
    await settle()
    assert socket.offsets == [1]
    assert socket.ended == []
    assert bench.log.reads == 0


async def test_a_check_of_many_leaves_the_others_a_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100,000 subscriptions are looked at for seconds, and nobody's messages wait for that."""
    monkeypatch.setattr("clarion.topics.engine.AT_ONCE", 2)
    for number in range(6):
        await bench.subscribe(Socket(str(number)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    working = spawn(others(), name="others")
    await bench.engine.recheck()
    after_rights, turns = turns, 0
    await bench.engine.check_positions()
    working.cancel()
    assert min(after_rights, turns) >= 2


async def test_positions_are_checked_by_a_timer() -> None:
    bench = Bench(Limits(position_check_s=0.01))
    bench.engine.start()
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1, announce=False)
    async with asyncio.timeout(5):
        await socket.arrived.wait()
    assert socket.offsets == [1]
    await bench.engine.close()


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


async def test_an_entry_is_encoded_once_for_all_subscribers(bench: Bench) -> None:
    sockets = [Socket(str(number)) for number in range(10)]
    for socket in sockets:
        await bench.subscribe(socket)
    bench.prepared = 0
    await bench.publish(OPEN, 1, 2)
    await settle()
    assert bench.prepared == 2
    assert all(socket.offsets == [1, 2] for socket in sockets)


async def test_unsubscribed_and_gone_sockets_get_nothing_more(bench: Bench) -> None:
    stays, leaves, goes = Socket("stays"), Socket("leaves"), Socket("goes")
    for socket in (stays, leaves, goes):
        await bench.subscribe(socket)
    bench.engine.unsubscribe(leaves, OPEN.wire)
    bench.engine.unsubscribe(leaves, OPEN.wire)
    bench.engine.leave(goes)
    bench.engine.leave(goes)
    await bench.publish(OPEN, 1)
    await settle()
    assert (stays.offsets, leaves.got, goes.got) == ([1], [], [])


async def test_nothing_is_kept_of_topics_without_subscribers(bench: Bench) -> None:
    socket = Socket("s")
    await bench.subscribe(socket)
    bench.engine.leave(socket)
    await bench.engine.check_positions()
    assert bench.log.asked == []
    await bench.publish(OPEN, 1)
    await settle()
    assert bench.prepared == 0


async def test_a_socket_that_goes_while_the_log_is_read_leaves_nothing(bench: Bench) -> None:
    bench.log.gate = asyncio.Event()
    socket = Socket("s")
    subscribing = asyncio.get_running_loop().create_task(bench.subscribe(socket))
    await bench.log.reading.wait()
    bench.engine.leave(socket)
    bench.log.gate.set()
    with pytest.raises(Conflict):
        await subscribing
    bench.log.asked.clear()
    await bench.engine.check_positions()
    assert bench.log.asked == []


async def test_a_socket_that_goes_while_a_gap_is_filled_gets_nothing(bench: Bench) -> None:
    socket = Socket("s")
    await bench.subscribe(socket)
    bench.log.gate = asyncio.Event()
    bench.log.reading.clear()
    await bench.publish(OPEN, 1, announce=False)
    await bench.publish(OPEN, 2)
    await bench.log.reading.wait()
    bench.engine.leave(socket)
    bench.log.gate.set()
    await settle()
    assert socket.got == []


async def test_subscribing_again_replaces_the_former_subscription(bench: Bench) -> None:
    """A client whose ack was lost asks again; it must not get everything twice."""
    socket = Socket("s")
    await bench.subscribe(socket)
    await bench.publish(OPEN, 1)
    await settle()
    answer = await bench.subscribe(socket, since=bench.log.position(OPEN))
    assert answer.recovered
    await bench.publish(OPEN, 2)
    await settle()
    assert socket.offsets == [1, 2]


async def test_a_log_that_cannot_be_read_is_an_error_that_leaves_nothing(bench: Bench) -> None:
    bench.log.is_down = True
    with pytest.raises(Unavailable):
        await bench.subscribe(Socket("s"))
    bench.log.is_down = False
    await bench.engine.check_positions()
    assert bench.log.asked == []


async def test_a_log_that_fails_after_the_socket_has_gone_is_only_an_error(bench: Bench) -> None:
    bench.log.gate = asyncio.Event()
    socket = Socket("s")
    subscribing = asyncio.get_running_loop().create_task(bench.subscribe(socket))
    await bench.log.reading.wait()
    bench.engine.leave(socket)
    subscribing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await subscribing
    assert socket.got == []


async def test_a_socket_has_a_bounded_number_of_subscriptions(bench: Bench) -> None:
    """limits.topics at n and n + 1; a topic that it has already counts once."""
    socket = Socket("s")
    ada = Principal(id="ada", topics={"sum:*": ("subscribe",)})
    for number in (1, 2, 3, 3):
        await bench.engine.subscribe(socket, ada, SubscribeArgs(f"sum:{number}"))
    with pytest.raises(TooMany) as refused:
        await bench.engine.subscribe(socket, ada, SubscribeArgs("sum:4"))
    assert refused.value.facts["limit"] == 3
    bench.engine.unsubscribe(socket, "sum:1")
    await bench.engine.subscribe(socket, ada, SubscribeArgs("sum:4"))


async def test_rights_are_asked_before_anything_else(bench: Bench) -> None:
    socket = Socket("s")
    for principal, topic, error in (
        (ADA, "own:bob", Forbidden),
        (ADA, "sum:closed", Forbidden),
        (Principal(id="ada", kind="key"), "own:ada", Forbidden),
        (None, "own:ada", Unauthenticated),
        (None, "sum:open-1", Unauthenticated),
        (ADA, "nothing:ada", NotFound),
        (ADA, "inbox", Invalid),
        (ADA, ":ada", Invalid),
    ):
        with pytest.raises(error):
            await bench.engine.subscribe(socket, principal, SubscribeArgs(topic))
    assert not bench.log.reading.is_set()


async def test_the_same_name_in_another_tenant_is_another_topic(bench: Bench) -> None:
    ours, theirs = Socket("ours"), Socket("theirs")
    await bench.subscribe(ours, INBOX)
    other = Principal(id="ada", tenant="other")
    _, subscription = await bench.engine.subscribe(theirs, other, SubscribeArgs("own:ada"))
    bench.engine.go(subscription)
    await bench.publish(INBOX, 1)
    await settle()
    assert (ours.offsets, theirs.offsets) == ([1], [])


async def test_a_credential_that_runs_out_ends_what_it_opened(bench: Bench) -> None:
    brief = Principal(id="ada", expires_ms=bench.clock.now_ms() + 1000)
    lasting, ending = Socket("lasting"), Socket("ending")
    await bench.subscribe(lasting, INBOX)
    await bench.engine.subscribe(ending, brief, SubscribeArgs("own:ada"))
    await bench.engine.recheck()
    assert ending.ended == []
    bench.clock.advance(1)
    await bench.engine.recheck()
    assert ending.ended == [{"topic": "own:ada", "code": 3501, "reason": "token_expired"}]
    assert lasting.ended == []


async def test_a_socket_that_closes_under_a_delivery_disturbs_nobody(bench: Bench) -> None:
    """What is sent may be one thing too many for a slow socket: it goes in the midst of the loop."""

    class Slow(Socket):
        def deliver(self, prepared: object, /) -> None:
            super().deliver(prepared)
            bench.engine.leave(self)

    slow, quick = Slow("slow"), Socket("quick")
    for socket in (slow, quick):
        await bench.subscribe(socket)
    await bench.subscribe(slow, INBOX)
    await bench.publish(OPEN, 1, 2)
    await settle()
    assert quick.offsets == [1, 2]
    ending = msgspec.structs.replace(ADA, expires_ms=bench.clock.now_ms())
    for topic in (OPEN, INBOX):
        await bench.engine.subscribe(slow, ending, SubscribeArgs(topic.wire))
    await bench.engine.recheck()
    assert len(slow.ended) == 1


async def test_a_right_that_is_lost_ends_the_subscription(bench: Bench) -> None:
    socket = Socket("s")
    grants = {"sum:open-*": ("subscribe",)}
    _, subscription = await bench.engine.subscribe(
        socket, Principal(id="eve", topics=grants), SubscribeArgs(OPEN.wire)
    )
    grants.clear()
    await bench.engine.recheck()
    assert socket.ended[0]["code"] == 3500
    assert subscription.has_ended


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


async def test_announcements_that_overtake_each_other_are_put_in_order_without_reading(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers of one topic, or two nodes: what is late by a moment is no loss, and costs no reading of the log."""
    monkeypatch.setattr("clarion.topics.engine.OVERTAKEN_S", 0.02)
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
