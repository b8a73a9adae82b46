"""`/v1/providers`, `/v1/captures`: through the doors."""

from clarion.notifications.channels import Outgoing
from tests.api.conftest import Site, bearer

HTML = "<script>alert(1)</script><p>Hello</p>"


async def _kept(site: Site) -> dict[str, str]:
    message = Outgoing(
        "default", "r.0.0", "ann", "ann@example.com", {"subject": "Hi", "html": HTML}, "w", "c", 1
    )
    await site.workflows.delivery.keep("email", message)
    return bearer(site.token("ops", "captures:read", "captures:write"))


async def test_a_captures_html_is_a_page_that_can_do_nothing(site: Site) -> None:
    """It may be framed by our own pages, runs no script, has no origin, and is stored nowhere; a link that is not ours shows nothing."""
    headers = await _kept(site)
    page = (await site.http.get("/v1/captures?channel=email", headers=headers)).json()
    [capture] = page["items"]
    assert (page["mode"], page["next"], capture["content"]["subject"]) == ("live", None, "Hi")
    one = await site.http.get(f"/v1/captures/{capture['id']}", headers=headers)
    assert one.json()["content"] == {"subject": "Hi", "html": HTML}
    shown = await site.http.get(capture["html_url"])
    assert (shown.status_code, shown.text) == (200, HTML)
    policy = shown.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(policy)
    assert not any(part.startswith("script-src") or "allow-" in part for part in policy)
    assert shown.headers["cache-control"] == "no-store"
    forged = capture["html_url"].replace("signature=", "signature=x")
    assert (await site.http.get(forged)).status_code == 403
    assert (await site.http.get(f"/v1/captures/{capture['id']}/html")).status_code == 422
    # Only an image of ours and of https may load: a tracking pixel on this host would count as opened.
    assert "img-src data: https:" in policy


async def test_captures_of_another_tenant_are_not_there(site: Site) -> None:
    """As if there were none; forgetting all forgets one's own."""
    headers = await _kept(site)
    [capture] = (await site.http.get("/v1/captures", headers=headers)).json()["items"]
    others = bearer(site.token("ops", "captures:read", "captures:write", tenant="elsewhere"))
    assert (await site.http.get("/v1/captures", headers=others)).json()["items"] == []
    missing = await site.http.get(f"/v1/captures/{capture['id']}", headers=others)
    assert missing.status_code == 404
    assert (await site.http.delete("/v1/captures", headers=others)).json() == {"captures": 0}
    assert (await site.http.delete("/v1/captures", headers=headers)).json() == {"captures": 1}


async def test_bad_questions_are_refused(site: Site) -> None:
    """With a pointer to what is wrong."""
    headers = bearer(site.token("ops", "captures:read"))
    for asked in ("limit=0", "limit=101", "colour=red", f"user={'x' * 200}"):
        answer = await site.http.get(f"/v1/captures?{asked}", headers=headers)
        assert answer.status_code == 422, asked


async def test_providers_say_how_they_do(site: Site) -> None:
    """Each channel with its providers in order; one that has none shows an empty list."""
    headers = bearer(site.token("ops", "workflows:read"))
    answer = (await site.http.get("/v1/providers", headers=headers)).json()
    assert answer["delivery"] == "live"
    assert all(set(each) == {"channel", "providers"} for each in answer["channels"])
