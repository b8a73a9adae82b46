"""The Python SDK speaks of subscribers, audiences, imports."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient
from tests.api.live import lively


@pytest.fixture
async def clarion(tmp_path: Path) -> AsyncIterator[AsyncClient]:
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["subscribers:*"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            yield clarion


async def test_people_are_described_reached_and_forgotten(clarion: AsyncClient) -> None:
    """What is not said is forgotten by `put`, and stays with `keep` and `change`; None forgets."""
    ann = await clarion.put_subscriber("ann", name="Ann", attributes={"plan": "pro", "n": 1})
    assert (ann.name, ann.locale, ann.attributes) == ("Ann", None, {"plan": "pro", "n": 1})
    ann = await clarion.change_subscriber("ann", {"locale": "de", "attributes": {"n": None}})
    assert (ann.name, ann.locale, ann.attributes) == ("Ann", "de", {"plan": "pro"})
    many = [{"id": f"u{n:04}"} for n in range(1_200)]
    assert await clarion.keep_subscribers(["ann", *many]) == 1_201
    assert (await clarion.find_subscriber("ann")).name == "Ann"
    found = [each.id async for each in clarion.subscribers()]
    assert found == ["ann", *(each["id"] for each in many)]
    pro = clarion.subscribers(filter='recipient.attributes.plan == "pro"')
    assert [each.id async for each in pro] == ["ann"]

    hook = await clarion.put_address("ann", "webhook", "https://hooks.example.org/a", label="mine")
    assert [(each.id, each.label) for each in await clarion.addresses("ann")] == [(hook, "mine")]
    await clarion.remove_address("ann", hook)
    assert await clarion.addresses("ann") == []
    kinds = [each["kind"] async for each in clarion.export_subscriber("ann")]
    assert kinds[0] == "subscriber"

    assert await clarion.delete_subscriber("ann")
    with pytest.raises(ApiError) as refused:
        await clarion.find_subscriber("ann")
    assert refused.value.code == "not_found"
    with pytest.raises(ApiError) as refused:
        _ = [each async for each in clarion.export_subscriber("ann")]
    assert refused.value.code == "not_found"


async def test_audiences_hold_people_filters_and_audiences(clarion: AsyncClient) -> None:
    """Whoever is put in, let through, or in one inside; a text is no list."""
    await clarion.keep_subscribers([{"id": "ann", "locale": "de"}, "ben", "cleo"])
    await clarion.put_audience("inner", name="Inner", filter='recipient.locale == "de"')
    await clarion.put_audience("outer", includes=["inner"])
    changed = await clarion.change_members("outer", add=["ben", "nobody"], remove=["cleo"])
    assert (changed.added, changed.unknown, changed.members) == (1, ["nobody"], 1)
    assert [each async for each in clarion.people("outer")] == ["ann", "ben"]
    assert [each.audience async for each in clarion.audiences()] == ["inner", "outer"]
    outer = await clarion.find_audience("outer")
    assert (outer.includes, outer.members) == (["inner"], 1)
    with pytest.raises(ApiError) as refused:
        await clarion.delete_audience("inner")
    assert refused.value.code == "conflict"
    await clarion.delete_audience("outer")
    await clarion.delete_audience("inner")
    with pytest.raises(TypeError):
        await clarion.change_members("outer", add="ann")
    with pytest.raises(TypeError):
        await clarion.put_audience("outer", includes="inner")


async def test_an_import_is_followed_to_its_end(clarion: AsyncClient, tmp_path: Path) -> None:
    """From a list or a file; what is not taken is told by line, and what was taken comes out again."""
    await clarion.put_audience("new")
    table = tmp_path / "people.csv"
    table.write_text("id,locale\nann,de\nben,no such language!\n")
    for given, failed in ((table, 1), ([{"id": "cleo", "locale": "fr"}, "dan"], 0)):
        job = await clarion.import_subscribers(given, audience="new")
        while not job.is_over:
            await asyncio.sleep(0.02)
            job = await clarion.find_import(job.id)
        assert (job.state, job.done, job.failed) == ("done", 2, failed)
        lines = [each["line"] async for each in clarion.import_failures(job.id)]
        assert lines == [3] * failed
    told = [(each["id"], each.get("locale")) async for each in clarion.export_subscribers()]
    assert told == [("ann", "de"), ("cleo", "fr"), ("dan", None)]
    assert [each async for each in clarion.people("new")] == ["ann", "cleo", "dan"]
    with pytest.raises(TypeError):
        await clarion.import_subscribers("ann")
    with pytest.raises(ApiError) as refused:
        await clarion.cancel_import(job.id)
    assert refused.value.code == "conflict"
