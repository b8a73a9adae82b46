"""Rooms over HTTP: seen, and filled and emptied, by those whose they are."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import problem
from tests.api.live import NAMESPACE, Guest, Live, lively

QUERY = {"namespace": NAMESPACE}


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path) as live:
        yield live


def put(live: Live, guest: Guest, *rooms: str) -> None:
    live.app.io.of(NAMESPACE).sockets[guest.sid].join(*rooms)


def rooms_of(live: Live, guest: Guest) -> tuple[str, ...]:
    return live.app.io.of(NAMESPACE).sockets[guest.sid].rooms


async def test_rooms_are_listed_with_how_many_are_in_them(live: Live) -> None:
    """By name, without those that the server makes; empty once all have left."""
    http, ann, ben = await live.back_end(), await live.guest("ann"), await live.guest("ben")
    put(live, ann, "b", "a")
    put(live, ben, "b")
    page = (await http.get("/v1/rooms", params=QUERY)).json()
    assert page == {
        "items": [{"name": "a", "sockets": 1}, {"name": "b", "sockets": 2}],
        "next": None,
    }
    assert (await http.get("/v1/rooms")).json()["items"] == []  # of /clarion
    for each in (ann, ben):
        await http.delete(f"/v1/sockets/{each.sid}")
    assert (await http.get("/v1/rooms", params=QUERY)).json()["items"] == []


async def test_pages_of_rooms_and_of_sockets_make_up_the_whole_list(live: Live) -> None:
    """Each exactly once, in order, whatever a page's size."""
    http = await live.back_end()
    guests = [await live.guest("ann") for _ in range(5)]
    names = [f"room {n}" for n in range(5)]
    for guest in guests:
        put(live, guest, *names)
    for path, key, wanted in (
        ("/v1/rooms", "name", names),
        ("/v1/rooms/room 0/sockets", "id", sorted(guest.sid for guest in guests)),
        ("/v1/users/ann/sockets", "id", sorted(guest.sid for guest in guests)),
    ):
        for limit in (1, 2, 4, 5, 6):
            got: list[str] = []
            query: dict[str, Any] = {**QUERY, "limit": limit}
            while True:
                page = (await http.get(path, params=query)).json()
                got += [item[key] for item in page["items"]]
                if page["next"] is None:
                    break
                query["cursor"] = page["next"]
            assert got == wanted, (path, limit)


async def test_sockets_are_put_into_a_room_and_taken_out(live: Live) -> None:
    """By user and by id; who is meant twice counts once, who is gone not at all."""
    http = await live.back_end()
    ann, again, ben = [await live.guest(who) for who in ("ann", "ann", "ben")]
    body = {**QUERY, "users": ["ann", "nobody"], "sockets": [ben.sid, ann.sid, "gone"]}
    answer = await http.post("/v1/rooms/doc%2F17/join", json=body)
    assert (answer.status_code, answer.json()) == (200, {"sockets": 3})
    emitted = await http.post("/v1/rooms/doc%2F17/emit", json={**QUERY, "event": "x"})
    assert emitted.json()["sockets"] == 3
    items = (await http.get("/v1/rooms/doc%2F17/sockets", params=QUERY)).json()["items"]
    assert {item["id"] for item in items} == {ann.sid, again.sid, ben.sid}
    body = {**QUERY, "users": ["ann"]}
    assert (await http.post("/v1/rooms/doc%2F17/leave", json=body)).json() == {"sockets": 2}
    assert [len(rooms_of(live, each)) for each in (ann, again, ben)] == [2, 2, 3]
    assert "doc/17" in rooms_of(live, ben)


async def test_nobody_sees_or_changes_rooms_of_another_tenant(live: Live) -> None:
    """Neither by name nor by whom it names; a room that a handler filled with both shows each tenant its own."""
    ours, theirs = await live.guest("ann"), await live.guest("ann", "acme")
    put(live, ours, "lobby")
    put(live, theirs, "lobby", "acme|lobby", "acme|plans")
    for tenant, own, other in (("default", ours, theirs), ("acme", theirs, ours)):
        http = await live.back_end(tenant)
        rooms = (await http.get("/v1/rooms", params=QUERY)).json()["items"]
        assert {"name": "lobby", "sockets": 1} in rooms
        assert len(rooms) == 1 + (tenant == "acme")
        inside = (await http.get("/v1/rooms/lobby/sockets", params=QUERY)).json()["items"]
        assert [item["id"] for item in inside] == [own.sid]
        body = {**QUERY, "users": ["ann"], "sockets": [other.sid]}
        before = rooms_of(live, other)
        assert (await http.post("/v1/rooms/x/join", json=body)).json() == {"sockets": 1}
        assert (await http.post("/v1/rooms/lobby/leave", json=body)).json() == {"sockets": 1}
        assert rooms_of(live, other) == before
        for room in ("acme|lobby", "user:ann", "|"):
            for call in ("join", "leave"):
                problem(await http.post(f"/v1/rooms/{room}/{call}", json=body), 404, "not_found")
            problem(await http.get(f"/v1/rooms/{room}/sockets"), 404, "not_found")


async def test_a_name_that_no_room_can_have_is_refused(live: Live) -> None:
    """Too long, or with control characters."""
    http, ann = await live.back_end(), await live.guest("ann")
    body = {**QUERY, "sockets": [ann.sid]}
    for name, status in (("x" * 255, 200), ("x" * 256, 404), ("ж" * 128, 422), ("a%07", 404)):
        answer = await http.post(f"/v1/rooms/{name}/join", json=body)
        assert answer.status_code == status, (name, answer.text)
    gone = await http.get("/v1/rooms", params={"namespace": "/gone"})
    assert problem(gone, 404, "unknown_namespace")["errors"][0]["pointer"] == "?namespace"
