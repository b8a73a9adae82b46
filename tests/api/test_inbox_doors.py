"""What else a person does with messages over HTTP; what it means is tested beside the inbox."""

from datetime import timedelta

from clarion.clock import as_datetime
from tests.api.conftest import Site, bearer, problem


async def _items(site: Site, query: str = "") -> list[str]:
    page = await site.http.get(f"/v1/inbox{query}", headers=bearer(site.token("ann")))
    return [item["title"] for item in page.json()["items"]]


async def test_a_message_is_snoozed_and_brought_back(site: Site) -> None:
    """`snooze` is a route of its own, with a body; a time that has passed is refused."""
    headers = bearer(site.token("ann"))
    await site.notify("ann")
    id = (await site.http.get("/v1/inbox", headers=headers)).json()["items"][0]["id"]
    now = as_datetime(site.clock.now_ms())
    until = (now + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    answer = await site.http.post(f"/v1/inbox/{id}/snooze", json={"until": until}, headers=headers)
    assert (answer.status_code, answer.json()["snoozed_until"]) == (200, until)
    assert (len(await _items(site)), len(await _items(site, "?filter=snoozed"))) == (0, 1)
    back = await site.http.post(f"/v1/inbox/{id}/unsnooze", headers=headers)
    assert "snoozed_until" not in back.json()
    late = await site.http.post(
        f"/v1/inbox/{id}/snooze", json={"until": "2001-01-01T00:00:00Z"}, headers=headers
    )
    problem(late, 422, "invalid")


async def test_lists_counts_and_changes_of_a_tag(site: Site) -> None:
    """In the query, of what has it; names and a filter do not go together."""
    headers, key = bearer(site.token("ann")), bearer(await site.key("notifications:send"))
    for title, tags in (("1", ["red"]), ("2", ["blue"]), ("3", ["red", "blue"])):
        body = {"recipients": [{"id": "ann"}], "title": title, "tags": tags}
        assert (await site.http.post("/v1/notifications", json=body, headers=key)).is_success
    assert await _items(site, "?tag=red") == ["3", "1"]
    seen = await site.http.post("/v1/inbox/seen?tag=red", json={}, headers=headers)
    assert seen.json() == {"changed": 2, "unread": 3, "unseen": 1}
    await site.http.post("/v1/inbox/read?tag=blue", headers=headers)
    counts = (await site.http.get("/v1/inbox-counts?tag=red", headers=headers)).json()
    assert (counts["unread"], counts["unseen"]) == (1, 0)
    await site.http.post("/v1/inbox/archive?tag=red", headers=headers)
    assert await _items(site) == ["2"]
    both = await site.http.post("/v1/inbox/seen?tag=red", json={"ids": ["x"]}, headers=headers)
    problem(both, 422, "invalid")
    odd = await site.http.get("/v1/inbox-counts?tag=a%20b", headers=headers)
    problem(odd, 422, "invalid")
