"""The Python SDK speaks of search."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient, Written
from tests.api.live import Live, lively


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path) as live:
        yield live


@pytest.fixture
async def clarion(live: Live) -> AsyncIterator[AsyncClient]:
    http = await live.back_end(scopes=["search:*"])
    key = http.headers["authorization"].removeprefix("Bearer ")
    async with AsyncClient(app=live.app.asgi, key=key) as clarion:
        yield clarion


async def test_a_saved_search_is_kept_told_and_deleted(live: Live) -> None:
    """It names whom it tells; what is wrong with it is the server's to say."""
    http = await live.back_end(scopes=["search:*", "notifications:send"])
    key = http.headers["authorization"].removeprefix("Bearer ")
    async with AsyncClient(app=live.app.asgi, key=key) as clarion:
        await clarion.put_collection("shoes", {"title": "text", "price": "number"})
        assert [each["name"] for each in (await clarion.collections())["items"]] == ["shoes"]
        query = {"text": "red", "where": {"price": {"lt": 50}}}
        trigger = {"recipients": [{"id": "ann"}], "title": "A red shoe below 50"}
        kept = await clarion.save_search("shoes", "ann/red", query, trigger, access=["public"])
        assert (kept["name"], kept["access"]) == ("ann/red", ["public"])
        assert await clarion.saved_search("shoes", "ann/red") == kept
        assert (await clarion.saved_searches("shoes"))["items"] == [kept]
        await clarion.delete_saved_search("shoes", "ann/red")
        with pytest.raises(ApiError) as refused:
            await clarion.saved_search("shoes", "ann/red")
        assert refused.value.code == "not_found"
        with pytest.raises(TypeError):
            await clarion.save_search("shoes", "x", query, trigger, access="public")


async def test_what_is_put_is_found_page_by_page(clarion: AsyncClient) -> None:
    """More documents than one call takes; errors by name, each beside its document."""
    made = await clarion.put_collection("c", {"title": "text", "n": "number"}, [])
    assert (made.name, made.fields["n"], made.documents) == ("c", "number", 0)
    documents = [{"id": f"{n:04}", "data": {"title": "word", "n": n}} for n in range(1_001)]
    written = await clarion.write_documents("c", [*documents, {"id": "x", "data": {"n": "no"}}])
    assert all(isinstance(each, Written) for each in written[:-1])
    assert isinstance(written[-1], ApiError)
    assert written[-1].code == "invalid"
    assert (await clarion.collection("c")).documents == 1_001
    where = {"n": {"gte": 990}}
    first = await clarion.search("c", text="word", where=where, sort=["-n"], limit=10)
    rest = await clarion.search(
        "c", text="word", where=where, sort=["-n"], limit=10, cursor=first.next
    )
    found = [each.data["n"] for page in (first, rest) for each in page.items]
    assert (found, first.total, rest.next) == ([*range(1_000, 989, -1)], 11, None)


async def test_documents_are_written_read_and_removed(clarion: AsyncClient) -> None:
    """With tags and versions; what is not there is `not_found`."""
    await clarion.put_collection("c", {"title": "text"})
    put = await clarion.put_document("c", "a/b", {"title": "x"}, access=["t"], version=3)
    assert (put.offset, put.dropped, put.durability) == (1, None, "fsync")
    late = await clarion.put_document("c", "a/b", {"title": "y"}, version=2)
    assert late.dropped == "older"
    assert (await clarion.document("c", "a/b")).access == ["t"]
    assert (await clarion.delete_document("c", "a/b")).offset == 2
    with pytest.raises(ApiError) as caught:
        await clarion.document("c", "a/b")
    assert caught.value.code == "not_found"
    await clarion.delete_collection("c")
    with pytest.raises(ApiError):
        await clarion.collection("c")
