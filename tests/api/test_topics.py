"""Topics over HTTP: published to one by one and in batches, read, counted; by those who may, in their tenant."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from clarion.auth import Principal, Self
from clarion.errors import Conflict
from clarion.settings import Limits
from clarion.topics import Granted, Published, SignedIn
from clarion.topics.arguments import SubscribeArgs
from tests.api.conftest import AUDIENCE, SECRET, Site, bearer, client, opened, problem
from tests.topics.fakes import Socket

TOPICS = {"board:*": ["subscribe", "publish"], "news:*": ["subscribe"]}


@pytest.fixture
def topics(site: Site) -> Site:
    """A site with a map, a stream, a kind that only the application publishes to, and one for oneself."""
    both: dict[str, Any] = {"subscribe": Granted(), "publish": Granted()}
    site.topics.add("board", "map", rights=both, keys=5)
    site.topics.add("news", "stream", rights=both, log_size=5)
    site.topics.add("clock", "map", rights={"subscribe": SignedIn()}, conflate_s=0.01)
    site.topics.add("mine", "map", rights={"subscribe": Self(), "publish": Self()})
    return site


def user(
    site: Site, name: str = "ann", tenant: str = "default", **claims: Any
) -> httpx.AsyncClient:
    """Somebody with a token of the application's that lists topics."""
    now_s = site.clock.now_ms() // 1000
    given = {"topics": TOPICS, "exp": now_s + 900, "tenant": tenant, "sub": name, **claims}
    token = jwt.encode(
        {"iss": "clarion", "aud": AUDIENCE, **given}, SECRET.material, SECRET.algorithm
    )
    http = client(site.app)
    http.headers.update(bearer(token))
    return http


async def back_end(site: Site, *scopes: str) -> httpx.AsyncClient:
    http = client(site.app)
    http.headers.update(bearer(await site.key(*(scopes or ("topics:*",)))))
    return http


async def test_what_is_published_is_read(topics: Site) -> None:
    """The answer says where it stands; the state has it, and so has the log, with its time."""
    http = await back_end(topics)
    at = "/v1/topics/board:x"
    done = await http.post(
        f"{at}/publications", json={"key": "a", "data": {"n": 1}, "tags": {"team": "red"}}
    )
    assert done.status_code == 200
    published = done.json()
    assert published == {
        "topic": "board:x",
        "epoch": published["epoch"],
        "offset": 1,
        "mark": published["mark"],
        "class": "recoverable",
    }
    state = await http.get(at)
    assert state.json() == published | {
        "snapshot": {
            "items": [{"key": "a", "data": {"n": 1}, "offset": 1, "tags": {"team": "red"}}],
            "more": False,
        }
    }
    page = (await http.get(f"{at}/publications")).json()
    (item,) = page.pop("items")
    assert item.pop("at").startswith("20")
    assert item == {
        "offset": 1,
        "mark": published["mark"],
        "event": "set",
        "key": "a",
        "data": {"n": 1},
        "tags": {"team": "red"},
    }
    assert page == published | {"more": False, "gap": False}


async def test_a_repeated_id_writes_nothing_and_a_guard_is_told(topics: Site) -> None:
    """The second answer is the first one's, with `dropped`; a guard that does not hold is 409 with what is there."""
    http = user(topics)
    once = {"key": "a", "data": 1, "id": "vote-1"}
    first, second = [
        (await http.post("/v1/topics/board:x/publications", json=once)).json() for _ in range(2)
    ]
    assert second == first | {"dropped": "duplicate"}
    refused = await http.post(
        "/v1/topics/board:x/publications", json={"key": "a", "data": 2, "if": "absent"}
    )
    assert problem(refused, 409, "conflict")["current"] == {"data": 1, "offset": 1, "version": 0}


async def test_a_state_is_read_in_pages_and_not_again_while_it_stays(topics: Site) -> None:
    """`next` of a page is `after` of the following one; with If-None-Match a topic that has not changed is 304."""
    http = await back_end(topics)
    for key in "abc":
        await topics.topics.of("board:x").set(key, key)
    found, after, sizes = [], "", []
    while True:
        answer = await http.get("/v1/topics/board:x", params={"after": after, "limit": 2})
        page = answer.json()["snapshot"]
        sizes.append(len(page["items"]))
        found += [item["key"] for item in page["items"]]
        if not page["more"]:
            break
        after = page["next"]
    assert (found, sizes) == (["a", "b", "c"], [2, 1])
    tag = {"if-none-match": answer.headers["etag"]}
    assert (await http.get("/v1/topics/board:x", headers=tag)).status_code == 304
    await topics.topics.of("board:x").remove("a")
    assert (await http.get("/v1/topics/board:x", headers=tag)).status_code == 200
    stream = await http.get("/v1/topics/news:eu")
    assert stream.json()["snapshot"] is None


async def test_a_log_is_paged_and_says_where_it_has_a_gap(topics: Site) -> None:
    """Five of eight publications are kept: behind 1 something is missing, behind 3 nothing; `since_ms` begins in time."""
    http, news = await back_end(topics), topics.topics.of("news:eu")
    for n in range(8):
        await news.publish("posted", n)
        if n == 5:
            topics.clock.advance(60)
    at = "/v1/topics/news:eu/publications"

    async def read(**query: int) -> tuple[list[int], bool, bool]:
        page = (await http.get(at, params=query)).json()
        return [item["offset"] for item in page["items"]], page["more"], page["gap"]

    assert await read(limit=2) == ([4, 5], True, False)
    assert await read(after=5, limit=3) == ([6, 7, 8], False, False)
    assert await read(after=1) == ([4, 5, 6, 7, 8], False, True)
    assert await read(after=3) == ([4, 5, 6, 7, 8], False, False)
    assert await read(after=8) == ([], False, False)
    assert await read(since_ms=topics.clock.now_ms() - 1_000) == ([7, 8], False, False)
    ann = user(topics)
    refused = await ann.get("/v1/topics/inbox:ann/publications", params={"since_ms": 1})
    assert problem(refused, 422, "invalid")["errors"][0]["pointer"] == "?since_ms"
    await topics.notify("ann")
    own = (await ann.get("/v1/topics/inbox:ann/publications")).json()
    assert [item["event"] for item in own["items"]] == ["added"]
    assert own["class"] == "durable"


async def test_a_batch_has_an_outcome_for_each(topics: Site) -> None:
    """In the order of the call, whatever is wrong with some; those of one topic follow each other in its log without a hole."""
    http = await back_end(topics)
    given: list[dict[str, Any]] = [
        {"topic": "board:x", "key": "a", "data": 1},
        {"topic": "news:eu", "event": "posted", "data": 1},
        {"topic": "board:x", "key": "a", "data": 2, "if": "absent"},
        {"topic": "board:x", "data": 3},
        {"topic": "nothing:x", "event": "e"},
        {"topic": "no topic", "event": "e"},
        {"topic": "board:x\u0001", "key": "a"},
        {"topic": "board:x", "key": "a", "data": 4, "version": 2},
        {"topic": "board:x", "key": "a", "data": 5, "version": 1},
        {"topic": "inbox:ann", "event": "added", "data": {}},
        {"topic": "board:x", "key": "a", "owned": True},
    ]
    answer = await http.post("/v1/publications", json={"publications": given})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [
        result["error"]["code"] if "error" in result else result["published"]["offset"]
        for result in results
    ] == [
        1,
        1,
        "conflict",
        "invalid",
        "not_found",
        "invalid",
        "invalid",
        2,
        2,
        "forbidden",
        "invalid",
    ]
    assert results[8]["published"]["dropped"] == "older"
    assert results[2]["error"]["current"]["data"] == 1
    assert (await topics.topics.of("board:x").items()).items[0][1].data == 4


async def test_a_batch_counts_for_what_is_in_it(tmp_path: Path) -> None:
    """A thousand publications are eleven calls, so that a batch is no way around the limit; what is too much says when it fits."""
    async with opened(tmp_path, limits=Limits(api_requests=20, api_window_s=60)) as site:
        site.topics.add("news", "stream", rights={"subscribe": Granted()})
        http = await back_end(site)
        batch = {"publications": [{"topic": "news:x", "event": "e"}] * 1_000}
        few = {"publications": batch["publications"][:99]}
        answers = [await http.post("/v1/publications", json=body) for body in (batch, few)]
        left = [int(each.headers["ratelimit"].split("r=")[1].split(";")[0]) for each in answers]
        assert left == [9, 8]
        refused = problem(await http.post("/v1/publications", json=batch), 429, "rate_limited")
        assert 0 < refused["retry_after"] <= 30
        site.clock.advance(60)
        assert (await http.post("/v1/publications", json=batch)).status_code == 200
        assert (await site.topics.of("news:x").items()).position.offset == 2_099


async def test_a_topic_that_is_full_takes_none_of_a_batch_and_others_all(topics: Site) -> None:
    """Six keys do not fit into five: all six say so, and nothing of them is there; the other topic has its own."""
    http = await back_end(topics)
    given = [{"topic": "board:full", "key": str(n), "data": n} for n in range(6)]
    given.insert(3, {"topic": "board:fine", "key": "a", "data": 1})
    results = (await http.post("/v1/publications", json={"publications": given})).json()["results"]
    codes = [result.get("error", {}).get("code") for result in results]
    assert codes == ["too_many"] * 3 + [None] + ["too_many"] * 3
    assert (await topics.topics.of("board:full").items()).items == []


async def test_kinds_with_a_will_of_their_own_take_a_batch_one_by_one(topics: Site) -> None:
    """What `publish` of a kind answers or raises is the outcome."""

    async def publish(call: Any, given: Any) -> Published:
        if given.data == "bad":
            raise ValueError if given.event == "bug" else Conflict("no")
        return Published(call.topic.wire, "e", given.data, 0, "ephemeral")

    topics.topics.add("own", "stream", rights={"subscribe": SignedIn()}, publish=publish)
    http = await back_end(topics)
    given: list[dict[str, Any]] = [
        {"topic": "own:x", "event": "e", "data": 7},
        {"topic": "own:x", "event": "e", "data": "bad"},
    ]
    results = (await http.post("/v1/publications", json={"publications": given})).json()["results"]
    assert results[0]["published"]["offset"] == 7
    assert results[1]["error"]["code"] == "conflict"
    bug = [{"topic": "own:x", "event": "bug", "data": "bad"}]
    problem(await http.post("/v1/publications", json={"publications": bug}), 500, "internal")


async def test_a_batch_waits_for_one_tick_of_a_conflated_topic(topics: Site) -> None:
    """Of each key the newest is appended, in their order; what is wrong with one does not keep the others. A tick lasts for ever here."""
    topics.topics.add("glacier", "map", rights={"subscribe": SignedIn()}, conflate_s=10_000)
    http = await back_end(topics)
    given = [{"topic": "glacier:x", "key": "ab"[n % 2], "data": n} for n in range(100)]
    given.insert(50, {"topic": "glacier:x", "data": "without a key"})
    results = (await http.post("/v1/publications", json={"publications": given})).json()["results"]
    assert results.pop(50)["error"]["code"] == "invalid"
    assert [result["published"]["offset"] for result in results] == [1, 2] * 50
    assert [item.data for _, item in (await topics.topics.of("glacier:x").items()).items] == [
        98,
        99,
    ]


async def test_a_kind_that_queues_takes_a_batch_at_once_and_in_order(topics: Site) -> None:
    """The first of a batch may wait for the last: all are in the kind's hands, in their order, before one is answered."""
    taken: list[int] = []
    all_there = asyncio.Event()

    async def publish(call: Any, given: Any) -> Published:
        taken.append(given.data)
        if len(taken) == 20:
            all_there.set()
        await all_there.wait()
        if given.data == 7:
            raise Conflict("no")
        return Published(call.topic.wire, "e", given.data, 0, "ephemeral")

    rights = {"subscribe": SignedIn()}
    topics.topics.add("own", "stream", rights=rights, publish=publish, queues=True)
    http = await back_end(topics)
    given = [{"topic": "own:x", "event": "e", "data": n} for n in range(20)]
    results = (await http.post("/v1/publications", json={"publications": given})).json()["results"]
    assert taken == list(range(20))
    assert [each.get("published", {}).get("offset") for each in results] == [
        None if n == 7 else n for n in range(20)
    ]


async def test_a_batch_is_refused_as_a_whole_where_it_is_none(tmp_path: Path) -> None:
    """Too many, nothing, or a publication that is no publication: 422 with the place; nothing is published."""
    async with opened(tmp_path, limits=Limits(batch=2)) as site:
        site.topics.add("board", "map", rights={"subscribe": Granted()})
        http = await back_end(site)
        fine = {"topic": "board:x", "key": "a", "data": 1}
        for given, pointer in (
            ([fine] * 3, "/publications"),
            ([], "/publications"),
            ([fine, {**fine, "colour": "red"}], "/publications/1/colour"),
            ([fine, {"key": "a"}], "/publications/1/topic"),
        ):
            answer = await http.post("/v1/publications", json={"publications": given})
            assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer
        assert (await site.topics.of("board:x").items()).position.offset == 0


async def test_a_user_may_what_their_token_lists(topics: Site) -> None:
    """Read where it says subscribe, publish where it says publish; nothing of another's, nothing without a token that lists it."""
    ann, bare = user(topics), user(topics, topics={})
    publication = {"key": "a", "data": 1}
    assert (await ann.post("/v1/topics/board:x/publications", json=publication)).status_code == 200
    assert (await ann.get("/v1/topics/board:x")).status_code == 200
    assert (await ann.get("/v1/topics/board:x/occupancy")).status_code == 200
    event = {"event": "posted", "data": 1}
    problem(await ann.post("/v1/topics/news:eu/publications", json=event), 403, "forbidden")
    problem(await ann.post("/v1/topics/clock:x/publications", json=publication), 403, "forbidden")
    for path in ("", "/publications", "/occupancy"):
        problem(await bare.get(f"/v1/topics/board:x{path}"), 403, "forbidden")
        problem(await ann.get(f"/v1/topics/mine:ben{path}"), 403, "forbidden")
        assert (await ann.get(f"/v1/topics/mine:ann{path}")).status_code == 200
    batch = {"publications": [{"topic": "board:x", **publication}, {"topic": "news:eu", **event}]}
    results = (await ann.post("/v1/publications", json=batch)).json()["results"]
    assert [list(result) for result in results] == [["published"], ["error"]]


async def test_a_back_end_may_what_its_scope_says_but_not_what_is_somebodys_own(
    topics: Site,
) -> None:
    """Reading and publishing are two scopes; a kind that names no publisher is the application's; an inbox is its user's alone."""
    reading, writing = [await back_end(topics, f"topics:{what}") for what in ("read", "publish")]
    publication = {"key": "now", "data": 1}
    at = "/v1/topics/clock:x"
    assert (await writing.post(f"{at}/publications", json=publication)).status_code == 200
    assert (await reading.get(at)).json()["snapshot"]["items"][0]["data"] == 1
    problem(await writing.get(at), 403, "forbidden")
    problem(await reading.post(f"{at}/publications", json=publication), 403, "forbidden")
    for topic in ("inbox:ann", "mine:ann"):
        problem(await reading.get(f"/v1/topics/{topic}"), 403, "forbidden")
    problem(
        await writing.post("/v1/topics/mine:ann/publications", json=publication), 403, "forbidden"
    )


async def test_tenants_do_not_meet(topics: Site) -> None:
    """The same name in another tenant is another topic."""
    ann, eve = user(topics), user(topics, tenant="elsewhere")
    await ann.post("/v1/topics/board:x/publications", json={"key": "a", "data": 1})
    assert (await eve.get("/v1/topics/board:x")).json()["snapshot"]["items"] == []
    assert (await eve.get("/v1/topics/board:x/publications")).json()["items"] == []


async def test_subscribers_are_counted(topics: Site) -> None:
    """Two sockets of ann and one of ben are three subscriptions of two users."""
    for n, name in enumerate(("ann", "ann", "ben")):
        principal = Principal(id=name, topics={"board:x": ("subscribe",)})
        await topics.engine.subscribe(Socket(str(n)), principal, SubscribeArgs("board:x"))
    http = await back_end(topics)
    counted = (await http.get("/v1/topics/board:x/occupancy")).json()
    assert counted == {"topic": "board:x", "subscriptions": 3, "users": 2, "complete": True}


async def test_a_users_subscriptions_are_ended(topics: Site) -> None:
    """To one topic or to all, with 3500; not those of others, nor of a namesake in another tenant."""
    sockets = []
    for name, tenant in (("ann", "default"), ("ben", "default"), ("ann", "elsewhere")):
        socket = Socket(f"{name} of {tenant}")
        sockets.append(socket)
        for topic in ("board:x", "board:y", "board:z"):
            who = Principal(id=name, tenant=tenant, topics={"board:*": ("subscribe",)})
            await topics.engine.subscribe(socket, who, SubscribeArgs(topic))
    http = await back_end(topics)
    at = "/v1/users/ann/unsubscribe"
    assert (await http.post(at, json={"topic": "board:x"})).json() == {"subscriptions": 1}
    assert (await http.post(at, json={"topic": "board:x"})).json() == {"subscriptions": 0}
    assert (await http.post(at, json={})).json() == {"subscriptions": 2}
    ended = [(each["topic"], each["code"]) for each in sockets[0].ended]
    assert ended == [("board:x", 3500), ("board:y", 3500), ("board:z", 3500)]
    assert [socket.ended for socket in sockets[1:]] == [[], []]


async def test_names_are_percent_encoded(topics: Site) -> None:
    """A slash, a colon, a question mark in a name are part of it."""
    http = await back_end(topics)
    name = "board:a/b ? 50%:ü"
    path = f"/v1/topics/{quote(name, safe='')}"
    done = await http.post(f"{path}/publications", json={"key": "a", "data": 1})
    assert done.json()["topic"] == name
    assert (await http.get(path)).json()["topic"] == name


async def test_a_name_that_ends_like_a_path_is_a_name(topics: Site) -> None:
    """`board:a/publications` is not the log of `board:a`, and `board:a/occupancy` not its count."""
    http = await back_end(topics)
    for ending in ("publications", "occupancy"):
        path = f"/v1/topics/board:a%2f{ending}"
        for at in (path, f"{path}/publications", f"{path}/occupancy"):
            assert (await http.get(at)).json()["topic"] == f"board:a/{ending}"
    user = await http.post("/v1/users/x%2Funsubscribe/unsubscribe", json={})
    assert user.json() == {"subscriptions": 0}


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("no-kind", 404, "not_found"),
        ("board:", 404, "not_found"),
        (":x", 404, "not_found"),
        ("nothing:x", 404, "not_found"),
        ("board:" + "x" * 250, 404, "not_found"),
        ("board:" + "%C3%A4" * 125, 422, "invalid"),
        ("board:%01", 404, "not_found"),
    ],
)
async def test_what_no_topic_can_be_called_is_refused(
    topics: Site, name: str, status: int, code: str
) -> None:
    """At every door alike."""
    http = await back_end(topics)
    for path in ("", "/publications", "/occupancy"):
        problem(await http.get(f"/v1/topics/{name}{path}"), status, code)
    body = {"key": "a", "data": 1}
    problem(await http.post(f"/v1/topics/{name}/publications", json=body), status, code)


async def test_what_cannot_be_asked_is_refused_by_name(topics: Site) -> None:
    """Keys of what has none, pages without size, data above its limit, an owner without a socket."""
    http = await back_end(topics)
    for path, pointer in (
        ("/v1/topics/news:eu?after=a", "?after"),
        ("/v1/topics/board:x?limit=0", "?limit"),
        ("/v1/topics/board:x?limit=501", "?limit"),
        ("/v1/topics/board:x?page=2", "?page"),
        ("/v1/topics/news:eu/publications?after=-1", "?after"),
        ("/v1/topics/news:eu/publications?limit=1001", "?limit"),
    ):
        assert problem(await http.get(path), 422, "invalid")["errors"][0]["pointer"] == pointer
    at = "/v1/topics/board:x/publications"
    large = await http.post(at, json={"key": "a", "data": "x" * 65_536})
    assert problem(large, 413, "too_large")["limit"] == 65_536
    owned = await http.post(at, json={"key": "a", "owned": True})
    assert problem(owned, 422, "invalid")["errors"][0]["pointer"] == "/owned"
