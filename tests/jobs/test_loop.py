"""The loop over what is due: whatever happens in it, it looks again."""

import asyncio
import logging

import pytest

from clarion.errors import Unavailable
from clarion.ids import Ids
from clarion.jobs import Loop
from clarion.jobs import loop as module


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


async def test_a_store_that_is_away_is_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one for each look: it may be away for an hour. When it was there between, it is another line."""
    outcomes = iter(["away", "away", "away", "there", "away", "away"])
    over = asyncio.Event()

    async def look() -> float:
        match next(outcomes, None):
            case "away":
                raise Unavailable("the store is away")
            case None:
                over.set()
        return 0.001

    levels: list[int] = []
    monkeypatch.setattr(module._log, "log", lambda level, *_, **__: levels.append(level))
    loop = Loop("a test", look, Ids.seeded(1), poll_s=0.001)
    loop.start()
    async with asyncio.timeout(5):
        await over.wait()
    await loop.close()
    assert levels.count(logging.WARNING) == 2
    assert levels.count(logging.DEBUG) == 3
