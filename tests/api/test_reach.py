"""`/v1/webhook-secrets`, `/v1/hooks/sms`: through the doors."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clarion.settings import Sms
from tests.api.conftest import Site, bearer, opened

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def carried(tmp_path: Path) -> AsyncIterator[Site]:
    sms = Sms(providers=["twilio://AC1:hush@+15550100?name=main"])
    async with opened(tmp_path, sms=sms, public_url="https://clarion.test") as site:
        yield site


async def test_a_secret_is_told_and_changed(site: Site) -> None:
    """By whoever may; it stays the same until it is changed, and is of one tenant."""
    headers = bearer(site.token("ops", "webhooks:manage"))
    url = {"url": "https://hooks.test/"}
    first = (await site.http.post("/v1/webhook-secrets", json=url, headers=headers)).json()
    again = (await site.http.post("/v1/webhook-secrets", json=url, headers=headers)).json()
    assert first == again
    assert first["secret"].startswith("whsec_")
    rotated = await site.http.post("/v1/webhook-secrets/rotate", json=url, headers=headers)
    assert rotated.json()["secret"] != first["secret"]
    others = bearer(site.token("ops", "webhooks:manage", tenant="elsewhere"))
    other = await site.http.post("/v1/webhook-secrets", json=url, headers=others)
    assert other.json()["secret"] not in (first["secret"], rotated.json()["secret"])
    wrong = await site.http.post(
        "/v1/webhook-secrets/rotate", json={**url, "keep_s": -1}, headers=headers
    )
    assert wrong.status_code == 422
    for door in ("/v1/webhook-secrets", "/v1/webhook-secrets/rotate"):
        for never in ("nope", "https://127.0.0.1/"):
            refused = await site.http.post(door, json={"url": never}, headers=headers)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/url")


async def test_an_answer_of_somebody_comes_in_as_a_form(carried: Site) -> None:
    """Signed over address and form; after STOP the number is on the list of those who get nothing."""
    url = "/v1/hooks/sms/main?tenant=default"
    text = f"https://clarion.test{url}BodySTOPFrom+4930123456"
    digest = hmac.digest(b"hush", text.encode(), hashlib.sha1)
    signed = {**FORM, "x-twilio-signature": base64.b64encode(digest).decode()}
    body = "From=%2B4930123456&Body=STOP"
    answer = await carried.http.post(url, content=body, headers=signed)
    assert (answer.status_code, answer.text) == (200, "<Response/>")
    found = await carried.workflows.suppressions.find("default", "sms", "+4930123456")
    assert (found.reason, found.detail) == ("complaint", "answered STOP")
    forged = await carried.http.post(url, content=body + "x", headers=signed)
    assert forged.status_code == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("a=1&a=2", FORM, 422),
        ("a=%ff", FORM, 422),
        ("a=\u00fc", FORM, 422),
        ("&".join(f"f{n}=1" for n in range(201)), FORM, 422),
        ("a=%00", FORM, 422),
        ('{"a": 1}', {"content-type": "application/json"}, 415),
        ("a=" + "x" * (1 << 20), FORM, 413),
    ],
)
async def test_what_is_no_form_is_refused(
    carried: Site, body: str, kind: dict[str, str], status: int
) -> None:
    """Before anybody asks who sent it."""
    answer = await carried.http.post("/v1/hooks/sms/main", content=body.encode(), headers=kind)
    assert answer.status_code == status


async def test_a_hook_of_nobody_is_not_there(carried: Site) -> None:
    """404 for a provider that is not in the settings."""
    answer = await carried.http.post("/v1/hooks/sms/other", content="a=1", headers=FORM)
    assert answer.status_code == 404
