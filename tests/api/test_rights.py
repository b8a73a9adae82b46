"""Nobody reads or does what is not theirs: every door, tried as every kind of caller."""

import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from clarion.api.application import build_api
from clarion.api.layer import Api, Door
from clarion.auth import Principal, TokenIssuer, secret_key, system
from clarion.settings import Limits, Presence
from tests.api.conftest import AUDIENCE, SECRET, Site, bearer, client, opened

TABLE: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "rights.toml").read_text())
SCOPES = {
    "sender": "notifications:send",
    "manager": "keys:manage",
    "monitor": "metrics:read",
    "speaker": "realtime:emit",
    "watcher": "realtime:read",
    "bouncer": "realtime:manage",
    "reader": "topics:read",
    "publisher": "topics:publish",
    "usher": "topics:manage",
    "analyst": "dashboards:read",
    "designer": "dashboards:write",
    "finder": "search:read",
    "filler": "search:write",
    "seer": "presence:read",
    "introducer": "presence:write",
    "planner": "workflows:read",
    "witness": "events:write",
    "counter": "events:read",
    "author": "workflows:write",
    "signer": "webhooks:manage",
    "viewer": "captures:read",
    "cleaner": "captures:write",
    "tracer": "messages:read",
    "undertaker": "messages:write",
    "clerk": "subscribers:read",
    "registrar": "subscribers:write",
    "warden": "users:manage",
    "all": "*",
}
USERS = ["user", *(scope for scope in SCOPES if scope != "all"), "admin", "stranger"]
KNOWN = [*USERS, *(f"key.{scope}" for scope in SCOPES), "operator"]
UNKNOWN = [
    "anonymous",
    "malformed",
    "expired",
    "wrong audience",
    "wrong key",
    "logged out",
    "revoked key",
]


@dataclass
class Callers:
    """Everybody who may come, with what they bring."""

    site: Site
    api: Api
    credentials: dict[str, str]

    def of(self, caller: str) -> httpx.AsyncClient:
        if caller == "operator":
            return self.site.operator
        http = client(self.site.app)
        if caller != "anonymous":
            http.headers.update(bearer(self.credentials[caller]))
        return http

    async def state(self) -> list[Any]:
        """All that a forbidden call could have changed."""
        inbox = await self.site.inbox.page(Principal(id="ann"))
        ben = await self.site.inbox.page(Principal(id="ben"))
        return [inbox, ben, await self.site.keys.list(system("tests"))]


@pytest.fixture
async def callers(tmp_path: Path) -> AsyncIterator[Callers]:
    limits = Limits(api_requests=1_000_000, login_tries=1_000_000)
    # Of users the room is asked: this one is open, tests/api/test_presence.py has the others.
    async with opened(tmp_path, limits=limits, presence=Presence(open=["x"])) as site:
        yield Callers(site, build_api(site, Path("no-web")), await _credentials(site))


async def _credentials(site: Site) -> dict[str, str]:
    await site.notify("ann", "ben")
    out = {f"key.{name}": await site.key(scope) for name, scope in SCOPES.items()}
    out |= {name: site.token("ann", scope) for name, scope in SCOPES.items() if name != "all"}
    out["user"], out["admin"] = site.token("ann"), site.token("ann", "*")
    out["stranger"] = site.token("ann", tenant="elsewhere")
    out["malformed"] = "a.b.c"
    now_ms = site.clock.now_ms()
    out["expired"] = site.token("ann", "*", now_ms=now_ms - 901_000)
    for name, key, audience in (
        ("wrong audience", SECRET, "another"),
        ("wrong key", secret_key("somebody else's secret, 32 bytes and more"), AUDIENCE),
    ):
        issuer = TokenIssuer(key, audience=audience, life_s=900)
        out[name] = issuer.issue(
            "ann", token_id="t", family="f", now_ms=now_ms, tenant="default", scopes=["*"]
        )
    body = {"username": "gone", "password": "correct horse battery"}
    login = (await site.http.post("/v1/auth/register", json=body)).json()
    await site.http.post("/v1/auth/logout", json={"refresh_token": login["refresh_token"]})
    out["logged out"] = login["access_token"]
    key = await site.keys.create(system("tests"), "revoked", ["*"])
    await site.keys.revoke(system("tests"), key.id)
    out["revoked key"] = key.key
    return out


def _allows(row: list[str], caller: str) -> bool:
    return "anybody" in row or caller in row or ("user" in row and caller in USERS)


def _path(door: Door) -> str:
    # Of users these are about themselves: of others, tests/api/test_presence.py.
    is_own = door.template.endswith(("/visibility", "/contacts"))
    path = (
        door.template.replace("{id}", "ann" if is_own else "x")
        .replace("{workflow}", "x")
        .replace("{audience}", "x")
        .replace("{address}", "0" * 64)
        .replace("{room}", "x")
        .replace("{topic}", "x")
        .replace("{collection}", "x")
        .replace("{stream}", "x" * 247)
        .replace("{widget}", "x")
        .replace("{device}", "x")
        .replace("{name}", "x")
    )
    return path.replace("{action}", "read").replace("{code}", "invalid")


async def test_every_door_has_a_row(callers: Callers) -> None:
    """The walk of the routes and the table are the same list: a new door cannot be forgotten."""
    assert [door.name for door in callers.api.doors if door.name not in TABLE] == []
    assert set(TABLE) == {door.name for door in callers.api.doors}


@pytest.mark.parametrize("caller", KNOWN + UNKNOWN)
async def test_each_caller_gets_in_where_the_table_says(callers: Callers, caller: str) -> None:
    """Who is listed passes the guard; of others exactly 401 (nobody known) or 403 (known), and nothing has changed."""
    http, before = callers.of(caller), await callers.state()
    for door in callers.api.doors:
        is_allowed = _allows(TABLE[door.name], caller)
        # An allowed call goes without its body: it passes the guard, and changes nothing either.
        body = None if is_allowed or door.example is None else msgspec.json.encode(door.example)
        kind = {"content-type": "application/json"}
        answer = await http.request(door.method, _path(door), content=body, headers=kind)
        if is_allowed:
            assert answer.status_code not in {401, 403, 500}, (door.name, answer.text)
            continue
        assert answer.status_code == (403 if caller in KNOWN else 401), (door.name, answer.text)
        assert "ann" not in answer.text
    if caller not in USERS:  # a user reads all of their own: the doors were tried on it
        assert await callers.state() == before


@pytest.mark.parametrize("caller", ["stranger", "other user"])
async def test_what_is_somebody_elses_is_as_if_it_were_not_there(
    callers: Callers, caller: str
) -> None:
    """A message of another user, or of a namesake in another tenant: 404 as for an unknown one, word for word, and no change."""
    site = callers.site
    callers.credentials["other user"] = site.token("eve")
    http, before = callers.of(caller), await callers.state()
    message = (await site.inbox.page(Principal(id="ann"))).items[0].id
    for action in ("read", "unread", "archive", "unarchive"):
        foreign = await http.post(f"/v1/inbox/{message}/{action}")
        missing = await http.post(f"/v1/inbox/{'0' * len(message)}/{action}")
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json() == missing.json()
    assert (await http.get("/v1/inbox")).json()["items"] == []
    for action in ("read", "archive"):
        assert (await http.post(f"/v1/inbox/{action}")).json() == {
            "changed": 0,
            "unread": 0,
            "unseen": 0,
        }
    assert await callers.state() == before


async def test_keys_of_another_tenant_are_not_there(callers: Callers) -> None:
    """An administrator of one tenant neither sees nor ends keys of another."""
    site = callers.site
    http = client(site.app)
    http.headers.update(bearer(site.token("boss", "*", tenant="elsewhere")))
    assert (await http.get("/v1/keys")).json() == {"items": []}
    before = await callers.state()
    for key in await site.keys.list(system("tests")):
        assert (await http.delete(f"/v1/keys/{key.id}")).status_code == 404
    assert await callers.state() == before


async def test_a_key_can_do_nothing_that_its_maker_may_not(callers: Callers) -> None:
    """Who may only manage keys can't make one that sends."""
    body = {"name": "more", "scopes": ["notifications:send"]}
    answer = await callers.of("key.manager").post("/v1/keys", json=body)
    assert answer.status_code == 403
    assert answer.json()["scope"] == "notifications:send"
