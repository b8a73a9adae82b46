"""Blocking over HTTP: sockets and calls of a user end at once and come back no more, until they may."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.conftest import Site, bearer, client, problem
from tests.api.live import NAMESPACE, Live, lively
from tests.support.memory_transport import MemoryClient


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path) as live:
        yield live


async def test_a_blocked_user_is_put_out_everywhere_and_stays_out(live: Live) -> None:
    """Open sockets are told DISCONNECT, new ones and calls get `blocked`; ben notices nothing."""
    http = await live.back_end(scopes=["users:manage"])
    one, two, ben = [await live.guest(who) for who in ("ann", "ann", "ben")]
    token = live.token("ann")
    blocked = await http.put("/v1/users/ann/block", json={"reason": "spam"})
    assert blocked.status_code == 200
    assert await one.heard() == await two.heard() == [f"41{NAMESPACE},"]
    assert await ben.heard() == []

    socket = MemoryClient(live.app.io)
    await socket.hear()
    socket.say(f"40{NAMESPACE},{json.dumps({'token': token})}")
    [refused] = await socket.hear()
    assert refused.startswith(f"44{NAMESPACE},")
    data = json.loads(refused.removeprefix(f"44{NAMESPACE},"))["data"]
    assert (data["code"], data["until"]) == ("blocked", None)

    page = client(live.app.asgi)
    page.headers.update(bearer(token))
    assert problem(await page.get("/v1/inbox"), 403, "blocked")["until"] is None
    assert (await http.get("/v1/users/ann/block")).json() == blocked.json()

    for _ in range(2):
        assert (await http.delete("/v1/users/ann/block")).status_code == 204
    assert (await page.get("/v1/inbox")).status_code == 200
    await live.guest("ann")
    problem(await http.get("/v1/users/ann/block"), 404, "not_found")


async def test_the_time_of_a_block_is_told(site: Site) -> None:
    """`until` is in the answer and in each refusal."""
    http, ann = client(site.app), client(site.app)
    http.headers.update(bearer(await site.key("users:manage")))
    ann.headers.update(bearer(site.token("ann")))
    answer = await http.put("/v1/users/ann/block", json={"for_s": 90})
    until = answer.json()["until"].replace("Z", "+00:00")
    assert problem(await ann.get("/v1/inbox"), 403, "blocked")["until"] == until
    site.clock.advance(91)
    assert (await ann.get("/v1/inbox")).status_code == 200


async def test_a_blocked_caller_is_limited_by_address(site: Site) -> None:
    """Refusals count like wrong credentials: somebody who is kept out cannot hammer the door."""
    http, ann = client(site.app), client(site.app)
    http.headers.update(bearer(await site.key("users:manage")))
    await http.put("/v1/users/ann/block", json={})
    ann.headers.update(bearer(site.token("ann")))
    first, second = [(await ann.get("/v1/inbox")).headers["ratelimit"] for _ in range(2)]
    assert int(first.split("r=")[1].split(";")[0]) == 1 + int(second.split("r=")[1].split(";")[0])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"for_s": 0}, "/for_s"),
        ({"for_s": -1}, "/for_s"),
        ({"for_s": 1e12}, "/for_s"),
        ({"for_s": "long"}, "/for_s"),
        ({"reason": "x" * 256}, "/reason"),
        ({"until": "2030-01-01"}, "/until"),
    ],
)
async def test_what_is_no_block_is_refused(site: Site, body: object, pointer: str) -> None:
    """With its place; nobody is blocked."""
    http = client(site.app)
    http.headers.update(bearer(await site.key("users:manage")))
    answer = await http.put("/v1/users/ann/block", json=body)
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer
    problem(await http.get("/v1/users/ann/block"), 404, "not_found")
