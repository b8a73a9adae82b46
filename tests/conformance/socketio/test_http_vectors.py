"""Every captured exchange of the official server over HTTP and WebSocket, replayed against ours over real connections.

A story is a run of lines of `engineio-http.jsonl` on one server. What is said must be what was captured: status, the headers that
matter, body, messages, close. Where we differ on purpose DIFFERENT says how and why, and nothing else may differ there either.
"""

import asyncio

import pytest

from tests.conformance.socketio.exchanges.differences import CODES, DIFFERENT, expected, is_same
from tests.conformance.socketio.exchanges.servers import server_of
from tests.conformance.socketio.exchanges.stage import LINES, Said, Stage, captured
from tests.conformance.socketio.exchanges.stories import STORIES
from tests.support.raw_socketio import wired


async def told(name: str) -> dict[str, Said]:
    """What was said in a story, by line."""
    tell, names = STORIES[name]
    async with wired(**server_of(name)) as wire:
        stage = Stage(wire)
        await tell(stage)
    assert stage.said.keys() == set(names)
    return stage.said


async def all_told() -> dict[str, dict[str, Said] | BaseException]:
    """Stories mostly wait, so that many are told at once."""
    turn = asyncio.Semaphore(16)

    async def one(name: str) -> dict[str, Said]:
        async with turn:
            return await told(name)

    outcomes = await asyncio.gather(*(one(name) for name in STORIES), return_exceptions=True)
    return dict(zip(STORIES, outcomes, strict=True))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Said] | BaseException]:
    return asyncio.run(all_told())


@pytest.mark.parametrize("name", STORIES)
def test_story(outcomes: dict[str, dict[str, Said] | BaseException], name: str) -> None:
    """What is said is what was captured, line by line; or what DIFFERENT says, which then is not what was captured."""
    outcome = outcomes[name]
    if isinstance(outcome, BaseException):
        raise outcome
    for line, said in outcome.items():
        wanted = expected(line)
        if line in DIFFERENT or line in CODES:
            assert not is_same(dict(said), captured(LINES[line])), f"{line} is not different"
        assert is_same(dict(said), dict(wanted)), f"{line}\n{said}\n{wanted}"


def test_every_line_is_replayed() -> None:
    """Each line of the file is in one story; no name is made up."""
    replayed = [line for _, names in STORIES.values() for line in names]
    assert sorted(replayed) == sorted(LINES)
    assert {*DIFFERENT, *CODES} <= set(replayed)
