"""The Python SDK speaks of topics: publishing, reading, counting, keeping out."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion.client import ApiError, AsyncClient, Client, LostPublications
from clarion.topics import SignedIn
from tests.api.live import Live, lively
from tests.support.server import running

SCOPES = ["topics:*", "users:*"]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path) as live:
        rights: Any = {"subscribe": SignedIn()}
        live.app.topics.add("board", "map", rights=rights, keys=3_000)
        live.app.topics.add("news", "stream", rights=rights, log_size=5)
        yield live


@pytest.fixture
async def clarion(live: Live) -> AsyncIterator[AsyncClient]:
    http = await live.back_end(scopes=SCOPES)
    key = http.headers["authorization"].removeprefix("Bearer ")
    async with AsyncClient(app=live.app.asgi, key=key) as clarion:
        yield clarion


async def test_what_is_published_is_read_and_counted(clarion: AsyncClient) -> None:
    """Maps and streams; an id that is repeated, a guard that does not hold."""
    first = await clarion.publish("board:a/b", key="k", data={"n": 1}, tags={"t": "1"}, id="one")
    again = await clarion.publish("board:a/b", key="k", data={"n": 2}, id="one")
    assert (first.offset, first.durability, first.dropped) == (1, "recoverable", None)
    assert (again.offset, again.dropped) == (1, "duplicate")
    with pytest.raises(ApiError) as caught:
        await clarion.publish("board:a/b", key="k", only="absent")
    assert caught.value.problem["current"]["data"] == {"n": 1}
    assert (await clarion.state("board:a/b")).offset == 1
    [item] = [item async for item in clarion.items("board:a/b")]
    assert (item.key, item.data, item.offset, item.tags) == ("k", {"n": 1}, 1, {"t": "1"})
    assert (await clarion.publish("board:a/b", "remove", key="k")).offset == 2
    assert [item async for item in clarion.items("board:a/b")] == []
    events = [(each.event, each.key) async for each in clarion.publications("board:a/b")]
    assert events == [("set", "k"), ("remove", "k")]
    assert (await clarion.occupancy("board:a/b")).subscriptions == 0
    assert await clarion.unsubscribe_user("ann") == 0


async def test_many_are_published_in_calls_of_a_thousand_and_read_in_pages(
    clarion: AsyncClient,
) -> None:
    """Each has its outcome, in order; all items come, however many pages they have."""
    given: list[dict[str, Any]] = [
        {"topic": "board:x", "key": f"{n:04}", "data": n} for n in range(1_200)
    ]
    given[1_100] = {"topic": "nothing:x", "event": "e"}
    outcomes = await clarion.publish_many(given)
    refused = outcomes.pop(1_100)
    assert isinstance(refused, ApiError)
    assert (refused.code, refused.message) == ("not_found", "there is no kind of topic 'nothing'")
    offsets = [each.offset for each in outcomes if not isinstance(each, ApiError)]
    assert offsets == list(range(1, 1_200))
    keys = [item.key async for item in clarion.items("board:x")]
    assert keys == [each["key"] for each in given if "key" in each]


async def test_a_log_is_followed_until_it_has_a_gap(live: Live, clarion: AsyncClient) -> None:
    """Page by page from an offset; what is kept no longer, and a log that began anew, are errors of their own."""
    for n in range(5):
        await clarion.publish("news:x", "posted", n)
    found = [each.data async for each in clarion.publications("news:x", 1, page=2)]
    assert found == [1, 2, 3, 4]
    for n in range(5, 8):
        await clarion.publish("news:x", "posted", n)
    with pytest.raises(LostPublications):
        _ = [each async for each in clarion.publications("news:x", 1)]
    news = live.app.topics.of("news:x")
    following = clarion.publications("news:x", 3, page=2)
    assert [(await anext(following)).offset for _ in range(2)] == [4, 5]
    await news.kind.log.clear(news.topic)  # type: ignore[attr-defined]
    for n in range(8):
        await news.publish("posted", n)
    with pytest.raises(LostPublications):
        await anext(following)


async def test_users_are_kept_out(clarion: AsyncClient) -> None:
    """For a time, for ever, and let in again."""
    assert await clarion.block_of("ann") is None
    block = await clarion.block_user("ann", for_s=60, reason="spam")
    assert (block.user, block.reason, block.until is None) == ("ann", "spam", False)
    assert (await clarion.block_user("ann")).until is None
    assert await clarion.block_of("ann") is not None
    await clarion.unblock_user("ann")
    assert await clarion.block_of("ann") is None


def test_the_client_that_blocks_has_the_same_calls(tmp_path: Path) -> None:
    """One set of calls, two clients."""
    examples = Path(__file__).parents[2] / "examples"
    (tmp_path / "examples").symlink_to(examples)
    with running(tmp_path, "--app", "examples.poll.server:setup") as server:
        key = server.key(*SCOPES)
        token = server.register("ann")["access_token"]
        with Client(server.url, key=token) as ann, Client(server.url, key=key) as clarion:
            assert ann.publish("poll:x", "vote", "soup").offset == 1
            [published] = ann.publish_many([{"topic": "poll:x", "event": "vote", "data": "salad"}])
            assert not isinstance(published, ApiError)
            assert [(item.key, item.data) for item in clarion.items("poll:x")] == [("ann", "salad")]
            assert clarion.state("poll:x").offset == 2
            assert [each.data for each in clarion.publications("poll:x")] == ["soup", "salad"]
            assert clarion.occupancy("poll:x").users == clarion.unsubscribe_user("ann", "poll:x")
            env = os.environ | {"CLARION_KEY": key, "PYTHONUNBUFFERED": "1"}
            for name in ("back_end.py", "follow.py"):
                text = (examples / "poll" / name).read_text().replace("poll:lunch", "poll:x")
                (tmp_path / name).write_text(text.replace("http://127.0.0.1:8000", server.url))
            with subprocess.Popen(
                [sys.executable, str(tmp_path / "follow.py")],
                env=env,
                stdout=subprocess.PIPE,
                text=True,
            ) as following:
                assert following.stdout is not None
                assert following.stdout.readline() == "1 votes\n"
                ann.publish("poll:x", "vote", "salad")
                assert following.stdout.readline() == "set ann salad\n"
                following.kill()
            done = subprocess.run(
                [sys.executable, str(tmp_path / "back_end.py")],
                env=env,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.stderr == ""
            assert done.stdout.splitlines() == [
                "salad 1",
                "1 ann voted for soup",
                "2 ann voted for salad",
                "3 ann voted for salad",
            ]
            clarion.block_user("ann")
            assert clarion.block_of("ann") is not None
            with pytest.raises(ApiError) as caught:
                ann.publish("poll:x", "vote", "soup")
            assert (caught.value.status, caught.value.code) == (403, "blocked")
            clarion.unblock_user("ann")
            assert clarion.block_of("ann") is None
            assert ann.publish("poll:x", "vote", "soup").offset == 4
