"""The Python SDK speaks of activity."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient
from tests.api.live import lively


@pytest.fixture
async def clarion(tmp_path: Path) -> AsyncIterator[AsyncClient]:
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["topics:*"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            yield clarion


async def test_a_stream_is_written_and_read(clarion: AsyncClient) -> None:
    """Added, said again, changed, removed, and read page by page."""
    made = await clarion.add_activity("user:a/b", "ann", "like", "photo:1", foreign_id="f")
    again = await clarion.add_activity("user:a/b", "ann", "love", "photo:1", foreign_id="f")
    assert (made.event, again.event, again.activity.id) == ("added", "changed", made.activity.id)
    edited = await clarion.edit_activity("user:a/b", made.activity.id, data={"n": 1})
    assert (await clarion.activity("user:a/b", made.activity.id)) == edited.activity
    given = [
        {"topic": "activity:user:a/b", "event": "add", "data": {"actor": "bob", "verb": "v", "object": str(n)}}
        for n in range(120)
    ]  # fmt: skip
    published = await clarion.publish_many(given)
    assert all(not isinstance(each, ApiError) and each.key for each in published)
    found = [each.object async for each in clarion.activities("user:a/b")]
    assert sorted(found) == sorted(["photo:1", *map(str, range(120))])
    gone = await clarion.remove_activity("user:a/b", made.activity.id)
    assert gone.event == "removed"
    with pytest.raises(ApiError) as caught:
        await clarion.activity("user:a/b", made.activity.id)
    assert caught.value.code == "not_found"


async def test_users_are_let_follow(clarion: AsyncClient) -> None:
    """Twice is once; names with a slash lead nowhere else."""
    first = await clarion.follow("a/nn", "user:b/ob")
    assert first.stream == "user:b/ob"
    assert await clarion.follow("a/nn", "user:b/ob") == first
    await clarion.unfollow("a/nn", "user:b/ob")
    await clarion.unfollow("a/nn", "user:b/ob")


async def test_streams_name_their_readers_and_users_react(clarion: AsyncClient) -> None:
    """Counters are part of the activity; a reaction twice is one."""
    readers = await clarion.set_readers("user:b/ob", followers=True, tags=["team:red"])
    assert (readers.everyone, readers.followers, readers.tags) == (False, True, ["team:red"])
    assert await clarion.readers("user:b/ob") == readers
    made = await clarion.add_activity("user:b/ob", "bob", "post", "p", group="{verb} {day}")
    assert made.activity.group == f"post {made.activity.published[:10]}"
    at = "user:b/ob", made.activity.id, "like"
    for user in ("a/nn", "a/nn", "eve"):
        said = await clarion.react(*at, user)
    assert said.activity.reactions == {"like": 2}
    assert [each["user"] for each in (await clarion.reactions(*at))["items"]] == ["a/nn", "eve"]
    assert (await clarion.take_back(*at, "a/nn")).activity.reactions == {"like": 1}
    assert (await clarion.take_back(*at, "eve")).activity.reactions == {}
