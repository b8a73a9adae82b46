"""The loop over what is due: whatever happens in it, it looks again."""

import asyncio

import pytest

from clarion.errors import Unavailable
from clarion.ids import Ids
from clarion.jobs import Loop


@pytest.mark.parametrize("failure", [Unavailable("the store is away"), KeyError("a bug")])
async def test_a_look_that_fails_is_not_the_last(failure: Exception) -> None:
    """Of the store or of ours: it is logged, and the loop looks again."""
    looks = 0
    again = asyncio.Event()

    async def look() -> float:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise failure
        again.set()
        return 5.0

    loop = Loop("a test", look, Ids.seeded(1), poll_s=0.01)
    loop.start()
    async with asyncio.timeout(5):
        await again.wait()
    await loop.close()
