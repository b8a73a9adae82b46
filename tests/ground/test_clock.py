"""Clocks."""

import asyncio
import time

from clarion.clock import (
    LoopClock,
    ManualClock,
    SystemClock,
    as_datetime,
    as_ms,
    maybe_datetime,
    pause,
)


def test_the_systems_clock_tells_the_time() -> None:
    """Calendar time in milliseconds, and a count that grows."""
    clock = SystemClock()
    assert abs(clock.now_ms() - time.time() * 1000) < 1000
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_moves_only_when_told() -> None:
    """A test decides when time passes."""
    clock = ManualClock(1_000)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (2_500, 1.5)
    assert as_datetime(clock.now_ms()).isoformat() == "1970-01-01T00:00:02.500000+00:00"


async def test_a_loops_clock_follows_the_loop() -> None:
    """On a loop with virtual time the calendar is virtual, too."""
    clock = LoopClock(1_000)
    now = asyncio.get_running_loop().time()
    assert abs(clock.monotonic() - now) < 1
    assert abs(clock.now_ms() - 1_000 - now * 1000) < 1000


def test_a_moment_has_one_number_of_milliseconds() -> None:
    """The one that it was made of, where seconds as a float would be just below it, too; what is finer is cut off."""
    for ms in (0, 68_628_192_489, 1_074_994_363_807, 1_790_000_000_001, -1):
        assert as_ms(as_datetime(ms)) == ms
    assert as_ms(as_datetime(7).replace(microsecond=7_999)) == 7


def test_a_moment_that_is_not_there_is_none() -> None:
    """The beginning of 1970 is one."""
    assert maybe_datetime(None) is None
    assert maybe_datetime(0) == as_datetime(0)


def test_a_pause_blocks_for_its_time() -> None:
    """For programs without an event loop."""
    before = time.monotonic()
    pause(0.02)
    assert time.monotonic() - before >= 0.02
