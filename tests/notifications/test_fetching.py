"""Data that steps fetch: whatever an address answers, its run goes on."""

from collections.abc import Mapping
from typing import Any

import pytest

from clarion.clock import ManualClock
from clarion.notifications.fetching import Fetcher
from clarion.notifications.rendering import Renderer
from clarion.notifications.workflows.definition import Http, Step
from clarion.outbound import Answer
from clarion.settings import Templates
from clarion.templates.pool import Pool


class _Outside:
    """Answers with this body."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def request(self, *_: object, **__: object) -> Answer:
        return Answer(200, (), self.body)


async def _fetched(body: bytes) -> Mapping[str, Any]:
    renderer = Renderer(Pool(Templates(), 1), Templates(), ManualClock())
    fetcher = Fetcher(_Outside(body), renderer)  # type: ignore[arg-type]  # what it needs of one
    step = Step("fetch", Http("https://api.example/"), at="/steps/0")
    got = await fetcher.fetch(step, {}, is_last=True)
    assert got.event is not None
    return got.event.facts


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no", b"[" * 100_000, b"[" * 40 + b"]" * 40, b'"\xff"', b'"\\ud800"', b"[" + b"9" * 10_000 + b"]", b"1e999",
    ],
)  # fmt: skip
async def test_a_body_that_could_not_be_kept_is_none(body: bytes) -> None:
    """No JSON, not UTF-8, too deep to be read with the run again, half a character: the step has a status, and no body."""
    assert await _fetched(body) == {"status": 200, "body": None}


async def test_a_body_is_kept_as_it_is() -> None:
    """Large numbers, and texts in any script; forty thousand floats, each of which took as long as a hundred others."""
    facts = await _fetched(b'{"id": 12345678901234567890, "name": "J\xc3\xbcrg", "none": null}')
    assert facts["body"] == {"id": 12345678901234567890, "name": "J\u00fcrg", "none": None}
    facts = await _fetched(b"[" + b"1e308," * 40_000 + b"1]")
    assert len(facts["body"]) == 40_001
