"""Sockets over HTTP: looked at, and put out, by those whose they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.conftest import problem
from tests.api.live import NAMESPACE, Live, lively


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with lively(tmp_path) as live:
        yield live


async def test_a_socket_is_shown_without_its_secrets(live: Live) -> None:
    """Whose it is, where, in which rooms; not its headers, and not its token."""
    http, ann = await live.back_end(), await live.guest("ann")
    live.app.io.of(NAMESPACE).sockets[ann.sid].join("lobby")
    shown = (await http.get(f"/v1/sockets/{ann.sid}")).json()
    assert shown.pop("opened_at") == "1970-01-01T00:00:00Z"  # as these tests open sessions
    assert shown == {
        "id": ann.sid,
        "namespace": NAMESPACE,
        "user": "ann",
        "rooms": ["lobby"],
        "transport": "websocket",
    }
    for other in (await live.guest(), await live.machine()):
        assert (await http.get(f"/v1/sockets/{other.sid}")).json()["user"] is None
    problem(await http.get("/v1/sockets/gone"), 404, "not_found")


async def test_a_socket_is_put_out(live: Live) -> None:
    """Its client is told DISCONNECT; with `close` its whole session ends; a second time there is nothing to put out."""
    http, ann, ben = await live.back_end(), await live.guest("ann"), await live.guest("ben")
    assert (await http.delete(f"/v1/sockets/{ann.sid}")).status_code == 204
    assert await ann.heard() == [f"41{NAMESPACE},"]
    assert ann._socket.transport.closed is None
    problem(await http.delete(f"/v1/sockets/{ann.sid}"), 404, "not_found")
    closing = await http.delete(f"/v1/sockets/{ben.sid}", params={"close": "true"})
    assert closing.status_code == 204
    assert await ben.heard() == [f"41{NAMESPACE},"]
    assert ben._socket.transport.closed is not None


async def test_a_user_is_put_out_everywhere(live: Live) -> None:
    """All sockets, of all namespaces or of one; nobody else's."""
    http = await live.back_end()
    one, two, ben = [await live.guest(who) for who in ("ann", "ann", "ben")]
    elsewhere = {"namespace": "/clarion"}
    answer = await http.delete("/v1/users/ann/sockets", params=elsewhere)
    assert answer.json() == {"sockets": 0}
    answer = await http.delete("/v1/users/ann/sockets")
    assert (answer.status_code, answer.json()) == (200, {"sockets": 2})
    assert await one.heard() == await two.heard() == [f"41{NAMESPACE},"]
    assert await ben.heard() == []
    assert (await http.get("/v1/users/ann/sockets")).json()["items"] == []


async def test_nobody_sees_or_puts_out_sockets_of_another_tenant(live: Live) -> None:
    """Of a user of the same id, or by the socket's id: as if it were not there."""
    ours, theirs = await live.guest("ann"), await live.guest("ann", "acme")
    for tenant, own, other in (("default", ours, theirs), ("acme", theirs, ours)):
        http = await live.back_end(tenant)
        problem(await http.get(f"/v1/sockets/{other.sid}"), 404, "not_found")
        problem(await http.delete(f"/v1/sockets/{other.sid}"), 404, "not_found")
        items = (await http.get("/v1/users/ann/sockets")).json()["items"]
        assert [item["id"] for item in items] == [own.sid]
        assert items[0]["rooms"] == []  # neither those of its user nor those of its tenant
    assert (await http.delete("/v1/users/ann/sockets")).json() == {"sockets": 1}
    assert await ours.heard() == []
    assert await theirs.heard() == [f"41{NAMESPACE},"]


async def test_an_unknown_parameter_or_namespace_is_refused(live: Live) -> None:
    """A typing mistake must not put everybody out."""
    http, ann = await live.back_end(), await live.guest("ann")
    for path in ("/v1/users/ann/sockets", f"/v1/sockets/{ann.sid}"):
        problem(await http.delete(path, params={"namepace": "/x"}), 422, "invalid")
        problem(await http.delete(path, params={"close": "maybe"}), 422, "invalid")
        unknown = await http.delete(path, params={"namespace": "/gone"})
        problem(unknown, 404, "unknown_namespace")
    assert await ann.heard() == []
