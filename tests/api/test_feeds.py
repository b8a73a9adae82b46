"""Feeds, readers and reactions over HTTP: who may read, what is new to them, and how they answer."""

from pathlib import Path
from typing import Any

import pytest

from clarion.settings import Limits
from tests.api.conftest import Site, opened, problem
from tests.api.test_topics import back_end, user

NOTES = "/v1/activity/notes%3Aann"


def nobody(site: Site, name: str = "ann", **claims: Any) -> Any:
    """A user whose token grants nothing."""
    return user(site, name, **{"topics": {}, **claims})


async def like(http: Any, actor: str, object: str, day: int, **more: Any) -> str:
    body = {
        "actor": actor,
        "verb": "like",
        "object": object,
        "group": "{verb} {object}",
        "published": f"2026-01-{day:02}T00:00:00Z",
        **more,
    }
    answer = await http.post(f"{NOTES}/activities", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["activity"]["id"])


async def test_a_feed_shows_groups_and_what_is_new(site: Site) -> None:
    """Three liked one photo: one group; seen and read up to where the user has looked, never back."""
    http, ann = await back_end(site), nobody(site)
    await http.put(f"{NOTES}/readers", json={"users": ["ann"]})
    first = await like(http, "bob", "photo:1", 1)
    await like(http, "eve", "photo:1", 3)
    other = await like(http, "dan", "photo:2", 2)
    for day, actor in enumerate(("dan", "zoe", "dan"), 4):
        newest = await like(http, actor, "photo:1", day)
    feed = (await ann.get("/v1/feeds/notes:ann/groups")).json()
    assert (feed["more"], feed["unseen"], feed["unread"]) == (False, 2, 2)
    one, two = feed["items"]
    assert (one["id"], one["actors"], one["actor_count"], one["count"]) == (
        "like photo:1",
        ["dan", "zoe", "eve"],
        4,
        5,
    )
    assert (one["activities"][0], one["activities"][-1]) == (newest, first)
    assert (one["published"], one["is_seen"], one["is_read"]) == (
        "2026-01-06T00:00:00Z",
        False,
        False,
    )
    assert (two["id"], two["actor_count"], two["activities"]) == ("like photo:2", 1, [other])
    at = "/v1/feeds/notes:ann"
    assert (await ann.post(f"{at}/read", json={"upto": other})).json() == {"unseen": 1, "unread": 1}
    assert (await ann.post(f"{at}/seen", json={})).json() == {"unseen": 0, "unread": 1}
    assert (await ann.post(f"{at}/seen", json={"upto": first})).json() == {"unseen": 0, "unread": 1}
    await like(http, "bob", "photo:2", 7)
    again = (await ann.get(f"{at}/groups")).json()
    assert [each["id"] for each in again["items"]] == ["like photo:2", "like photo:1"]
    assert (again["unseen"], again["unread"]) == (1, 2)
    problem(await ann.post(f"{at}/seen", json={"upto": "x"}), 404, "not_found")
    problem(await ann.post(f"{at}/seen", json={"upto": 1}), 422, "invalid")
    problem(await http.get(f"{at}/groups"), 403, "forbidden")
    problem(await nobody(site, "bob").get(f"{at}/groups"), 403, "forbidden")
    problem(await nobody(site, tenant="acme").get(f"{at}/groups"), 403, "forbidden")
    for bad in ("{what}", "{"):
        body = {"actor": "a", "verb": "v", "object": "o", "group": bad}
        answer = await http.post(f"{NOTES}/activities", json=body)
        assert answer.status_code == (422 if bad == "{what}" else 200)
    body = {"actor": "a", "verb": "v", "object": "o" * 512, "group": "{object}{object}{object}"}
    problem(await http.post(f"{NOTES}/activities", json=body), 422, "invalid")


async def test_what_is_old_is_kept_to_the_millisecond(site: Site) -> None:
    """An import from long ago is seen when the user says so."""
    http, ann = await back_end(site), nobody(site)
    await http.put(f"{NOTES}/readers", json={"users": ["ann"]})
    id = await like(http, "bob", "photo:1", 1, published="1972-03-05T07:23:12.489Z")
    shown = (await http.get(f"{NOTES}/activities/{id}")).json()
    assert shown["published"] == "1972-03-05T07:23:12.489000Z"
    for upto in ({"upto": id}, {}):
        answer = await ann.post("/v1/feeds/notes:ann/read", json=upto)
        assert answer.json() == {"unseen": 0, "unread": 0}


@pytest.mark.parametrize(
    ("readers", "who", "may"),
    [
        ({}, {}, False),
        ({"everyone": True}, {}, True),
        ({"everyone": True}, {"tenant": "acme"}, False),
        ({"users": ["bob", "ann"]}, {}, True),
        ({"users": ["bob"]}, {}, False),
        ({"tags": ["team:red"]}, {"access": ["team:red"]}, True),
        ({"tags": ["team:red"]}, {"access": ["team:blue"]}, False),
        ({"followers": True}, {}, False),
    ],
)
async def test_a_stream_names_its_readers(site: Site, readers: Any, who: Any, may: bool) -> None:
    """Everyone of the tenant, followers, users, tags: on every door that reads, and in timelines; nobody else, and nobody writes by it."""
    http, ann = await back_end(site), nobody(site, **who)
    id = await like(http, "bob", "photo:1", 1)
    told = (await http.put(f"{NOTES}/readers", json=readers)).json()
    assert (await http.get(f"{NOTES}/readers")).json() == told
    for answer in (
        await ann.get(f"{NOTES}/activities"),
        await ann.get(f"{NOTES}/activities/{id}/reactions/like"),
        await ann.get("/v1/topics/activity:notes%3Aann"),
        await ann.get("/v1/feeds/notes:ann/groups"),
        await ann.put("/v1/follows/notes:ann"),
        await ann.put(f"{NOTES}/activities/{id}/reactions/like/ann"),
    ):
        assert answer.status_code == (200 if may else 403), answer.text
    await http.put("/v1/users/ann/follows/notes:ann")
    items = (await ann.get("/v1/timeline")).json()["items"]
    sees = may or readers == {"followers": True}
    assert len(items) == sees
    assert (await ann.get(f"{NOTES}/activities")).status_code == (200 if sees else 403)
    body = {"verb": "v", "object": "o"}
    problem(await ann.post(f"{NOTES}/activities", json=body), 403, "forbidden")
    await http.put(f"{NOTES}/readers", json={})
    problem(await ann.get(f"{NOTES}/activities"), 403, "forbidden")
    assert (await ann.get("/v1/timeline")).json()["items"] == []


async def test_readers_are_what_they_can_be(site: Site) -> None:
    """Lists of names, bounded; set by those who manage topics."""
    http = await back_end(site)
    for bad in ({"users": [""]}, {"users": ["x"] * 1_001}, {"tags": [1]}, {"all": True}, []):
        problem(await http.put(f"{NOTES}/readers", json=bad), 422, "invalid")
    problem(await nobody(site).put(f"{NOTES}/readers", json={}), 403, "forbidden")


async def test_users_react_for_themselves(tmp_path: Path) -> None:
    """Once in each way; counted in the activity; taken back; gone with it; of a bounded number of kinds."""
    async with opened(tmp_path, limits=Limits(activity_reactions=2)) as site:
        http, ann = await back_end(site), nobody(site)
        await http.put(f"{NOTES}/readers", json={"everyone": True})
        at = f"{NOTES}/activities/{await like(http, 'bob', 'photo:1', 1, foreign_id='f')}"
        for kind in ("like", "like", "love"):
            said = (await ann.put(f"{at}/reactions/{kind}/ann")).json()
        assert said["activity"]["reactions"] == {"like": 1, "love": 1}
        assert (await ann.put(f"{at}/reactions/love/ann")).json()["dropped"] == "same"
        answer = problem(await ann.put(f"{at}/reactions/cry/ann"), 429, "too_many")
        assert answer["limit"] == 2
        problem(await ann.put(f"{at}/reactions/like/bob"), 403, "forbidden")
        await http.put(f"{at}/reactions/like/bob")
        page = (await ann.get(f"{at}/reactions/like", params={"limit": 1})).json()
        assert ([each["user"] for each in page["items"]], page["more"]) == (["ann"], True)
        rest = (await ann.get(f"{at}/reactions/like", params={"after": "ann"})).json()
        assert ([each["user"] for each in rest["items"]], rest["more"]) == (["bob"], False)
        for _ in range(2):
            left = (await ann.delete(f"{at}/reactions/love/ann")).json()["activity"]
        assert left["reactions"] == {"like": 2}
        edited = (await http.patch(at, json={"verb": "adore"})).json()["activity"]
        body = {"actor": "bob", "verb": "again", "object": "photo:1", "foreign_id": "f"}
        again = (await http.post(f"{NOTES}/activities", json=body)).json()["activity"]
        assert edited["reactions"] == again["reactions"] == {"like": 2}
        log = (await http.get("/v1/topics/activity:notes%3Aann/publications")).json()["items"]
        assert log[-1]["data"]["activity"] == again
        for path in ("reactions/%20/ann", f"reactions/{'x' * 33}/ann"):
            assert (await ann.put(f"{at}/{path}")).status_code in {404, 422}
        assert (await http.delete(at)).status_code == 200
        problem(await ann.put(f"{at}/reactions/like/ann"), 404, "not_found")
