"""How subscriptions end: sockets that go, rights and credentials that are lost; nothing stays behind."""

import asyncio

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import Conflict
from clarion.topics.arguments import SubscribeArgs
from tests.topics.fakes import ADA, INBOX, OPEN, Bench, Socket, settle


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
