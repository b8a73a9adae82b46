"""Activity over HTTP: added, read page by page, changed and removed; by those who may, in their tenant."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from clarion.settings import Limits
from tests.api.conftest import Site, opened, problem
from tests.api.test_topics import back_end, user

AT = "/v1/activity/user%3Aann/activities"
LIKE = {"actor": "ann", "verb": "like", "object": "photo:17"}
TOPICS = {"activity:user:ann": ["subscribe", "publish"]}


@pytest.fixture
async def http(site: Site) -> httpx.AsyncClient:
    return await back_end(site)


async def add(http: httpx.AsyncClient, **more: Any) -> Any:
    answer = await http.post(AT, json={**LIKE, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_activity_is_added_read_changed_and_removed(http: httpx.AsyncClient) -> None:
    """The answer has it as it is; the topic's state and log say the same."""
    made = await add(http, data={"n": 1.5}, foreign_id="like-17", published="2026-01-02T03:04:05Z")
    assert (made["event"], made["offset"], made["durability"]) == ("added", 1, "fsync")
    at = f"{AT}/{made['activity']['id']}"
    read = (await http.get(at)).json()
    assert read == made["activity"]
    assert (read["published"], read["data"]) == ("2026-01-02T03:04:05Z", {"n": 1.5})
    again = await add(http, data={"n": 2}, foreign_id="like-17")
    assert (again["event"], again["activity"]["id"]) == ("changed", read["id"])
    assert again["activity"]["published"] == read["published"]
    assert (await add(http, data={"n": 2}, foreign_id="like-17"))["dropped"] == "same"
    edited = (await http.patch(at, json={"target": "album:1", "data": None})).json()
    assert (edited["activity"]["target"], edited["offset"]) == ("album:1", 3)
    assert "data" not in edited["activity"]
    assert (await http.patch(at, json={"verb": "like"})).json()["dropped"] == "same"
    state = (await http.get("/v1/topics/activity:user%3Aann")).json()
    assert state["snapshot"] == {"items": [edited["activity"]], "more": False}
    gone = (await http.delete(at)).json()
    assert (gone["event"], gone["activity"]) == ("removed", edited["activity"])
    problem(await http.get(at), 404, "not_found")
    problem(await http.delete(at), 404, "not_found")
    log = (await http.get("/v1/topics/activity:user%3Aann/publications")).json()
    assert [each["event"] for each in log["items"]] == ["added", "changed", "changed", "removed"]


async def test_pages_are_cut_by_time_and_id(http: httpx.AsyncClient) -> None:
    """What is added meanwhile neither shifts nor repeats anything; a page that has not changed is 304."""
    for n in range(5):
        await add(http, object=f"o{n}", published=f"2026-01-0{1 + n // 2}T00:00:00Z")
    first = await http.get(AT, params={"limit": 2})
    await add(http, object="new")
    await add(http, object="old", published="2020-01-01T00:00:00Z")
    seen, page = first.json()["items"], first.json()
    while page["next"]:
        page = (await http.get(AT, params={"limit": 2, "cursor": page["next"]})).json()
        seen += page["items"]
    assert sorted(each["object"] for each in seen) == ["o0", "o1", "o2", "o3", "o4", "old"]
    places = [(each["published"], each["id"]) for each in seen]
    assert places == sorted(places, reverse=True)
    again = await http.get(AT)
    same = await http.get(AT, headers={"if-none-match": again.headers["etag"]})
    assert same.status_code == 304


async def test_users_speak_for_themselves(site: Site, http: httpx.AsyncClient) -> None:
    """A token grants the stream; the user is the actor, and changes only what is theirs."""
    ann, bob = user(site, topics=TOPICS), user(site, "bob", topics=TOPICS)
    mine = (await ann.post(AT, json={"verb": "like", "object": "x"})).json()["activity"]
    assert mine["actor"] == "ann"
    problem(await bob.post(AT, json=LIKE), 403, "forbidden")
    problem(await bob.patch(f"{AT}/{mine['id']}", json={"verb": "hate"}), 403, "forbidden")
    problem(await bob.delete(f"{AT}/{mine['id']}"), 403, "forbidden")
    assert (await bob.get(AT)).json()["items"] == [mine]
    reader = user(site, topics={"activity:*:ann": ["subscribe"]})
    assert (await reader.get(AT)).status_code == 200
    problem(await reader.post(AT, json={"verb": "like", "object": "x"}), 403, "forbidden")
    stranger = user(site, topics={})
    problem(await stranger.get(AT), 403, "forbidden")
    problem(await stranger.get(f"{AT}/{mine['id']}"), 403, "forbidden")
    assert (await ann.delete(f"{AT}/{mine['id']}")).status_code == 200
    problem(await http.post(AT, json={"verb": "like", "object": "x"}), 422, "invalid")


async def test_another_tenant_has_streams_of_its_own(site: Site, http: httpx.AsyncClient) -> None:
    """The same name is another stream."""
    made = await add(http)
    there = user(site, tenant="acme", scope="topics:*")
    at = f"{AT}/{made['activity']['id']}"
    assert (await there.get(AT)).json()["items"] == []
    for answer in (
        await there.get(at),
        await there.patch(at, json={"verb": "x"}),
        await there.delete(at),
    ):
        problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**LIKE, "actor": ""}, "/actor"),
        ({**LIKE, "object": "x" * 513}, "/object"),
        ({**LIKE, "verb": "a\u0000b"}, "/verb"),
        ({**LIKE, "likes": 1}, "/likes"),
        ({**LIKE, "data": [1]}, "/data"),
        ({**LIKE, "published": "2026-01-01T00:00:00"}, "/published"),
        ({**LIKE, "published": "9999-01-01T00:00:00Z"}, "/published"),
        ({"actor": "ann", "verb": "like"}, "/object"),
    ],
)
async def test_what_is_no_activity_is_told_where(
    http: httpx.AsyncClient, body: Any, pointer: str
) -> None:
    """A pointer to what is wrong."""
    answer = await http.post(AT, json=body)
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer


async def test_what_is_no_page_is_refused(http: httpx.AsyncClient) -> None:
    """Cursors that were made up, limits out of range, names of streams that are too long."""
    for query in ({"cursor": "1"}, {"cursor": "x.y"}, {"limit": "0"}, {"limit": "101"}):
        problem(await http.get(AT, params=query), 422, "invalid")
    long = "ü" * 200
    assert (await http.get(f"/v1/activity/{long}/activities")).status_code == 422
    assert (await http.get(f"{AT}/made-up")).status_code in {404, 422}


async def test_an_activity_has_a_size(tmp_path: Path) -> None:
    """`limits.publication_bytes` bounds it, and is named."""
    async with opened(tmp_path, limits=Limits(publication_bytes=100)) as site:
        http = await back_end(site)
        large = await http.post(AT, json={**LIKE, "data": {"text": "x" * 100}})
        assert problem(large, 413, "too_large")["limit"] == 100


async def test_a_window_of_large_activities_fits_into_a_sockets_queue(tmp_path: Path) -> None:
    """However large publications may be: else whoever subscribes would be called slow, and sent away each time."""
    limits = Limits(publication_bytes=1 << 20, egress_soft_bytes=1 << 17, egress_hard_bytes=1 << 18)
    async with opened(tmp_path, limits=limits) as site:
        http = await back_end(site)
        large = await http.post(AT, json={**LIKE, "data": {"text": "x" * 4_096}})
        said = problem(large, 413, "too_large")
        assert (said["limit"], "limits.egress_hard_bytes" in said["detail"]) == (4_096, True)
        # 50 with the longest names.
        body = {"actor": "a" * 512, "verb": "v" * 64, "object": "o" * 512, "target": "t" * 512}
        for number in range(50):
            name = f"{number:02}{'f' * 253}"
            given = {**body, "data": {"text": "x" * 2_400}, "foreign_id": name}
            assert (await http.post(AT, json=given)).status_code == 200
        window = await http.get("/v1/topics/activity:user%3Aann")
        assert len(window.json()["snapshot"]["items"]) == 50
        assert len(window.content) < limits.egress_hard_bytes
