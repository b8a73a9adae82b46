"""`/v1/messages`, `/v1/triggers`, `/v1/runs`: through the doors."""

import csv
import json

from tests.api.conftest import Site, bearer


async def test_what_is_found_can_be_exported(site: Site) -> None:
    """As JSON lines or as a table, whole, in the order of the list; of one's own tenant alone."""
    boss = bearer(site.token("ops", "messages:read", "notifications:send", "workflows:*"))
    people = [{"id": name} for name in ("ann", "ben", "eve")]
    sent = {"recipients": people, "title": 'Hello, "you"', "category": "news"}
    assert (await site.http.post("/v1/notifications", json=sent, headers=boss)).status_code == 202
    listed = (await site.http.get("/v1/messages?limit=2&category=news", headers=boss)).json()
    assert (len(listed["items"]), listed["next"] is None) == (2, False)
    lines = await site.http.get("/v1/exports/messages?category=news", headers=boss)
    assert lines.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in lines.text.splitlines()]
    assert found[:2] == listed["items"]
    assert {each["user"] for each in found} == {"ann", "ben", "eve"}
    table = await site.http.get("/v1/exports/messages?format=csv", headers=boss)
    rows = list(csv.DictReader(table.text.splitlines()))
    assert [row["id"] for row in rows] == [each["id"] for each in found]
    assert {(row["says"], row["status"]) for row in rows} == {('Hello, "you"', "delivered")}
    story = (
        await site.http.get(f"/v1/messages/{found[0]['id']}?user={found[0]['user']}", headers=boss)
    ).json()
    assert [each["status"] for each in story["timeline"]] == ["queued", "sent", "delivered"]
    others = bearer(site.token("ops", "messages:read", tenant="elsewhere"))
    assert (await site.http.get("/v1/exports/messages", headers=others)).text == ""
    for kind in ("triggers", "runs"):
        assert (await site.http.get(f"/v1/exports/{kind}", headers=boss)).text == ""


async def test_bad_questions_are_refused(site: Site) -> None:
    """With a pointer to what is wrong; an unknown message is not found."""
    headers = bearer(site.token("ops", "messages:read"))
    for asked in (
        "limit=501",
        "status=lost",
        "from=yesterday",
        "to=2026-02-29T00:00:00Z",
        "after=x",
        "q=%00",
    ):
        answer = await site.http.get(f"/v1/messages?{asked}", headers=headers)
        assert (answer.status_code, len(answer.json()["errors"])) == (422, 1), asked
    assert (await site.http.get("/v1/messages/nothing", headers=headers)).status_code == 404
