"""Counting and sweeping connections, with a clock that is moved by hand."""

import asyncio

import pytest
from structlog.testing import capture_logs

from clarion.clock import ManualClock
from clarion.realtime.transports import connections as module
from clarion.realtime.transports.connections import Connections
from clarion.settings import Limits


class Fake:
    """A connection that notes what is done to it."""

    def __init__(self) -> None:
        self.swept: list[float] = []
        self.is_aborted = False
        self.was_swept = asyncio.Event()

    def sweep(self, now: float) -> None:
        self.swept.append(now)
        self.was_swept.set()

    def abort(self) -> None:
        self.is_aborted = True


async def test_only_watched_connections_are_swept(monkeypatch):
    """A quiet connection costs nothing; a watched one is swept again and again until it is let go."""
    monkeypatch.setattr(module, "SWEEP_S", 0.001)
    clock = ManualClock()
    clock.advance(7)
    all_of_them, watched, quiet = Connections(Limits(), clock), Fake(), Fake()
    for each in (watched, quiet):
        all_of_them.add(each)
    all_of_them.watch(watched)
    all_of_them.watch(quiet)
    all_of_them.unwatch(quiet)
    for _ in range(2):
        watched.was_swept.clear()
        await watched.was_swept.wait()
    assert watched.swept[:2] == [7.0, 7.0]
    all_of_them.discard(watched)
    seen = len(watched.swept)
    await asyncio.sleep(0.01)
    assert (len(watched.swept), quiet.swept) == (seen, [])


async def test_one_that_cannot_be_swept_is_cut_off(monkeypatch):
    """The others keep their deadlines."""
    monkeypatch.setattr(module, "SWEEP_S", 0.001)
    all_of_them, broken, other = Connections(Limits(), ManualClock()), Fake(), Fake()
    broken.sweep = lambda now: 1 / 0
    for each in (broken, other):
        all_of_them.add(each)
        all_of_them.watch(each)
    for _ in range(2):
        other.was_swept.clear()
        async with asyncio.timeout(5):
            await other.was_swept.wait()
    assert (broken.is_aborted, other.is_aborted) == (True, False)
    all_of_them.close()


async def test_a_connection_that_ended_is_not_watched():
    """Watching what was never counted, or is gone, does nothing."""
    all_of_them, gone = Connections(Limits(), ManualClock()), Fake()
    all_of_them.watch(gone)
    all_of_them.close()
    assert list(all_of_them) == []


async def test_full_means_more_than_may_be():
    """The limit itself is allowed; a smaller capacity of the machine wins."""
    all_of_them = Connections(Limits(connections=10), ManualClock(), capacity=2)
    for _ in range(2):
        all_of_them.add(Fake())
    assert not all_of_them.is_full
    all_of_them.add(Fake())
    assert all_of_them.is_full
    assert len(all_of_them) == 3


@pytest.mark.parametrize(
    ("capacity", "limit"),
    [(None, "limits.connections"), (2, "the limit on open files (ulimit -n)")],
)
async def test_refusals_are_told_once_a_minute(capacity: int | None, limit: str) -> None:
    """With what there is too little of: a setting, or what the machine allows."""
    clock = ManualClock()
    all_of_them = Connections(Limits(connections=10), clock, capacity)
    with capture_logs() as said:
        for seconds in (0, 30, 29, 1, 30):
            clock.advance(seconds)
            all_of_them.note_refusal()
    assert [each["limit"] for each in said] == [limit] * 2


async def test_waiting_for_the_last_one():
    """`wait_empty` returns when the last is gone, and at once when there is none."""
    all_of_them, last = Connections(Limits(), ManualClock()), Fake()
    await all_of_them.wait_empty()
    all_of_them.add(last)
    all_of_them.watch(last)
    all_of_them.abort_all()
    assert last.is_aborted
    asyncio.get_running_loop().call_soon(all_of_them.discard, last)
    await all_of_them.wait_empty()
    all_of_them.close()
    all_of_them.close()


async def test_one_that_is_let_go_during_a_sweep_is_left_in_peace():
    """The end of one connection may be what saves another."""
    all_of_them, first, second = Connections(Limits(), ManualClock()), Fake(), Fake()
    for each in (first, second):
        all_of_them.add(each)
        all_of_them.watch(each)
    first.sweep = lambda _now: all_of_them.discard(second)
    all_of_them.close()
    all_of_them._sweep()
    all_of_them.close()
    assert second.swept == []
