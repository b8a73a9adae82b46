"""The Python SDK speaks of presence."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.auth import Principal
from clarion.client import ApiError, AsyncClient
from tests.api.live import Live, lively
from tests.topics.fakes import Socket


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path) as live:
        yield live


@pytest.fixture
async def clarion(live: Live) -> AsyncIterator[AsyncClient]:
    http = await live.back_end(scopes=["presence:*", "topics:read"])
    key = http.headers["authorization"].removeprefix("Bearer ")
    async with AsyncClient(app=live.app.asgi, key=key) as clarion:
        yield clarion


async def test_how_users_are(live: Live, clarion: AsyncClient) -> None:
    """Any number in one call of the SDK; who is invisible is offline, but to those who ask regardless or for themself."""
    live.app.presence.connected(Socket("s"), Principal(id="ann"))
    await live.app.presence.tick()
    users = ["ann", *(f"u{number}" for number in range(1_500))]
    found = await clarion.status(users)
    assert [each.user for each in found] == users
    assert [found[0].status, found[1].status] == ["online", "offline"]
    assert len(found[0].devices) == 1
    await clarion.set_visibility("ann", "nobody")
    assert await clarion.visibility("ann") == "nobody"
    seen = [
        (await clarion.status(["ann"]))[0].status,
        (await clarion.status(["ann"], viewer="ann"))[0].status,
        (await clarion.status(["ann"], regardless=True))[0].status,
    ]
    assert seen == ["offline", "online", "online"]
    with pytest.raises(TypeError):
        await clarion.status("ann")


async def test_whom_users_know(clarion: AsyncClient) -> None:
    """Added and removed, page by page; names with a slash lead nowhere else."""
    names = sorted(f"u/{number}" for number in range(1_000))
    assert await clarion.change_contacts("a/nn", add=names) == 1_000
    assert [each async for each in clarion.contacts("a/nn")] == names
    with pytest.raises(ApiError) as caught:
        await clarion.change_contacts("a/nn", add=["one more"])
    assert caught.value.code == "too_many"
    assert await clarion.change_contacts("a/nn", remove=names[:999]) == 1
    assert [each async for each in clarion.contacts("nobody")] == []


async def test_who_is_in_a_room(clarion: AsyncClient) -> None:
    page = await clarion.member_page("a/b")
    assert (page.room, page.users, page.items, page.next) == ("a/b", 0, [], None)
    assert [each async for each in clarion.members("a/b")] == []
