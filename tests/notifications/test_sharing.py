"""Shared reads: one for all who ask at once, and none of them hears what was so before they asked."""

import asyncio

import pytest

from clarion.errors import Unavailable
from clarion.notifications.sharing import SharedReads
from clarion.telemetry import spawn


async def test_who_asks_while_it_is_read_shares_the_next_read() -> None:
    """Also where the first one, or its caller, does not come to its end; other keys do not wait."""
    begun: list[str] = []
    may_end = asyncio.Event()
    fails = True

    async def read(key: str) -> int:
        begun.append(key)
        number = len(begun)
        await may_end.wait()
        if fails and number == 1:
            raise Unavailable("down")
        return number

    reads = SharedReads(read)
    first = spawn(reads("a"), name="test")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [spawn(reads("a"), name="test") for _ in range(9)]
    other = spawn(reads("b"), name="test")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == ["a", "b"]
    others.pop().cancel()
    may_end.set()
    with pytest.raises(Unavailable):
        await first
    assert await asyncio.gather(*others) == [3] * 8
    assert await other == 2
    fails = False
    assert await reads("a") == 4
