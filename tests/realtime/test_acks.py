"""Answers that the server waits for."""

import asyncio

import pytest

from clarion.errors import AckTimeout, Disconnected
from clarion.realtime.acks import Acks, Pending
from clarion.realtime.heartbeat import Wheel
from tests.support.memory_transport import in_time


async def test_an_answer_reaches_who_asked():
    """The arguments of the one answer are returned, and nothing waits any more."""
    wheel, acks = Wheel(), Acks()
    pending = Pending(wheel, 1, 10, only_one=True)
    acks.expect(7, pending, limit=10)
    acks.answered(8, ["not this"])
    acks.answered(7, ["yes", 2])
    acks.answered(7, ["again"])
    assert await pending.wait() == [("yes", 2)]
    assert len(wheel) == 0


async def test_who_leaves_is_not_waited_for():
    """A question to one client that leaves fails at once; Node waits for ever."""
    acks, pending = Acks(), Pending(Wheel(), 1, 10, only_one=True)
    acks.expect(1, pending, limit=10)
    acks.left()
    with pytest.raises(Disconnected):
        await pending.wait()


def test_no_answer_in_time_is_an_error_with_those_that_came():
    """When the time is over the error carries the answers that came, and how many are missing."""

    async def scenario(loop) -> None:
        pending = Pending(Wheel(), 3, 5, only_one=False)
        pending.answered(["a"])
        pending.answered([])
        with pytest.raises(AckTimeout) as caught:
            await pending.wait()
        assert caught.value.responses == ("a", None)
        assert caught.value.missing == 1
        assert 5 <= loop.time() < 5.2

    in_time(scenario)


async def test_a_broadcast_counts_those_who_left():
    """The answers of a broadcast are complete when all who are still there have answered."""
    pending = Pending(Wheel(), 2, 5, only_one=False)
    pending.left()
    pending.answered(["b"])
    pending.answered(["too late"])
    assert await pending.wait() == [("b",)]
    assert await Pending(Wheel(), 0, 5, only_one=False).wait() == []


async def test_the_oldest_of_too_many_is_given_up():
    """One client cannot make the server keep questions without bound."""
    acks, wheel = Acks(), Wheel()
    questions = [Pending(wheel, 1, 10, only_one=True) for _ in range(3)]
    for number, pending in enumerate(questions):
        acks.expect(number, pending, limit=2)
    with pytest.raises(AckTimeout):
        await questions[0].wait()
    acks.answered(1, [1])
    acks.answered(2, [2])
    assert await asyncio.gather(*(each.wait() for each in questions[1:])) == [[(1,)], [(2,)]]
