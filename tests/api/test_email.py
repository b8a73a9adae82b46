"""The doors of email: providers with their secret, readers with the tokens of their emails, back ends with suppressions."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from clarion.client import ApiError, AsyncClient
from clarion.notifications.channels.email.tracking import PIXEL, Seen, Tokens
from clarion.settings import Email
from tests.api.conftest import Site, bearer, client, opened, problem

MESSAGE = "0199c3a1-2b7e-7c10-9a55-5d1f0c6a7e21.2.0"
TOKENS = Tokens(b"of tests")


@pytest.fixture
async def http(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client(site.app) as http:
        yield http


async def test_a_link_leads_where_the_email_said(http: httpx.AsyncClient) -> None:
    """And nowhere else: what was not signed here is no link of ours."""
    token = TOKENS.make(Seen("click", "default", MESSAGE, "https://x.example/%20?a=日\r\nX: y"))
    found = await http.get(f"/v1/email/clicks/{token}")
    assert found.status_code == 302
    assert found.headers["location"] == "https://x.example/%20?a=%E6%97%A5%0D%0AX:%20y"
    assert found.headers["referrer-policy"] == "no-referrer"
    for other in (token[:-2] + "AA", "x", TOKENS.make(Seen("open", "default", MESSAGE))):
        problem(await http.get(f"/v1/email/clicks/{other}"), 404, "not_found")


async def test_the_picture_is_always_shown(http: httpx.AsyncClient) -> None:
    """Whoever asks for it, with whatever token."""
    for token in (TOKENS.make(Seen("open", "default", MESSAGE)), "x"):
        found = await http.get(f"/v1/email/opens/{token}")
        assert (found.content, found.headers["content-type"]) == (PIXEL, "image/gif")
        assert found.headers["cache-control"] == "no-store"


async def test_providers_come_with_their_secret(tmp_path: Path) -> None:
    """As bearer token, or as the password of a URL, when they are asked for it; one that is not listed is not there."""
    secret = "a secret of 24 letters"
    async with opened(tmp_path, email=Email(hooks=[f"sendgrid:{secret}"])) as site:
        at, events = "/v1/hooks/email/sendgrid", [{"event": "delivered", "smtp-id": "<x@y>"}]
        for way in ({"auth": ("any", secret)}, {"headers": bearer(secret)}):
            said = await site.http.post(at, json=events, **way)
            assert said.json() == {"told": 0, "unknown": 1}
        asked = await site.http.post(at, json=events)
        problem(asked, 401, "unauthenticated")
        assert asked.headers["www-authenticate"].startswith("Basic ")
        problem(await site.http.post("/v1/hooks/email/ses", json={}), 404, "not_found")


@pytest.mark.parametrize("media", ["application/json", "text/plain; charset=UTF-8"])
async def test_what_providers_post_is_read_as_it_comes(tmp_path: Path, media: str) -> None:
    """Amazon SNS calls its JSON a text, and a mail server's words may be any: one event that is odd does not refuse the others."""
    secret = "a secret of 24 letters"
    odd = r"""{"event": "bounce", "event": "bounce", "timestamp": 123456789012345678901234567890,
        "smtp-id": "<\u0000>", "reason": "550 \ud800 \u0000", "sg_message_id": "\u0000\ud800"}"""
    usual = '{"event": "delivered", "smtp-id": "<x@y>"}'
    async with opened(tmp_path, email=Email(hooks=[f"sendgrid:{secret}"])) as site:
        at, given = "/v1/hooks/email/sendgrid", {"content-type": media, **bearer(secret)}
        said = await site.http.post(at, content=f"[{odd}, {usual}]", headers=given)
        assert said.json() == {"told": 0, "unknown": 2}
        for bad in ("[", "[" * 100_000, b"\xff"):
            problem(await site.http.post(at, content=bad, headers=given), 400, "malformed")


async def test_suppressions(site: Site) -> None:
    """The SDK: put, found, listed in pages, taken back; only what the caller may."""
    key = await site.key("workflows:read", "workflows:write")
    async with AsyncClient(app=site.app, key=key) as clarion:
        put = await clarion.suppress("Ann@example.com", detail="asked us")
        assert (put.address, put.reason, put.message) == ("ann@example.com", "manual", None)
        await clarion.suppress("a/b@example.com", reason="bounce")
        first = await clarion.suppressions(limit=1)
        assert [each.address for each in first.items] == ["a/b@example.com"]
        second = await clarion.suppressions(after=first.next or "")
        assert ([each.address for each in second.items], second.next) == (["ann@example.com"], None)
        assert (await clarion.find_suppression("a/b@example.com")).reason == "bounce"
        await clarion.unsuppress("a/b@example.com")
        with pytest.raises(ApiError) as found:
            await clarion.find_suppression("a/b@example.com")
        assert found.value.status == 404
        with pytest.raises(ApiError):
            await clarion.suppress("x", channel="No Channel")
