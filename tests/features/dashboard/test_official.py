"""Dashboards on a real server: the unchanged JavaScript client before one, and an alert that reaches an inbox."""

import asyncio
from pathlib import Path

from clarion.client import AsyncClient, Client
from tests.support.official import official
from tests.support.server import Server, running


async def test_the_unchanged_client_watches_and_gives(tmp_path: Path) -> None:
    """It gets the state, then what a chart grows by; what is refused it is told by name, and the connection lives on. An alert is a notification."""
    with running(tmp_path, CLARION_DASHBOARDS_CONFLATE_S="0.05") as server:
        key = server.key("dashboards:*", "topics:*", "notifications:send")
        chart = {"type": "series", "id": "orders", "lines": [{"name": "web"}], "window_s": 60}
        with Client(server.url, key=key) as clarion:
            clarion.put_dashboard("sales", [chart], title="Sales")
        async with official("dashboard.mjs", server.port, key) as facts:
            told = {fact: value async for fact, value in facts}
        await _an_alert_is_a_notification(server, key)
        assert "Traceback" not in server.log
    assert told == {
        "subscribed": ["recoverable", ["definition"], "Sales"],
        "answered": "recoverable",
        "first": ["set"],
        "grows": ["append", "orders", [[2]], ["t", "v", "at"]],
        "repeated": "duplicate",
        "out of order": "/data/t/0",
        "no widget": "not_found",
        "params": "invalid",
        "not there": "not_found",
    }


async def _an_alert_is_a_notification(server: Server, key: str) -> None:
    """In the inbox of whom it names, with what it is about."""
    ann = server.register("ann")["access_token"]
    me = server.get("/v1/auth/me", token=ann).json()["id"]
    alert = {"id": "hot", "above": 80, "trigger": {"recipients": [me], "title": "It is hot"}}
    async with AsyncClient(server.url, key=key) as clarion:
        await clarion.put_dashboard("ops", [{"type": "gauge", "id": "load", "alerts": [alert]}])
        async with clarion.topic("dashboard:ops") as topic, asyncio.timeout(10):
            await clarion.publish("dashboard:ops", "set", 81, key="load")
            async for _ in topic:
                if topic.items.get("load", {}).get("alerts"):
                    break
    async with asyncio.timeout(10):
        while not (told := server.get("/v1/inbox", token=ann).json()["items"]):  # noqa: ASYNC110  another process
            await asyncio.sleep(0.02)
    assert topic.items["load"]["alerts"]["hot"]["state"] == "firing"
    about = told[0]["data"]["dashboard"]
    assert (told[0]["title"], about["id"], about["widget"]) == ("It is hot", "ops", "load")
    assert (about["alert"], about["number"]) == ("hot", 81)
