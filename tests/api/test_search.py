"""Search over HTTP: collections, documents one by one and in batches, and asking for them; by those who may, in their tenant."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from clarion.auth import Principal
from clarion.notifications import Message
from clarion.settings import Limits
from clarion.storage.slices import total
from tests.api.conftest import Site, opened, problem
from tests.api.live import lively
from tests.api.test_topics import back_end, user

AT = "/v1/search/collections/shoes"
DEFINITION = {
    "fields": {"title": "text", "brand": "keyword", "price": "number", "new": "bool"},
    "facets": ["brand", "new"],
}


@pytest.fixture
async def http(site: Site) -> httpx.AsyncClient:
    """A back end, and a collection of shoes."""
    http = await back_end(site, "search:*")
    assert (await http.put(AT, json=DEFINITION)).status_code == 200
    documents = [
        {"id": "a", "data": {"title": "Red shoe", "brand": "acme", "price": 30, "new": True}},
        {"id": "b", "data": {"title": "Blue shoe", "brand": "acme", "price": 20}},
        {"id": "c", "data": {"title": "Réd boot", "brand": "best"}, "access": ["team:red"]},
    ]
    answer = await http.post(f"{AT}/documents", json={"documents": documents})
    assert [each["written"]["offset"] for each in answer.json()["results"]] == [1, 2, 3]
    return http


async def ids(http: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await http.post(f"{AT}/query", json=query)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_documents_are_found_by_what_they_say(http: httpx.AsyncClient) -> None:
    """Words without case and accents, fields, an order; total, facets and hits beside them."""
    assert await ids(http, text="red") == ["a", "c"]
    assert await ids(http, text="sho*", where={"price": {"lt": 25}}) == ["b"]
    assert await ids(http, sort=["price"]) == ["b", "a", "c"]
    asked = {"text": "red", "facets": ["brand", "new"], "highlight": True, "limit": 1}
    page = (await http.post(f"{AT}/query", json=asked)).json()
    assert (page["total"], page["offset"]) == (2, 3)
    assert page["items"][0]["highlights"] == {"title": ["", "Red", " shoe"]}
    assert page["facets"] == {
        "brand": [{"value": "acme", "count": 1}, {"value": "best", "count": 1}],
        "new": [{"value": True, "count": 1}],
    }
    behind = (await http.post(f"{AT}/query", json={**asked, "cursor": page["next"]})).json()
    assert [each["id"] for each in behind["items"]] == ["c"]
    assert "next" not in behind
    other = await http.post(f"{AT}/query", json={"text": "blue", "cursor": page["next"]})
    assert problem(other, 422, "invalid")["errors"][0]["pointer"] == "/cursor"


async def test_a_document_is_put_read_and_removed(http: httpx.AsyncClient) -> None:
    """What is so already changes nothing; a late version is dropped; an id may hold a slash."""
    at = f"{AT}/documents/x%2Fy"
    given = {"data": {"title": "Boot", "other": [1, 1.5]}, "access": ["b", "a"], "version": 5}
    put = (await http.put(at, json=given)).json()
    assert put == {"id": "x/y", "offset": 4, "durability": "fsync"}
    assert (await http.put(at, json=given)).json()["dropped"] == "older"
    assert (await http.put(at, json={**given, "version": 4})).json()["dropped"] == "older"
    assert (await http.put(at, json={**given, "version": 0})).json()["dropped"] == "same"
    read = (await http.get(at)).json()
    assert (read["data"], read["access"], read["version"]) == (given["data"], ["a", "b"], 5)
    assert await ids(http, text="boot") == ["c", "x/y"]
    assert (await http.delete(at)).json()["offset"] == 5
    assert (await http.delete(at)).json() == {
        "id": "x/y", "offset": 5, "dropped": "same", "durability": "fsync",
    }  # fmt: skip
    problem(await http.get(at), 404, "not_found")
    assert (await http.get(AT)).json()["documents"] == 3


async def test_a_reader_sees_what_their_tags_let_them(site: Site, http: httpx.AsyncClient) -> None:
    """Documents without tags, and those that share one with the token; in items, totals and facets. Without the grant: nothing."""
    topics = {"search:shoes": ["subscribe"]}
    plain, red = user(site, topics=topics), user(site, topics=topics, access=["team:red", "x"])
    assert await ids(plain, text="red") == ["a"]
    assert await ids(red, text="red") == ["a", "c"]
    page = (await plain.post(f"{AT}/query", json={"facets": ["brand"]})).json()
    assert page["total"] == 2
    assert page["facets"] == {"brand": [{"value": "acme", "count": 2}]}
    assert "access" not in page["items"][0]
    mine = (await red.post(f"{AT}/query", json={"text": "red", "limit": 1})).json()["next"]
    problem(await plain.post(f"{AT}/query", json={"text": "red", "cursor": mine}), 422, "invalid")
    problem(await user(site).post(f"{AT}/query", json={}), 403, "forbidden")
    problem(await red.get(f"{AT}/documents/c"), 403, "forbidden")


async def test_another_tenant_has_collections_of_its_own(
    site: Site, http: httpx.AsyncClient
) -> None:
    """The same name is another collection; none of the other's documents are found, read, changed or counted."""
    there = user(site, tenant="acme", scope="search:*")
    problem(await there.post(f"{AT}/query", json={}), 404, "not_found")
    problem(await there.get(f"{AT}/documents/a"), 404, "not_found")
    problem(await there.delete(AT), 404, "not_found")
    assert (await there.get("/v1/search/collections")).json()["items"] == []
    assert (await there.put(AT, json=DEFINITION)).json()["documents"] == 0
    assert await ids(there) == []
    await there.put(f"{AT}/documents/a", json={"data": {"title": "Theirs, red"}})
    assert await ids(there, text="red") == ["a"]
    assert await ids(http, text="theirs") == []
    assert (await there.delete(AT)).status_code == 204
    assert await ids(http, text="red") == ["a", "c"]


async def test_a_collection_keeps_its_fields_while_it_has_documents(
    site: Site, http: httpx.AsyncClient
) -> None:
    """Facets may change; a removed collection is out of sight at once, its name is free, and its rows go."""
    same = await http.put(AT, json={**DEFINITION, "facets": []})
    assert same.json()["facets"] == []
    changed = await http.put(AT, json={"fields": {"title": "keyword"}})
    problem(changed, 409, "conflict")
    assert (await http.delete(AT)).status_code == 204
    problem(await http.post(f"{AT}/query", json={}), 404, "not_found")
    assert (await http.put(AT, json={"fields": {"title": "keyword"}})).json()["offset"] == 0
    assert await ids(http, where={"title": "Red shoe"}) == []
    assert await total(site.search.purge()) == 3
    assert await total(site.search.purge()) == 0


async def test_what_is_wrong_in_a_batch_keeps_nothing_else(http: httpx.AsyncClient) -> None:
    """Each has its result, in their order; a later one of the same id wins."""
    documents = [
        {"id": "d", "data": {"title": 5}},
        {"id": "e", "data": {"title": "first"}},
        {"id": "e", "data": {"title": "second"}},
        {"id": "b", "remove": True},
        {"id": "b", "data": {"title": "again"}},
        {"id": "f", "data": {"title": "short-lived"}},
        {"id": "f", "remove": True},
    ]
    answer = await http.post(f"{AT}/documents", json={"documents": documents})
    results = answer.json()["results"]
    assert results[0]["error"]["errors"] == [
        {"pointer": "/data/title", "detail": "expected a text"}
    ]
    assert [each["written"]["offset"] for each in results[1:]] == [4, 5, 6, 7, 8, 9]
    assert await ids(http) == ["a", "b", "c", "e"]
    assert await ids(http, text="second") == ["e"]
    assert await ids(http, text="again") == ["b"]
    assert await ids(http, text="first") == []
    assert await ids(http, text="short") == []
    assert (await http.get(AT)).json()["documents"] == 4


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"where": {"colour": "red"}}, "/where/colour"),
        ({"where": {"price": {"gt": "x"}}}, "/where/price/gt"),
        ({"sort": ["title"]}, "/sort/0"),
        ({"facets": ["price"]}, "/facets/0"),
        ({"text": "x" * 1001}, "/text"),
        ({"text": " ".join(map(str, range(40)))}, "/text"),
        ({"limit": 101}, "/limit"),
        ({"cursor": "made up"}, "/cursor"),
        ({"where": {"brand": ["x"] * 65}}, "/where/brand"),
        ({"wildcard": "*"}, "/wildcard"),
    ],
)
async def test_what_is_no_query_is_told_where(
    http: httpx.AsyncClient, query: Any, pointer: str
) -> None:
    """A pointer to what is wrong; what is too much is refused before it costs anything."""
    answer = await http.post(f"{AT}/query", json=query)
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ({"fields": {}}, "/fields"),
        ({"fields": {"any": "text"}}, "/fields/any"),
        ({"fields": {"a": "vector"}}, "/fields"),
        ({"fields": {"a": "text"}, "facets": ["a"]}, "/facets/0"),
        ({"fields": {f"f{n}": "text" for n in range(65)}}, "/fields"),
    ],
)
async def test_what_is_no_definition_is_told_where(
    http: httpx.AsyncClient, definition: Any, pointer: str
) -> None:
    """A pointer to what is wrong."""
    answer = await http.put("/v1/search/collections/other", json=definition)
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer


async def test_each_limit_is_named(tmp_path: Path) -> None:
    """Collections, documents, their size, a batch, and the time of a query."""
    limits = Limits(
        search_collections=1, search_documents=2, search_document_bytes=50, batch=3, search_s=2
    )
    async with opened(tmp_path, limits=limits) as site:
        http = await back_end(site, "search:*")
        await http.put(AT, json=DEFINITION)
        more = await http.put("/v1/search/collections/more", json=DEFINITION)
        assert problem(more, 429, "too_many")["limit"] == 1
        for id, status in (("a", 200), ("b", 200), ("c", 429), ("a", 200)):
            put = await http.put(f"{AT}/documents/{id}", json={"data": {"title": id}})
            assert put.status_code == status, put.text
        large = await http.put(f"{AT}/documents/a", json={"data": {"title": "x" * 60}})
        assert problem(large, 413, "too_large")["limit"] == 50
        batch = {"documents": [{"id": str(n), "data": {}} for n in range(4)]}
        assert problem(await http.post(f"{AT}/documents", json=batch), 422, "invalid")["limit"] == 3
        long = await http.put(f"{AT}/documents/{'x' * 256}", json={"data": {}})
        assert long.status_code in {404, 422}


async def test_a_saved_search_notifies_of_what_begins_to_match(tmp_path: Path) -> None:
    """Through the whole server: the notification is in the inbox, with what was found; what is none is refused where it is saved."""
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["search:*", "notifications:send"])
        await http.put(AT, json=DEFINITION)
        at = f"{AT}/saved/ann%2Fred"
        ann = {"id": "ann", "name": "Ann"}
        wrong = {"query": {"text": "red"}, "trigger": {"recipients": [ann]}}
        pointer = problem(await http.put(at, json=wrong), 422, "invalid")["errors"][0]["pointer"]
        assert pointer == "/trigger/title"
        wrong["trigger"]["title"] = "A red shoe"
        assert (await http.put(at, json=wrong)).json()["name"] == "ann/red"
        assert (await http.get(at)).json()["query"] == {"text": "red"}
        assert (await http.get(f"{AT}/saved")).json()["more"] is False
        await http.put(f"{AT}/documents/a", json={"data": {"title": "red"}})
        items: list[Message] = []
        async with asyncio.timeout(10):
            while not items:
                items = (await live.app.inbox.page(Principal(id="ann"))).items
        [message] = items
        assert (message.title, message.data) == (
            "A red shoe",
            {"search": {"collection": "shoes", "name": "ann/red", "id": "a"}},
        )
        assert (await http.delete(at)).status_code == 204
        problem(await http.delete(at), 404, "not_found")


async def test_what_begins_to_match_and_what_crosses_a_threshold_run_one_workflow(
    tmp_path: Path,
) -> None:
    """A saved search and an alert of a dashboard, digested into one message; what names no workflow is refused where it is defined."""
    digest = {"digest": {"window": "1d", "limit": 2}}
    told = {"title": "{% for each in digest['items'] %}{{ (each.search or each.dashboard).id }} {% endfor %}"}  # fmt: skip
    async with lively(tmp_path) as live:
        http = await live.back_end(
            scopes=["search:*", "dashboards:*", "workflows:*", "notifications:send"]
        )
        await http.put(AT, json=DEFINITION)
        trigger = {"workflow": "alerts", "recipients": [{"id": "ann"}]}
        saved = {"query": {"text": "red"}, "trigger": trigger}
        gauge = {"type": "gauge", "id": "load", "alerts": [{"id": "hot", "above": 80, "trigger": trigger}]}  # fmt: skip
        for at, body in ((f"{AT}/saved/red", saved), ("/v1/dashboards/ops", {"widgets": [gauge]})):
            refused = problem(await http.put(at, json=body), 422, "invalid")["errors"][0]
            assert refused["pointer"].endswith("trigger/workflow")
        steps = {"workflow": "alerts", "steps": [digest, {"inbox": told}]}
        assert (await http.put("/v1/workflows/alerts", json=steps)).status_code == 200
        assert (await http.put(f"{AT}/saved/red", json=saved)).status_code == 200
        assert (await http.put("/v1/dashboards/ops", json={"widgets": [gauge]})).status_code == 200
        await http.put(f"{AT}/documents/a", json={"data": {"title": "red"}})
        await live.app.dashboards.set("ops", "load", 81)
        items: list[Message] = []
        async with asyncio.timeout(10):
            while not items:
                items = (await live.app.inbox.page(Principal(id="ann"))).items
        assert [sorted(each.title.split()) for each in items] == [["a", "ops"]]
