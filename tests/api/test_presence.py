"""Who is in a room, over HTTP: by those who may, in their tenant, page by page."""

import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

from clarion.auth import Principal
from clarion.settings import Presence
from clarion.telemetry import spawn
from clarion.topics import Call, Publish
from clarion.topics.kinds import Topic
from tests.api.conftest import AUDIENCE, SECRET, Site, bearer, opened, problem
from tests.topics.fakes import Socket


def token(site: Site, *rooms: str, tenant: str = "default") -> dict[str, str]:
    topics = {f"presence:{room}": ["subscribe"] for room in rooms}
    ends = site.clock.now_ms() // 1000 + 900
    claims = {"iss": "clarion", "aud": AUDIENCE, "sub": "eve", "tenant": tenant, "exp": ends}
    return bearer(jwt.encode({**claims, "topics": topics}, SECRET.material, SECRET.algorithm))


async def enter(site: Site, user: str, room: str, tenant: str = "default", **said: Any) -> None:
    """Somebody is there, by a socket that this test makes up."""
    rooms = site.presence.rooms
    who = Principal(id=user, tenant=tenant)
    socket = Socket(f"{tenant}-{user}")
    site.presence.connected(socket, who)
    call = Call(Topic(tenant, "presence", room), who, socket)
    publish = site.topics.take(rooms.kind, call, Publish(event="enter", data=said))
    done = spawn(publish, name="tests: enter")
    while not done.done():  # it is written by the tick
        await site.presence.tick()
        await asyncio.wait([done], timeout=0.001)
    await done


async def test_a_room_is_read_page_by_page(site: Site) -> None:
    """Users in the order of their ids, with what is published of them, their number, and the position to subscribe from."""
    for user in ("cleo", "ann", "ben"):
        await enter(site, user, "lobby", device="phone")
    await enter(site, "dan", "lobby", tenant="acme")
    headers = bearer(await site.key("topics:read"))
    page = (await site.http.get("/v1/presence/lobby?limit=2", headers=headers)).json()
    assert (page["room"], page["users"], page["offset"], page["next"]) == ("lobby", 3, 3, "ben")
    assert [item["user"] for item in page["items"]] == ["ann", "ben"]
    presence = page["items"][0]["presence"]
    assert (presence["status"], [*presence["devices"].values()]) == (
        "online",
        [{"status": "online", "device": "phone"}],
    )
    rest = await site.http.get("/v1/presence/lobby?limit=2&after=ben", headers=headers)
    assert [item["user"] for item in rest.json()["items"]] == ["cleo"]
    assert "next" not in rest.json()
    nobody = (await site.http.get("/v1/presence/empty", headers=headers)).json()
    assert (nobody["users"], nobody["items"], nobody["offset"]) == (0, [], 0)


async def test_the_status_of_many_users_is_one_call(site: Site) -> None:
    """In the order that was asked for: who is connected, on what, since when; who was never here is offline."""
    site.presence.connected(Socket("s1"), Principal(id="ann"))
    site.presence.connected(Socket("s2"), Principal(id="ann", tenant="acme"))
    await site.presence.tick()
    headers = bearer(await site.key("presence:read"))
    body = {"users": ["ben", "ann"]}
    answer = await site.http.post("/v1/presence/status", json=body, headers=headers)
    nothing = {"data": None, "text": None, "text_until": None}
    never = {"connected_since": None, "last_active": None, "last_seen": None}
    ann = answer.json()["items"][1]
    assert (
        answer.json()["items"][0]
        == {"user": "ben", "status": "offline", "devices": []} | nothing | never
    )
    assert ann.pop("connected_since") == ann.pop("last_active") == ann.pop("last_seen")
    assert (
        ann
        == {"user": "ann", "status": "online", "devices": [{"status": "online", "device": ""}]}
        | nothing
    )
    theirs = await site.http.post("/v1/presence/status", json=body, headers=token(site))
    assert theirs.json()["items"][1]["status"] == "online"


@pytest.mark.parametrize(
    "body",
    [{}, {"users": []}, {"users": ["x"] * 1_001}, {"users": [""]}, {"users": ["a\nb"]}, {"users": ["x" * 256]}, {"users": [5]}, {"users": ["a"], "more": 1}],
)  # fmt: skip
async def test_a_question_that_is_none_is_refused(site: Site, body: Any) -> None:
    headers = bearer(await site.key("presence:read"))
    answer = await site.http.post("/v1/presence/status", json=body, headers=headers)
    problem(answer, 422, "invalid")


async def test_users_choose_who_sees_them_and_whom_they_know(site: Site) -> None:
    """Each for themself, a back end for everybody; an invisible user is offline for all but themself, and for who asks regardless."""
    site.presence.connected(Socket("s1"), Principal(id="ann"))
    site.presence.connected(Socket("s2"), Principal(id="eve"))
    await site.presence.tick()
    writer = bearer(await site.key("presence:write"))
    reader = bearer(await site.key("presence:read"))
    eve = token(site)
    visible = "/v1/users/ann/visibility"

    async def seen(headers: dict[str, str], **more: Any) -> list[str]:
        body = {"users": ["ann", "eve"], **more}
        answer = await site.http.post("/v1/presence/status", json=body, headers=headers)
        return [item["status"] for item in answer.json()["items"]]

    assert (await site.http.get(visible, headers=writer)).json() == {"visibility": "everyone"}
    for choice, others, contact in (
        ("nobody", "offline", "offline"),
        ("contacts", "offline", "offline"),
        ("everyone", "online", "online"),
    ):
        done = await site.http.put(visible, json={"visibility": choice}, headers=writer)
        assert done.json() == {"visibility": choice}
        assert await seen(eve) == [contact, "online"]
        assert await seen(reader) == [others, "online"]
        assert await seen(reader, viewer="ann") == ["online", "online"]
        assert await seen(reader, regardless=True) == ["online", "online"]
    await site.http.put(visible, json={"visibility": "contacts"}, headers=writer)
    # Whom eve knows is eve's affair; whom ann knows sees ann.
    mine = await site.http.post("/v1/users/eve/contacts", json={"add": ["ann"]}, headers=eve)
    assert mine.json() == {"contacts": 1}
    assert await seen(eve) == ["offline", "online"]
    theirs = {"add": ["eve", "ben", "cleo"], "remove": ["dan"]}
    known = await site.http.post("/v1/users/ann/contacts", json=theirs, headers=writer)
    assert known.json() == {"contacts": 3}
    assert await seen(eve) == ["online", "online"]
    page = (await site.http.get("/v1/users/ann/contacts?limit=2", headers=writer)).json()
    assert page == {"items": ["ben", "cleo"], "next": "cleo"}
    page = (await site.http.get("/v1/users/ann/contacts?after=cleo", headers=writer)).json()
    assert page == {"items": ["eve"]}
    await site.http.post("/v1/users/ann/contacts", json={"remove": ["eve"]}, headers=writer)
    assert await seen(eve) == ["offline", "online"]
    for who in (reader, eve):
        for answer in (
            await site.http.get(visible, headers=who),
            await site.http.put(visible, json={"visibility": "nobody"}, headers=who),
            await site.http.get("/v1/users/ann/contacts", headers=who),
            await site.http.post("/v1/users/ann/contacts", json={"add": ["x"]}, headers=who),
        ):
            problem(answer, 403, "forbidden")
    for more in ({"viewer": "ann"}, {"regardless": True}):
        asked = {"users": ["ann"], **more}
        answer = await site.http.post("/v1/presence/status", json=asked, headers=eve)
        problem(answer, 403, "forbidden")
    acme = token(site, tenant="acme")
    assert (await site.http.get("/v1/users/eve/contacts", headers=acme)).json() == {"items": []}
    bad: Any
    for bad in ({"add": ["x"] * 1_001}, {"add": [""]}, {"add": ["a\nb"]}, {"more": 1}, {}):
        answer = await site.http.post("/v1/users/eve/contacts", json=bad, headers=eve)
        problem(answer, 422, "invalid")
    bad = {"visibility": "friends"}
    answer = await site.http.put("/v1/users/eve/visibility", json=bad, headers=eve)
    problem(answer, 422, "invalid")


async def test_contacts_are_bounded(tmp_path: Path) -> None:
    """`presence.contacts`: more are refused, and nothing of the call is done."""
    async with opened(tmp_path, presence=Presence(contacts=2)) as site:
        for names, status in ((["a", "b"], 200), (["b", "c"], 429), (["a"], 200)):
            answer = await site.http.post(
                "/v1/users/eve/contacts", json={"add": names}, headers=token(site)
            )
            assert answer.status_code == status
        assert problem(
            await site.http.post("/v1/users/eve/contacts", json={"add": ["c"]}, headers=token(site)),
            429, "too_many",
        )["limit"] == 2  # fmt: skip
        page = await site.http.get("/v1/users/eve/contacts", headers=token(site))
        assert page.json() == {"items": ["a", "b"]}


async def test_users_see_the_rooms_that_their_token_names(site: Site) -> None:
    await enter(site, "ann", "a/b")
    seen = await site.http.get("/v1/presence/a%2Fb", headers=token(site, "a/b"))
    assert seen.json()["users"] == 1
    other = await site.http.get("/v1/presence/lobby", headers=token(site, "a/b"))
    problem(other, 403, "forbidden")
    elsewhere = await site.http.get("/v1/presence/a%2Fb", headers=token(site, "a/b", tenant="acme"))
    assert elsewhere.json()["users"] == 0


async def test_what_is_no_room_is_refused(site: Site) -> None:
    headers = bearer(await site.key("topics:*"))
    for room in ("x" * 247, "%C3%A9" * 130, "%00"):
        problem(await site.http.get(f"/v1/presence/{room}", headers=headers), 404, "not_found")
    many = await site.http.get("/v1/presence/a?limit=501", headers=headers)
    problem(many, 422, "invalid")
    body = {"event": "enter", "data": {}}
    over_http = await site.http.post(
        "/v1/topics/presence:a/publications", json=body, headers=headers
    )
    problem(over_http, 422, "invalid")


async def test_rooms_can_be_open_to_everybody_signed_in(tmp_path: Path) -> None:
    """`presence.open` names them; other rooms stay shut."""
    async with opened(tmp_path, presence=Presence(open=["lobby", "page:*"])) as site:
        headers = token(site)
        for room, status in (("lobby", 200), ("page:x", 200), ("lobby2", 403), ("page:x:y", 403)):
            answer = await site.http.get(f"/v1/presence/{room}", headers=headers)
            assert answer.status_code == status


@pytest.mark.parametrize("kind", ["presence-count", "presence-changes"])
async def test_nobody_but_the_room_says_how_many_are_there(site: Site, kind: str) -> None:
    """A back end that may publish anywhere is refused, and the room is as it was."""
    headers = bearer(await site.key("topics:*"))
    body = {"event": "set", "key": "users", "data": 99}
    at = f"/v1/topics/{kind}:lobby"
    answer = await site.http.post(f"{at}/publications", json=body, headers=headers)
    assert answer.status_code == 403
    assert "99" not in (await site.http.get(at, headers=headers)).text
