"""A dashboard with the unchanged JavaScript client, on a real server."""

import asyncio
from pathlib import Path

from clarion.client import AsyncClient, Client
from tests.support.official import official
from tests.support.server import running


async def test_the_unchanged_client_watches_and_gives(tmp_path: Path) -> None:
    """It gets the state, then what a chart grows by; what is refused it is told by name, and the connection lives on."""
    with running(tmp_path, CLARION_DASHBOARDS_CONFLATE_S="0.05") as server:
        key = server.key("dashboards:*", "topics:*")
        chart = {"type": "series", "id": "orders", "lines": [{"name": "web"}], "window_s": 60}
        with Client(server.url, key=key) as clarion:
            clarion.put_dashboard("sales", [chart], title="Sales")
        async with official("dashboard.mjs", server.port, key) as facts:
            told = {fact: value async for fact, value in facts}
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


async def test_an_alert_is_a_notification(tmp_path: Path) -> None:
    """In the inbox of whom it names, with what it is about; once, also after a restart, from which on it still fires."""
    ann = ""
    for _ in range(2):
        with running(tmp_path, CLARION_DASHBOARDS_CONFLATE_S="0.05") as server:
            ann = ann or server.register("ann")["access_token"]
            key = server.key("dashboards:*", "topics:*", "notifications:send")
            trigger = {
                "recipients": [server.get("/v1/auth/me", token=ann).json()["id"]],
                "title": "It is hot",
            }
            alert = {"id": "hot", "above": 80, "trigger": trigger}
            async with AsyncClient(server.url, key=key) as clarion:
                await clarion.put_dashboard(
                    "ops", [{"type": "gauge", "id": "load", "alerts": [alert]}]
                )
                async with clarion.topic("dashboard:ops") as topic:
                    await clarion.publish("dashboard:ops", "set", 81, key="load")
                    async with asyncio.timeout(10):
                        async for _ in topic:
                            if topic.items.get("load", {}).get("alerts"):
                                break
            async with asyncio.timeout(10):
                while not (told := server.get("/v1/inbox", token=ann).json()["items"]):  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.02)
            assert topic.items["load"]["alerts"]["hot"]["state"] == "firing"
    [message] = told
    assert message["title"] == "It is hot"
    about = message["data"]["dashboard"]
    assert (about["id"], about["widget"], about["alert"], about["number"]) == (
        "ops",
        "load",
        "hot",
        81,
    )
