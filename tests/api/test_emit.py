"""Events over HTTP: whom they reach, whom they never reach, what is refused."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import problem
from tests.api.live import NAMESPACE, Live, lively


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path, event_name_bytes=40, egress_soft_bytes=64) as live:
        yield live


def event(name: str = "news", *args: Any, **more: Any) -> dict[str, Any]:
    return {"event": name, "args": list(args), "namespace": NAMESPACE, **more}


async def test_a_user_gets_an_event_on_all_sockets(live: Live) -> None:
    """And nobody else does; the answer says to how many it went, and that nothing is kept."""
    first, second, ben = await live.guest("ann"), await live.guest("ann"), await live.guest("ben")
    http = await live.back_end()
    answer = await http.post("/v1/users/ann/emit", json=event("news", {"n": 1}, None, "x"))
    assert answer.status_code == 202
    assert answer.json() == {"sockets": 2, "durability": "ephemeral"}
    assert await first.heard() == await second.heard() == [["news", {"n": 1}, None, "x"]]
    assert await ben.heard() == []
    gone = await http.post("/v1/users/nobody/emit", json=event())
    assert gone.json()["sockets"] == 0


async def test_a_room_gets_an_event_whatever_its_name(live: Live) -> None:
    """Slashes, percent signs, dots and letters of any script are part of the name."""
    http, guest = await live.back_end(), await live.guest("ann")
    await live.guest("ben")
    names = {"doc/17": "doc%2F17", "a/emit": "a%2Femit", "50%": "50%25", "ж": "%D0%B6"}
    for name, path in names.items():
        live.app.io.of(NAMESPACE).sockets[guest.sid].join(name)
        answer = await http.post(f"/v1/rooms/{path}/emit", json=event("news", name))
        assert answer.json()["sockets"] == 1, name
        assert await guest.heard() == [["news", name]]


async def test_one_socket_gets_an_event_by_its_id(live: Live) -> None:
    """Also as the room of its id; an id that is gone is 404."""
    http, one, two = await live.back_end(), await live.guest("ann"), await live.guest("ann")
    body = {"event": "turn"}
    assert (await http.post(f"/v1/sockets/{one.sid}/emit", json=body)).json()["sockets"] == 1
    by_room = await http.post(f"/v1/rooms/{one.sid}/emit", json=event("turn"))
    assert by_room.json()["sockets"] == 1
    assert await one.heard() == [["turn"], ["turn"]]
    assert await two.heard() == []
    problem(await http.post("/v1/sockets/gone/emit", json=body), 404, "not_found")


async def test_a_broadcast_leaves_out_whom_it_names(live: Live) -> None:
    """Rooms, ids of sockets, and users."""
    http = await live.back_end()
    ann, ben, eve, nobody = [await live.guest(who) for who in ("ann", "ben", "eve", None)]
    live.app.io.of(NAMESPACE).sockets[ben.sid].join("bored")
    body = event("all", **{"except": ["bored", eve.sid, "user:ann"]})
    assert (await http.post("/v1/broadcast", json=body)).json()["sockets"] == 1
    assert [await each.heard() for each in (ann, ben, eve, nobody)] == [[], [], [], [["all"]]]
    assert (await http.post("/v1/broadcast", json=event("all"))).json()["sockets"] == 4


async def test_a_volatile_event_is_dropped_for_who_is_behind(live: Live) -> None:
    """And the answer does not count it."""
    http, slow = await live.back_end(), await live.guest("ann")
    transport = slow._socket.transport
    transport.is_writable = False
    slow._socket.session.full(transport)
    await http.post("/v1/broadcast", json=event("much", "x" * 100))
    dropped = await http.post("/v1/broadcast", json=event("little", volatile=True))
    assert dropped.json()["sockets"] == 0


async def test_the_home_namespace_is_meant_where_none_is_named(live: Live) -> None:
    """As `io.broadcast` does."""
    http, guest = await live.back_end(), await live.guest("ann")
    assert (await http.post("/v1/broadcast", json={"event": "x"})).json()["sockets"] == 0
    assert await guest.heard() == []


async def test_tenants_never_reach_each_other(live: Live) -> None:
    """Each door, from both sides: users of one id, rooms of one name, broadcasts, ids of sockets; also rooms that handlers mixed."""
    ours, theirs, nobody = (
        await live.guest("ann"),
        await live.guest("ann", "acme"),
        await live.guest(),
    )
    sockets = live.app.io.of(NAMESPACE).sockets
    for each in (ours, theirs):  # an application that knows no tenants puts all into one room
        sockets[each.sid].join("lobby")
    sockets[theirs.sid].join("acme|lobby")
    for tenant, own, other in (("default", ours, theirs), ("acme", theirs, ours)):
        http = await live.back_end(tenant)
        for path in ("users/ann/emit", "rooms/lobby/emit", "broadcast", f"sockets/{own.sid}/emit"):
            count = (await http.post(f"/v1/{path}", json=event(path))).json()["sockets"]
            assert count == 1 + (tenant == "default" and path == "broadcast"), (tenant, path)
            assert await own.heard() == [[path]]
            assert await other.heard() == []
        foreign = await http.post(f"/v1/sockets/{other.sid}/emit", json=event())
        problem(foreign, 404, "not_found")
        by_room = await http.post(f"/v1/rooms/{other.sid}/emit", json=event())
        assert by_room.json()["sockets"] == 0
        for room in ("acme|lobby", "user:ann", "|", "acme|", "acme|user:ann"):
            problem(await http.post(f"/v1/rooms/{room}/emit", json=event()), 404, "not_found")
        assert await other.heard() == await own.heard() == []
    assert await nobody.heard() == [["broadcast"]]  # who has no credential is the default tenant's


async def test_a_tenant_leaves_out_its_own(live: Live) -> None:
    """`except` names rooms as the tenant calls them, and ids of sockets."""
    ann, ben, eve = [await live.guest(who, "acme") for who in ("ann", "ben", "eve")]
    live.app.io.of(NAMESPACE).sockets[eve.sid].join("acme|bored")
    http = await live.back_end("acme")
    body = event("all", **{"except": ["user:ann", "bored"]})
    assert (await http.post("/v1/broadcast", json=body)).json()["sockets"] == 1
    assert [await each.heard() for each in (ann, ben, eve)] == [[], [["all"]], []]
    body = event("all", **{"except": [ben.sid, ann.sid]})
    assert (await http.post("/v1/broadcast", json=body)).json()["sockets"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (event("disconnect"), 422, "invalid", "/event"),
        (event("newListener"), 422, "invalid", "/event"),
        (event("a\nb"), 422, "invalid", "/event"),
        (event(""), 422, "invalid", "/event"),
        (event("ж" * 21), 422, "invalid", "/event"),
        ({"args": []}, 422, "invalid", "/event"),
        (event() | {"args": {}}, 422, "invalid", "/args"),
        (event("a", 2**53), 422, "invalid", "/args/0"),
        (event("a", ["\ud800"]), 422, "invalid", "/args/0/0"),
        (event() | {"namespace": "/gone"}, 404, "unknown_namespace", "/namespace"),
        (event() | {"namespace": "chat"}, 422, "invalid", "/namespace"),
        (event() | {"except": ["a", 1]}, 422, "invalid", "/except/1"),
        (event() | {"except": ["a"] * 101}, 422, "invalid", "/except"),
        (event() | {"volatile": 1}, 422, "invalid", "/volatile"),
        (event() | {"rooms": []}, 422, "invalid", "/rooms"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_its_place(
    live: Live, body: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    """At every door alike, and nobody gets anything."""
    http, guest = await live.back_end(), await live.guest("ann")
    for path in ("users/ann/emit", "rooms/x/emit", "broadcast", f"sockets/{guest.sid}/emit"):
        answer = await http.post(
            f"/v1/{path}",
            content=json.dumps(body),
            headers={"content-type": "application/json"},
        )
        assert problem(answer, status, code)["errors"][0]["pointer"] == pointer
    assert await guest.heard() == []


async def test_an_event_is_as_large_as_a_body_may_be(live: Live) -> None:
    """Beyond it 413; the deepest body that is taken can be sent, too."""
    http, guest = await live.back_end(), await live.guest("ann")
    most = live.app.settings.limits.body_bytes
    problem(await http.post("/v1/broadcast", json=event("x", "y" * most)), 413, "too_large")
    deep: Any = 1
    for _ in range(22):
        deep = [deep]
    assert (await http.post("/v1/broadcast", json=event("x", deep))).json()["sockets"] == 1
    assert await guest.heard() == [["x", deep]]
    problem(await http.post("/v1/broadcast", json=event("x", [deep])), 400, "malformed")
