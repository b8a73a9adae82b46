"""Who gets in: credentials, the local socket, and how often."""

import pytest

from clarion.settings import Limits
from tests.api.conftest import PASSWORD, Site, bearer, client, opened, problem


async def test_a_token_and_a_key_come_in_the_same_header(site: Site) -> None:
    """Both are `Authorization: Bearer`; the word's case does not matter."""
    body = {"recipients": [{"id": "ann"}], "title": "Hello"}
    for credential in (
        site.token("ann", "notifications:send"),
        await site.key("notifications:send"),
    ):
        for scheme in ("Bearer", "bearer"):
            answer = await site.http.post(
                "/v1/notifications", json=body, headers={"authorization": f"{scheme} {credential}"}
            )
            assert answer.status_code == 202


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "token",
        "Bearer a.b.c",
        "Bearer clk_x",
        "Bearer é",
        "Bearer a b",
    ],
)
async def test_a_bad_credential_is_401_with_a_challenge(site: Site, header: str) -> None:
    """Another scheme, nothing, and rubbish."""
    answer = await site.http.get("/v1/inbox", headers={"authorization": header.encode("latin-1")})
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


async def test_no_credential_is_401_without_an_error_code(site: Site) -> None:
    """RFC 6750 §3.1."""
    answer = await site.http.get("/v1/inbox")
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_two_credentials_are_none(site: Site) -> None:
    """Which of them is meant would be a guess."""
    token = site.token("ann")
    headers = [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
    problem(await site.http.get("/v1/inbox", headers=headers), 401, "unauthenticated")


async def test_an_expired_token_is_told_apart(site: Site) -> None:
    """`token_expired`: a client then refreshes and tries again."""
    token = site.token("ann")
    assert (await site.http.get("/v1/inbox", headers=bearer(token))).status_code == 200
    site.clock.advance(900)
    problem(await site.http.get("/v1/inbox", headers=bearer(token)), 401, "token_expired")


async def test_an_open_door_does_not_mind_an_old_token(site: Site) -> None:
    """Who has to log in again may still send what they had."""
    await site.http.post("/v1/auth/register", json={"username": "ann", "password": PASSWORD})
    body = {"username": "ann", "password": PASSWORD}
    answer = await site.http.post("/v1/auth/login", json=body, headers=bearer("rubbish"))
    assert answer.status_code == 200


async def test_a_caller_is_limited_wherever_they_come_from(tmp_path) -> None:
    """By who they are, not by their address; others go on; the answer names limit and time."""
    async with opened(tmp_path, limits=Limits(api_requests=3)) as site:
        ann, ben = bearer(site.token("ann")), bearer(site.token("ben"))
        for i in range(3):
            answer = await client(site.app, f"192.0.2.{i}").get("/v1/inbox", headers=ann)
            assert answer.headers["ratelimit"].startswith(f'"api_requests";r={2 - i};')
            assert answer.headers["ratelimit-policy"] == '"api_requests";q=3;w=60'
        refused = await client(site.app, "192.0.2.9").get("/v1/inbox", headers=ann)
        document = problem(refused, 429, "rate_limited")
        assert document["limit"] == "api_requests"
        assert document["retry_after"] == 20
        assert refused.headers["retry-after"] == "20"
        assert (await site.http.get("/v1/inbox", headers=ben)).status_code == 200
        site.clock.advance(20)
        assert (await site.http.get("/v1/inbox", headers=ann)).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "127.0.0.1"])
async def test_guessing_credentials_is_limited_by_address(tmp_path, address: str) -> None:
    """Loopback is not exempt; who has a good credential is not hurt by a guesser behind the same address."""
    async with opened(tmp_path, limits=Limits(api_requests=2)) as site:
        http = client(site.app, address)
        for _ in range(2):
            problem(await http.get("/v1/inbox", headers=bearer("guess")), 401, "unauthenticated")
        problem(await http.get("/v1/inbox", headers=bearer("guess")), 429, "rate_limited")
        problem(await http.get("/v1/inbox"), 429, "rate_limited")
        assert (await http.get("/v1/inbox", headers=bearer(site.token("ann")))).status_code == 200


async def test_logins_are_limited_by_account_and_address(site: Site) -> None:
    """Five tries a minute for one account from one address, right or wrong; another account and another address go on."""
    for name in ("ann", "ben"):
        await site.http.post("/v1/auth/register", json={"username": name, "password": PASSWORD})

    async def login(username: str, password: str = "wrong", address: str = "192.0.2.7") -> object:
        return await client(site.app, address).post(
            "/v1/auth/login", json={"username": username, "password": password}
        )

    for _ in range(5):
        problem(await login("ann"), 401, "unauthenticated")
    refused = problem(await login("ann", PASSWORD), 429, "rate_limited")
    assert refused["limit"] == "login_tries"
    assert (await login("ben", PASSWORD)).status_code == 200
    assert (await login("ann", PASSWORD, "192.0.2.8")).status_code == 200
    site.clock.advance(refused["retry_after"])
    assert (await login("ann", PASSWORD)).status_code == 200


async def test_the_local_socket_is_the_operator(tmp_path) -> None:
    """Every scope, no credential, no limit; what belongs to a person stays theirs."""
    async with opened(tmp_path, limits=Limits(api_requests=1, login_tries=1)) as site:
        for _ in range(3):
            answer = await site.operator.get("/v1/keys")
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
            answer = await site.operator.post(
                "/v1/auth/login", json={"username": "x", "password": "y"}
            )
            problem(answer, 401, "unauthenticated")
        problem(await site.operator.get("/v1/inbox"), 403, "forbidden")


async def test_a_caller_without_an_address_is_one_caller(tmp_path) -> None:
    """Where a server does not know its peer, all of them share one bucket rather than none."""
    async with opened(tmp_path, limits=Limits(api_requests=1)) as site:
        statuses = []

        async def send(message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        for _ in range(2):
            scope = {
                "type": "http",
                "method": "GET",
                "path": "/v1/inbox",
                "query_string": b"",
                "headers": [],
                "client": None,
            }
            await site.app(scope, receive, send)
        assert statuses == [401, 429]
