"""The unchanged JavaScript client on a stream of activities."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.official import official
from tests.support.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path).start()
    yield made
    made.close()


async def test_a_page_sees_what_is_added_changed_and_removed(server: Server) -> None:
    """Commands with acks, publications in order, refusals by name."""
    async with official("activity.mjs", server.port, server.key("topics:*")) as facts:
        told = {fact: value async for fact, value in facts}
    assert told == {
        "snapshot": {"items": [], "more": False},
        "added": [1, "durable", "string"],
        "nothing there": "not_found",
        "no activity": "/data/object",
        "heard": [
            [1, "added", "like", False],
            [2, "changed", "love", False],
            [3, "removed", None, False],
        ],
    }
