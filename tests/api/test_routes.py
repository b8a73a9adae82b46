"""The resources over HTTP, as the wire contract has them; what the services promise is tested beside them."""

from typing import Any

import pytest

from clarion.api import Readiness
from clarion.errors import OutcomeUnknown, StorageFull, Unavailable
from clarion.settings import Auth
from tests.api.conftest import PASSWORD, Site, bearer, opened, problem

MESSAGE = {
    "id",
    "seq",
    "notification_id",
    "title",
    "body",
    "data",
    "action_url",
    "created_at",
    "read_at",
    "archived_at",
    "seen_at",
}


# ── accounts ──
async def test_an_account_is_made_used_and_left(site: Site) -> None:
    """Register, who am I, refresh, log out: the tokens of a login that was left are refused."""
    new = {"username": "ann", "password": PASSWORD, "name": "Ann"}
    answer = await site.http.post("/v1/auth/register", json=new)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    login = answer.json()
    user = {"id": "ann", "name": "Ann", "scopes": [], "tenant": "default"}
    assert login["user"] == user
    assert (login["token_type"], login["expires_in"]) == ("Bearer", 900)
    me = await site.http.get("/v1/auth/me", headers=bearer(login["access_token"]))
    assert me.json() == user
    token = {"refresh_token": login["refresh_token"]}
    fresh = (await site.http.post("/v1/auth/refresh", json=token)).json()
    assert fresh["refresh_token"] != login["refresh_token"]
    assert (
        await site.http.post("/v1/auth/logout", json={"refresh_token": fresh["refresh_token"]})
    ).status_code == 204
    for access in (login["access_token"], fresh["access_token"]):
        problem(await site.http.get("/v1/auth/me", headers=bearer(access)), 401, "unauthenticated")


async def test_a_name_that_is_taken_is_a_conflict(site: Site) -> None:
    """By an account, or by a subscriber whose inbox a stranger would get."""
    new = {"username": "ann", "password": PASSWORD}
    await site.http.post("/v1/auth/register", json=new)
    problem(await site.http.post("/v1/auth/register", json=new), 409, "conflict")
    await site.notify("ben")
    problem(
        await site.http.post("/v1/auth/register", json={**new, "username": "ben"}), 409, "conflict"
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"username": "Ann", "password": PASSWORD}, "/username"),
        ({"username": "ann", "password": "short"}, "/password"),
        ({"username": "ann"}, "/password"),
        ({"username": "ann", "password": PASSWORD, "scopes": ["*"]}, "/scopes"),
        ({"username": "ann", "password": PASSWORD, "name": "a\0b"}, "/name"),
        ({"username": "ann", "password": PASSWORD, "tenant": "other"}, "/tenant"),
    ],
)
async def test_an_account_that_is_wrong_says_where(
    site: Site, body: dict[str, Any], pointer: str
) -> None:
    """Each field by its pointer; rights and tenant can't be asked for."""
    document = problem(await site.http.post("/v1/auth/register", json=body), 422, "invalid")
    assert [error["pointer"] for error in document["errors"]] == [pointer]


async def test_closed_and_foreign_registration_say_so(tmp_path) -> None:
    """403 where the operator makes accounts; 404 for every login where the application brings its own."""
    new = {"username": "ann", "password": PASSWORD}
    async with opened(tmp_path / "a", auth=Auth(registration=False)) as site:
        problem(await site.http.post("/v1/auth/register", json=new), 403, "forbidden")
    own = Auth(jwt_secret="x" * 32, issuer="app")
    async with opened(tmp_path / "b", auth=own) as site:
        for door, body in (
            ("register", new),
            ("login", new),
            ("refresh", {"refresh_token": "x"}),
            ("logout", {"refresh_token": "x"}),
        ):
            problem(await site.http.post(f"/v1/auth/{door}", json=body), 404, "not_found")


# ── notifications ──
async def test_a_notification_is_accepted_with_its_durability(site: Site) -> None:
    """202 with id, count, durability and time; the message is in the inbox when the answer is here."""
    body = {
        "recipients": [{"id": "ann", "name": "Ann"}],
        "title": "Build finished",
        "body": "All green.",
        "data": {"build": 17},
        "action_url": "/builds/17",
    }
    answer = await site.http.post(
        "/v1/notifications", json=body, headers=bearer(await site.key("notifications:send"))
    )
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted.keys() == {"id", "recipients", "skipped", "durability", "created_at"}
    assert (accepted["recipients"], accepted["skipped"]) == (1, 0)
    assert accepted["durability"] == "fsync"
    page = (await site.http.get("/v1/inbox", headers=bearer(site.token("ann")))).json()
    (message,) = page["items"]
    assert message.keys() == MESSAGE
    assert message["notification_id"] == accepted["id"]
    assert (message["title"], message["data"], message["read_at"]) == (
        "Build finished",
        {"build": 17},
        None,
    )


async def test_a_key_makes_a_call_safe_to_repeat(site: Site) -> None:
    """The same key and body: one effect, one answer; another body: 409."""
    headers = {**bearer(site.token("app", "notifications:send")), "idempotency-key": "build-17"}
    body = {"recipients": [{"id": "ann"}], "title": "Hello"}
    first = await site.http.post("/v1/notifications", json=body, headers=headers)
    again = await site.http.post("/v1/notifications", json=body, headers=headers)
    assert (first.status_code, first.json()) == (202, again.json())
    problem(
        await site.http.post("/v1/notifications", json={**body, "title": "Other"}, headers=headers),
        409,
        "idempotency_conflict",
    )
    page = (await site.http.get("/v1/inbox", headers=bearer(site.token("ann")))).json()
    assert len(page["items"]) == 1


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("k", 202),
        ("~" * 255, 202),
        ("k" * 256, 422),
        ("", 422),
        ("a b", 422),
        ("é", 422),
        ("a\tb", 422),
    ],
)
async def test_an_idempotency_key_is_short_printable_ascii(
    site: Site, key: str, status: int
) -> None:
    """1 to 255 characters; the header is named where it is wrong."""
    headers = {
        **bearer(site.token("app", "notifications:send")),
        "idempotency-key": key.encode("latin-1"),
    }
    body = {"recipients": [{"id": "ann"}], "title": "Hello"}
    answer = await site.http.post("/v1/notifications", json=body, headers=headers)
    assert answer.status_code == status
    if status == 422:
        assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == "idempotency-key"


async def test_an_unknown_recipient_is_pointed_at(site: Site) -> None:
    """By its place in the list."""
    body = {"recipients": [{"id": "ann"}, "nobody"], "title": "Hello"}
    answer = await site.http.post(
        "/v1/notifications", json=body, headers=bearer(site.token("app", "notifications:send"))
    )
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == "/recipients/1"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("busy"), 503, "unavailable"),
        (OutcomeUnknown(), 503, "outcome_unknown"),
        (StorageFull(), 507, "storage_full"),
    ],
)
async def test_a_store_in_trouble_is_said_by_name(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    """Not done, perhaps done, and no room: three different answers."""

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(site.store, "apply", fail)
    body = {"recipients": [{"id": "ann"}], "title": "Hello"}
    answer = await site.http.post(
        "/v1/notifications", json=body, headers=bearer(site.token("app", "notifications:send"))
    )
    document = problem(answer, status, code)
    assert document.get("outcome") == ("unknown" if code == "outcome_unknown" else None)
    assert ("retry-after" in answer.headers) == (status == 503)


# ── the inbox ──
async def test_an_inbox_is_read_in_pages(site: Site) -> None:
    """Newest first; `next` leads through all of them once, then is null."""
    for i in range(5):
        await site.notify("ann", title=f"message {i}")
    headers, titles, cursor = bearer(site.token("ann")), [], None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await site.http.get("/v1/inbox", params=params, headers=headers)).json()
        assert page["unread"] == 5
        assert page["position"].keys() == {"epoch", "offset", "mark"}
        titles += [item["title"] for item in page["items"]]
        cursor = page["next"]
    assert titles == [f"message {i}" for i in (4, 3, 2, 1, 0)]
    assert cursor is None


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("cursor=abc", "?cursor"),
        ("cursor=", "?cursor"),
        ("cursor=-1", "?cursor"),
        ("cursor=" + "9" * 16, "?cursor"),
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("limit=x", "?limit"),
        ("filter=none", "?filter"),
        ("filtre=all", "?filtre"),
        ("limit=1&limit=2", "?limit"),
    ],
)
async def test_a_bad_page_names_its_parameter(site: Site, query: str, pointer: str) -> None:
    """A cursor that no page has given, a limit out of range, and names that don't exist."""
    answer = await site.http.get(f"/v1/inbox?{query}", headers=bearer(site.token("ann")))
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer


async def test_an_inbox_that_has_not_changed_is_not_sent_again(site: Site) -> None:
    """304 until something happens in it; never from one user's cache to another."""
    await site.notify("ann")
    headers = bearer(site.token("ann"))
    first = await site.http.get("/v1/inbox", headers=headers)
    assert first.headers["vary"] == "authorization"
    assert first.headers["cache-control"] == "private, no-cache"
    asking = {**headers, "if-none-match": first.headers["etag"]}
    assert (await site.http.get("/v1/inbox", headers=asking)).status_code == 304
    await site.http.post("/v1/inbox/read", headers=headers)
    changed = await site.http.get("/v1/inbox", headers=asking)
    assert (changed.status_code, changed.json()["unread"]) == (200, 0)


async def test_a_message_is_read_put_away_and_brought_back(site: Site) -> None:
    """Each action answers with the message as it is then; filters follow."""
    await site.notify("ann")
    headers = bearer(site.token("ann"))
    id = (await site.http.get("/v1/inbox", headers=headers)).json()["items"][0]["id"]
    for action, is_read, is_archived in (
        ("read", True, False),
        ("unread", False, False),
        ("archive", False, True),
        ("unarchive", False, False),
    ):
        answer = await site.http.post(f"/v1/inbox/{id}/{action}", headers=headers)
        message = answer.json()
        assert message.keys() == MESSAGE
        assert (message["read_at"] is not None, message["archived_at"] is not None) == (
            is_read,
            is_archived,
        )
        filters = {
            "all": not is_archived,
            "unread": not is_archived and not is_read,
            "archived": is_archived,
        }
        for filter, is_there in filters.items():
            page = await site.http.get("/v1/inbox", params={"filter": filter}, headers=headers)
            assert (len(page.json()["items"]) == 1) is is_there


async def test_all_messages_are_read_and_put_away_at_once(site: Site) -> None:
    """The answer counts them; a second time there is nothing left."""
    headers = bearer(site.token("ann"))
    for _ in range(3):
        await site.notify("ann")
    assert (await site.http.post("/v1/inbox/read", headers=headers)).json() == {
        "changed": 3,
        "unread": 0,
        "unseen": 0,
    }
    assert (await site.http.post("/v1/inbox/read", headers=headers)).json() == {
        "changed": 0,
        "unread": 0,
        "unseen": 0,
    }
    assert (await site.http.post("/v1/inbox/archive", headers=headers)).json() == {
        "changed": 3,
        "unread": 0,
        "unseen": 0,
    }


@pytest.mark.parametrize(
    "path",
    [
        "/v1/inbox/x/read",
        "/v1/inbox/x/burn",
        "/v1/inbox/burn",
        "/v1/inbox/%00/read",
        "/v1/inbox/" + "x" * 65 + "/read",
        "/v1/nothing",
    ],
)
async def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    """Unknown messages, unknown actions, and ids that can't be."""
    problem(await site.http.post(path, headers=bearer(site.token("ann"))), 404, "not_found")


# ── keys ──
async def test_a_key_is_made_listed_and_revoked(site: Site) -> None:
    """Over the local socket, as the command line does; the secret is shown once."""
    operator = site.operator
    made = (
        await operator.post(
            "/v1/keys", json={"name": "my-backend", "scopes": ["notifications:send"]}
        )
    ).json()
    assert made.keys() == {"id", "name", "scopes", "created_at", "key"}
    listed = (await operator.get("/v1/keys")).json()["items"]
    assert [key["id"] for key in listed] == [made["id"]]
    assert made["key"] not in str(listed)
    assert (await operator.delete(f"/v1/keys/{made['id']}")).status_code == 204
    problem(await operator.delete(f"/v1/keys/{made['id']}"), 404, "not_found")
    body = {"recipients": [{"id": "ann"}], "title": "Hello"}
    problem(
        await site.http.post("/v1/notifications", json=body, headers=bearer(made["key"])),
        401,
        "unauthenticated",
    )


# ── health ──
async def test_a_probe_is_told_in_a_word(site: Site) -> None:
    """Alive as long as the loop answers; ready or not by the status; reasons are not for everybody."""
    alive = await site.http.get("/livez")
    assert (alive.status_code, alive.text) == (200, "ok\n")
    ready = await site.http.get("/readyz")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    site.readiness = Readiness(False, {"store": "disk at /srv/x is full"})
    unready = await site.http.get("/readyz", headers=bearer(site.token("ann")))
    assert (unready.status_code, unready.text) == (503, "not ready\n")
    assert unready.headers["retry-after"] == "1"


async def test_an_operator_is_told_the_reasons(site: Site) -> None:
    """By the local socket, or with the scope of monitoring."""
    site.readiness = Readiness(False, {"store": "no answer"})
    expected = {"ready": False, "reasons": {"store": "no answer"}}
    for answer in (
        await site.operator.get("/readyz"),
        await site.http.get("/readyz", headers=bearer(await site.key("metrics:read"))),
    ):
        assert (answer.status_code, answer.json()) == (503, expected)


async def test_metrics_are_prometheus_text(site: Site) -> None:
    """In the format that a scraper asks for."""
    answer = await site.operator.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE clarion_http_requests_total counter" in answer.text


async def test_another_application_is_mounted_as_it_is(tmp_path) -> None:
    """The Socket.IO endpoint keeps its own rules and its own CORS; ids and security headers surround it all the same."""
    page = "https://app.example"

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"access-control-allow-origin", page.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scope["method"].encode()})

    mounts = {"/socket.io/": endpoint}
    async with opened(tmp_path, mounts=mounts, allowed_origins=[page]) as site:
        for method in ("GET", "POST", "OPTIONS"):
            asking = {"origin": page, "access-control-request-method": "POST"}
            answer = await site.http.request(method, "/socket.io/", headers=asking)
            assert (answer.status_code, answer.text) == (200, method)
            assert answer.headers.get_list("access-control-allow-origin") == [page]
            assert answer.headers["x-request-id"]
        problem(await site.http.get("/socket.io"), 404, "not_found")
