"""Follows and timelines over HTTP: each for themselves, a back end for users; only what may be read."""

from pathlib import Path

from clarion.settings import Limits
from tests.api.conftest import Site, opened, problem
from tests.api.test_activity import LIKE
from tests.api.test_topics import back_end, user

BOTH = {"activity:user:*": ["subscribe"]}


async def test_a_timeline_has_what_is_followed(site: Site) -> None:
    """With its past; in order, page by page; no longer when it is not followed any more."""
    http, ann = await back_end(site), user(site, topics=BOTH)
    for n, name in enumerate(["bob", "eve", "bob", "eve", "dan"]):
        body = {**LIKE, "object": f"o{n}", "published": f"2026-01-0{n + 1}T00:00:00Z"}
        await http.post(f"/v1/activity/user:{name}/activities", json=body)
    for name in ("bob", "eve"):
        followed = await ann.put(f"/v1/follows/user%3A{name}")
        assert followed.json()["stream"] == f"user:{name}"
    assert (await ann.put("/v1/follows/user%3Abob")).status_code == 200
    page = (await ann.get("/v1/timeline", params={"limit": 3})).json()
    told = [(each["stream"], each["object"]) for each in page["items"]]
    assert told == [("user:eve", "o3"), ("user:bob", "o2"), ("user:eve", "o1")]
    rest = await ann.get("/v1/timeline", params={"limit": 3, "cursor": page["next"]})
    assert [each["object"] for each in rest.json()["items"]] == ["o0"]
    assert rest.json()["next"] is None
    follows = (await ann.get("/v1/follows", params={"limit": 1})).json()
    assert ([each["stream"] for each in follows["items"]], follows["more"]) == (["user:bob"], True)
    assert (await ann.delete("/v1/follows/user%3Aeve")).status_code == 204
    assert (await ann.delete("/v1/follows/user%3Aeve")).status_code == 204
    left = (await ann.get("/v1/timeline")).json()["items"]
    assert [each["object"] for each in left] == ["o2", "o0"]
    assert (await user(site, "zoe", topics=BOTH).get("/v1/timeline")).json()["items"] == []
    there = user(site, tenant="acme", topics=BOTH)
    assert (await there.get("/v1/timeline")).json()["items"] == []
    assert (await there.get("/v1/follows")).json()["items"] == []


async def test_what_may_not_be_read_is_not_in_a_timeline(site: Site) -> None:
    """Asked when somebody follows, and again with each page; a back end's word lets nobody read."""
    http, usher = await back_end(site), await back_end(site, "topics:manage")
    for stream in ("user:bob", "secret"):
        await http.post(f"/v1/activity/{stream}/activities", json=LIKE)
    ann = user(site, topics=BOTH)
    problem(await ann.put("/v1/follows/secret"), 403, "forbidden")
    for stream in ("user:bob", "secret"):
        assert (await usher.put(f"/v1/users/ann/follows/{stream}")).status_code == 200
    items = (await ann.get("/v1/timeline")).json()["items"]
    assert [each["stream"] for each in items] == ["user:bob"]
    both = user(site, topics={**BOTH, "activity:secret": ["subscribe"]})
    assert len((await both.get("/v1/timeline")).json()["items"]) == 2
    assert (await usher.delete("/v1/users/ann/follows/secret")).status_code == 204
    assert len((await both.get("/v1/timeline")).json()["items"]) == 1
    problem(await ann.put("/v1/users/ann/follows/secret"), 403, "forbidden")


async def test_follows_are_bounded(tmp_path: Path) -> None:
    """`limits.activity_follows`, by name; names and queries that cannot be."""
    async with opened(tmp_path, limits=Limits(activity_follows=1)) as site:
        ann = user(site, topics=BOTH)
        await ann.put("/v1/follows/user:a")
        assert problem(await ann.put("/v1/follows/user:b"), 429, "too_many")["limit"] == 1
        long = "user:" + "ü" * 200
        problem(await ann.put(f"/v1/follows/{long}"), 422, "invalid")
        for query in ({"cursor": "1"}, {"limit": "0"}, {"limit": "101"}, {"after": "x"}):
            problem(await ann.get("/v1/timeline", params=query), 422, "invalid")
        problem(await ann.get("/v1/follows", params={"limit": "1001"}), 422, "invalid")
