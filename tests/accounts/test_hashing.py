"""The bounded pool: full means 503, and the loop lives on."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from clarion.accounts.hashing import Hasher
from clarion.errors import Overloaded
from clarion.ids import Ids
from clarion.telemetry import limit_exceeded


@pytest.fixture
async def hasher() -> AsyncIterator[Hasher]:
    hasher = Hasher(16, Ids())
    yield hasher
    hasher.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Holds every check of a password until it is opened."""
    gate = threading.Event()

    def held(password: str, stored: str) -> bool:
        assert gate.wait(10)
        return True

    monkeypatch.setattr("clarion.accounts.hashing.is_password", held)
    return gate


async def test_what_was_hashed_is_recognised(hasher: Hasher) -> None:
    """And nothing else; each hash has a salt of its own."""
    stored, again = await asyncio.gather(hasher.hash("correct horse"), hasher.hash("correct horse"))
    assert stored != again
    assert await hasher.check("correct horse", stored)
    assert not await hasher.check("wrong horse", stored)


def begin(hasher: Hasher, calls: int) -> list[asyncio.Task[bool]]:
    return [asyncio.get_running_loop().create_task(hasher.check("x", "y")) for _ in range(calls)]


async def test_a_flood_is_refused_while_the_loop_lives(
    hasher: Hasher, gate: threading.Event
) -> None:
    """Two run, sixteen wait, all others are told to come back; the loop goes on turning; afterwards there is room again."""
    before = limit_exceeded.labels("hashes_queued").value
    calls = begin(hasher, 500)
    for _ in range(50):
        await asyncio.sleep(0)  # it turns, although every thread is held
    refused = [call for call in calls if call.done()]
    assert len(refused) == 482
    for call in refused:
        exc = call.exception()
        assert isinstance(exc, Overloaded)
        assert exc.status == 503
        assert exc.retry_after_s == 1
    assert limit_exceeded.labels("hashes_queued").value - before == 482
    gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count(True) == 18
    await asyncio.sleep(0)
    assert await hasher.check("x", "y")


async def test_who_gives_up_makes_room(hasher: Hasher, gate: threading.Event) -> None:
    """A caller that left while waiting costs nothing more; one whose hash runs keeps its thread until the end."""
    calls = begin(hasher, 18)
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(0)
    more = begin(hasher, 17)
    await asyncio.sleep(0)
    assert [call.done() for call in more] == [False] * 16 + [True]
    gate.set()
    answers = await asyncio.gather(*more, return_exceptions=True)
    assert answers.count(True) == 16


async def test_closing_forgets_who_waits(gate: threading.Event) -> None:
    """The two that run come to their end, the others are cancelled."""
    hasher = Hasher(16, Ids())
    calls = begin(hasher, 18)
    await asyncio.sleep(0)
    gate.set()
    hasher.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert set(map(type, answers)) <= {bool, asyncio.CancelledError}
    assert answers[:2] == [True, True]
