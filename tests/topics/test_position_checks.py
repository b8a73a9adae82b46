"""Positions are compared with the log now and then, and that disturbs nobody."""

import asyncio

import pytest

from clarion.settings import Limits
from clarion.telemetry import spawn
from tests.topics.fakes import INBOX, OPEN, Bench, Socket, settle


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
    monkeypatch.setattr("clarion.topics.repairs.AT_ONCE", 2)
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
