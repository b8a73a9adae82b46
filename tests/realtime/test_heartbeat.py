"""The wheel: one timer for everything that waits."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.realtime.heartbeat import Timed, Wheel
from tests.support.memory_transport import in_time


class Item(Timed):
    """Notes when it was called; asks to be called again at the times that it is given."""

    __slots__ = ("again", "at")

    def __init__(self, *again: float | None) -> None:
        super().__init__()
        self.at: list[float] = []
        self.again = list(again)

    def on_time(self, now: float) -> float | None:
        self.at.append(now)
        return self.again.pop(0) if self.again else None


def test_a_deadline_is_met_late_by_less_than_the_resolution():
    """An item is called once, not early, and at most one resolution late."""

    async def scenario(loop) -> None:
        wheel, item = Wheel(0.05), Item()
        wheel.set(item, wheel.now() + 1.01)
        await asyncio.sleep(3)
        assert len(item.at) == 1
        assert 1.01 <= item.at[0] <= 1.061
        assert len(wheel) == 0

    in_time(scenario)


def test_thousands_share_a_timer():
    """The loop holds one timer, however many items wait for however many times."""

    async def scenario(loop) -> None:
        wheel, items = Wheel(0.05), [Item() for _ in range(1000)]
        timers, call_at = [], loop.call_at
        loop.call_at = lambda when, what, **more: (
            timers.append(call_at(when, what, **more)) or timers[-1]
        )
        for number, item in enumerate(items):
            wheel.set(item, wheel.now() + 1 + number / 100)
        assert len([timer for timer in timers if not timer.cancelled()]) == 1
        del loop.call_at
        await asyncio.sleep(20)
        assert all(len(item.at) == 1 for item in items)

    in_time(scenario)


def test_an_earlier_deadline_counts_a_later_one_is_asked_for_in_time():
    """Setting an earlier time moves the item; for a later one it is called at the old time and says the new."""

    async def scenario(loop) -> None:
        wheel, start = Wheel(0.05), loop.time()
        item = Item(start + 5)
        wheel.set(item, start + 3)
        wheel.set(item, start + 1)
        wheel.set(item, start + 9)
        await asyncio.sleep(20)
        assert [round(at - start) for at in item.at] == [1, 5]

    in_time(scenario)


class Broken(Item):
    """Fails when it is called."""

    __slots__ = ()

    def on_time(self, now: float) -> float | None:
        super().on_time(now)
        raise ValueError("a bug")


def test_one_that_fails_costs_the_others_nothing():
    """Those of the same bucket are called, and those of the next ones; it is not called again."""

    async def scenario(loop) -> None:
        wheel, now = Wheel(0.05), loop.time()
        items = [Item(), Broken(), Item(), Item()]
        for item, s in zip(items, (1, 1, 1, 2), strict=True):
            wheel.set(item, now + s)
        await asyncio.sleep(3)
        assert [len(item.at) for item in items] == [1, 1, 1, 1]
        assert len(wheel) == 0

    with pytest.raises(AssertionError, match="what was due failed"):  # that an error is logged
        in_time(scenario)


def test_who_is_cancelled_is_not_called():
    """After cancel nothing comes, and a second cancel is harmless."""

    async def scenario(loop) -> None:
        wheel, item, other = Wheel(0.05), Item(), Item()
        wheel.set(item, loop.time() + 1)
        wheel.set(other, loop.time() + 1)
        wheel.cancel(item)
        wheel.cancel(item)
        await asyncio.sleep(2)
        assert item.at == []
        assert len(other.at) == 1

    in_time(scenario)


def test_a_closed_wheel_stands_still():
    """After close nothing is called, whatever was set before or is set after."""

    async def scenario(loop) -> None:
        wheel, item, late = Wheel(0.05), Item(), Item()
        wheel.set(item, loop.time() + 1)
        wheel.close()
        wheel.set(late, loop.time() + 1)
        await asyncio.sleep(2)
        assert item.at == late.at == []

    in_time(scenario)


def test_an_item_without_a_deadline_of_its_own_is_a_mistake():
    """A subclass says what to do when the time has come."""
    with pytest.raises(AssertionError):
        Timed().on_time(0)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), max_size=20))
def test_every_deadline_is_met(plans):
    """For any deadlines and any moves of them: each item is called at the earliest that was set, never before it."""

    async def scenario(loop) -> None:
        wheel, start, items = Wheel(0.05), loop.time(), []
        for first, second in plans:
            item = Item()
            wheel.set(item, start + first)
            wheel.set(item, start + second)
            items.append((item, start + min(first, second)))
        await asyncio.sleep(60)
        for item, due in items:
            assert len(item.at) == 1
            assert due <= item.at[0] <= due + 0.06

    in_time(scenario)
