"""One purger removes what is too old, of whatever table: slice by slice, with rests, and whatever fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from clarion.clock import ManualClock
from clarion.errors import Unavailable, UsageError
from clarion.jobs.purging import Purger
from clarion.storage.slices import total
from clarion.telemetry import rows_purged


def count(table: str) -> float:
    return rows_purged.labels(table)._value.get()


async def test_it_rests_longer_than_a_slice_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that those who write have most of the time; and what goes is counted."""
    clock, rests = ManualClock(), list[float]()

    async def rest(seconds: float) -> None:
        rests.append(round(seconds, 3))

    async def slices() -> AsyncIterator[int]:
        for spent in (0.2, 0.1, 0.0):
            clock.advance(spent)
            yield 7

    monkeypatch.setattr("clarion.jobs.purging.asyncio.sleep", rest)
    purger = Purger(clock)
    purger.add("some rows", slices)
    before = count("some rows")
    await purger.run()
    assert rests == pytest.approx([1.8, 0.9, 0.0])
    assert count("some rows") - before == 21


async def test_what_fails_does_not_keep_the_others() -> None:
    """The run fails in the end, so that the job is tried again soon."""
    gone = []

    async def bad() -> AsyncIterator[int]:
        yield 1
        raise Unavailable("the database is away")

    async def good() -> AsyncIterator[int]:
        gone.append(1)
        yield 1

    purger = Purger(ManualClock())
    purger.add("bad rows", bad)
    purger.add("good rows", good)
    with pytest.raises(Unavailable):
        await purger.run()
    assert gone == [1]
    assert await total(good()) == 1
    with pytest.raises(UsageError):
        purger.add("bad rows", good)


async def test_others_have_turns_between_two_slices() -> None:
    """Even where the clock says that nothing took any time."""
    turns: list[str] = []

    async def slices() -> AsyncIterator[int]:
        for _ in range(3):
            turns.append("slice")
            yield 1

    async def other() -> None:
        for _ in range(3):
            turns.append("other")
            await asyncio.sleep(0)

    purger = Purger(ManualClock())
    purger.add("turns", slices)
    await asyncio.gather(purger.run(), other())
    assert turns == ["slice", "other"] * 3
