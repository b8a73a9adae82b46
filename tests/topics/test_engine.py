"""Subscribing: the state or just what was missed, then every change, to whom it is due."""

import asyncio

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.stream import Position
from tests.topics.fakes import ADA, INBOX, OPEN, Bench, Socket, settle


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


async def test_an_entry_is_encoded_once_for_all_subscribers(bench: Bench) -> None:
    sockets = [Socket(str(number)) for number in range(10)]
    for socket in sockets:
        await bench.subscribe(socket)
    bench.prepared = 0
    await bench.publish(OPEN, 1, 2)
    await settle()
    assert bench.prepared == 2
    assert all(socket.offsets == [1, 2] for socket in sockets)


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
