"""Bulk over HTTP, in a whole application: many recipients by lines, their progress on a topic, imports, exports, reports."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion.api.lines import CSV, NDJSON
from clarion.auth.principal import Principal
from clarion.errors import Forbidden
from clarion.topics.arguments import SubscribeArgs
from tests.api.conftest import problem
from tests.api.live import Live, lively

SCOPES = ("notifications:send", "workflows:*", "subscribers:*")
BROKEN = {"title": "{{ 1 // recipient.attributes.n }}"}


async def watch(live: Live, id: str, *scopes: str) -> list[dict[str, Any]]:
    """What somebody with these scopes is told of a job, from their subscription to its end."""
    changed = asyncio.Event()

    class Socket:
        id, connected, is_slow = "watcher", True, False

        def deliver(self, prepared: Any, /) -> None:
            changed.set()

    engine, topic = live.app.engine, live.app.topics.of(f"job:{id}")
    who = Principal(id=f"reader of {scopes}", scopes=frozenset(scopes))
    answer, subscription = await engine.subscribe(Socket(), who, SubscribeArgs(topic.topic.wire))
    engine.go(subscription)
    told: list[dict[str, Any]] = [answer.snapshot["items"][0]["data"]]
    while told[-1]["state"] in ("running", "paused"):
        await changed.wait()
        changed.clear()
        item = await topic.get("progress")
        assert item is not None
        told.append(item.data)
    return told


@pytest.fixture
async def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    monkeypatch.setattr("clarion.notifications.progress.EVERY_S", 0.01)
    monkeypatch.setattr("clarion.notifications.planning.SLICE", 3)
    monkeypatch.setattr("clarion.notifications.imports.PART_LINES", 3)
    async with lively(tmp_path, line_bytes=300, stream_bytes=5_000) as live:
        yield live


async def test_a_send_to_many_from_its_lines_to_its_report(live: Live) -> None:
    """Accepted as a whole, seen on its way by who may, told in the end: counts, reasons, each failure as NDJSON or CSV."""
    http = await live.back_end(scopes=SCOPES)
    put = await http.put("/v1/workflows/w", json={"workflow": "w", "steps": [{"inbox": BROKEN}]})
    assert put.status_code == 200, put.text
    lines = [{}, *({"id": f"u{n}", "attributes": {"n": n % 4}} for n in range(20))]
    body = "\n".join(map(json.dumps, lines))
    answer = await http.post(
        "/v1/workflows/w/triggers",
        content=body,
        headers={"content-type": NDJSON, "idempotency-key": "k"},
    )
    assert answer.status_code == 202, answer.text
    trigger = answer.json()["id"]
    with pytest.raises(Forbidden):
        await watch(live, trigger)
    with pytest.raises(Forbidden):
        await watch(live, "none", "workflows:read")
    told = await watch(live, trigger, "workflows:read")
    assert (told[-1]["state"], told[-1]["total"], told[-1]["done"]) == ("done", 20, 20)
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)

    same = (await http.get(f"/v1/triggers/{trigger}/progress")).json()
    assert same == {**told[-1], "rate": same["rate"]}
    report = (await http.get(f"/v1/triggers/{trigger}/report")).json()
    assert (report["recipients"], report["failed"], report["runs"]) == (20, 5, {"failed": 5})
    assert [each["count"] for each in report["reasons"]] == [5]
    failures = await http.get(f"/v1/triggers/{trigger}/failures")
    users = [json.loads(line)["user"] for line in failures.text.splitlines()]
    assert sorted(users) == ["u0", "u12", "u16", "u4", "u8"]
    table = await http.get(f"/v1/triggers/{trigger}/failures?format=csv")
    assert table.headers["content-type"].startswith(CSV)
    assert table.text.splitlines()[0] == "user,channel,step,address,status,reason,attempts,at"
    assert len(table.text.splitlines()) == 6

    again = await http.post(
        "/v1/workflows/w/triggers",
        content=body,
        headers={"content-type": NDJSON, "idempotency-key": "k"},
    )
    assert again.json() == answer.json()
    problem(await http.post(f"/v1/triggers/{trigger}/pause"), 409, "conflict")  # it is over
    assert (await http.post(f"/v1/triggers/{trigger}/resume")).status_code == 200
    nobody = "00000000-0000-0000-0000-000000000000"
    for path in ("progress", "report", "failures"):
        problem(await http.get(f"/v1/triggers/{nobody}/{path}"), 404, "not_found")


async def test_an_import_and_the_way_out(live: Live) -> None:
    """A table comes in as a job, with a report by line, and goes out as NDJSON or CSV, of an audience as well; what is no formula comes and goes as none."""
    http = await live.back_end(scopes=SCOPES)
    await http.put("/v1/audiences/vip", json={})
    table = "id,email\r\n" + "".join(f"u{n},u{n}@example.org\r\n" for n in range(7)) + "x,nowhere"
    answer = await http.post(
        "/v1/imports?audience=vip", content=table, headers={"content-type": CSV}
    )
    assert answer.status_code == 202, answer.text
    job = answer.json()
    with pytest.raises(Forbidden):
        await watch(live, job["id"], "workflows:read")
    told = await watch(live, job["id"], "subscribers:read")
    assert (told[-1]["state"], told[-1]["done"], told[-1]["failed"]) == ("done", 8, 1)
    assert (await http.get(f"/v1/imports/{job['id']}")).json()["state"] == "done"
    failures = (await http.get(f"/v1/imports/{job['id']}/failures?format=csv")).text
    assert failures.splitlines()[1].startswith("9,")
    assert (await http.delete(f"/v1/imports/{job['id']}")).status_code == 409
    out = (await http.get("/v1/exports/subscribers?audience=vip&format=csv")).text
    assert out.splitlines()[1] == "u0,,u0@example.org,,,,"
    formula = {"id": "u0", "name": "=1+1", "phone": "+491701234567", "attributes": {"note": "'@x"}}
    await http.post("/v1/subscribers", json={"subscribers": [formula]})
    out = (await http.get("/v1/exports/subscribers?audience=vip&format=csv")).text
    assert out.splitlines()[1].startswith("u0,'=1+1,u0@example.org,+491701234567,")
    await http.put("/v1/subscribers/u0", json={})
    again = await http.post("/v1/imports", content=out, headers={"content-type": CSV})
    await watch(live, again.json()["id"], "subscribers:read")
    assert (await http.get("/v1/subscribers/u0")).json()["name"] == "=1+1"
    whole = (await http.get("/v1/exports/subscribers")).text
    assert len(whole.splitlines()) == 7
    refused = problem(await http.get("/v1/exports/subscribers?filter=1%20%2B"), 422, "invalid")
    assert [each["pointer"] for each in refused["errors"]] == ["?filter"]


async def _cut(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{}\n" + b'"a"\n' * 2_000, 413, "limits.stream_bytes = 5000"),
        (b'{}\n"' + b"a" * 300 + b'"', 413, "line 2 exceeds limits.line_bytes"),
        ('{}\n"ä"'.encode("latin-1"), 400, "line 2 is not UTF-8"),
        (b'{}\n{"id": "a", "id": "b"}', 400, "line 2: the name 'id' stands twice"),
        (b"{}\n\n{", 400, "line 3: "),
        (b'{}\n{"id": "a", "name": "\\u0000"}', 422, "/3/name"),
        (b"", 422, "no lines"),
    ],
)
async def test_what_is_wrong_with_a_line_names_it(
    live: Live, body: bytes, status: int, said: str
) -> None:
    """And nothing is accepted."""
    http = await live.back_end(scopes=SCOPES)
    await http.put("/v1/workflows/w", json={"workflow": "w", "steps": [{"inbox": {"title": "t"}}]})
    answer = await http.post(
        "/v1/workflows/w/triggers", content=_cut(body), headers={"content-type": NDJSON}
    )
    assert answer.status_code == status, answer.text
    assert said.replace("/3/", "/2/") in answer.text
    assert (await http.get("/v1/exports/subscribers")).text == ""


async def test_who_is_gone_half_way_has_sent_nothing(live: Live) -> None:
    """The layer tells the handler, and nobody else: no answer is written, nothing stays."""
    http = await live.back_end(scopes=SCOPES)
    await http.put("/v1/workflows/w", json={"workflow": "w", "steps": [{"inbox": {"title": "t"}}]})
    messages = iter(
        [
            {"type": "http.request", "body": b'{}\n{"id": "a"}\n', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError(message)

    headers = [(b"content-type", NDJSON.encode()), (b"transfer-encoding", b"chunked")]
    headers.append((b"authorization", http.headers["authorization"].encode()))
    path = "/v1/workflows/w/triggers"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("192.0.2.7", 1)}  # fmt: skip
    await live.app.asgi(scope, receive, send)
    assert (await http.get("/v1/exports/subscribers")).text == ""
