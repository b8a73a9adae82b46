"""The dashboard's page in a browser: what is given is drawn, what is broken is marked, and what somebody has published is never HTML."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from clarion.client import Client
from tests.browser.test_poll import ROOT, pages
from tests.support.server import running

__all__ = ["pages"]


def test_a_dashboard_is_drawn(chromium: Browser, pages: str, tmp_path: Path) -> None:
    """A number, a chart that grows, a source that fails, an alert, a text with markup in it; all of it live, without an error of the page's."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with running(
        tmp_path,
        "--app",
        "examples.dashboard.server:setup",
        CLARION_ALLOWED_ORIGINS=pages,
        CLARION_DASHBOARDS_CONFLATE_S="0.05",
    ) as server:
        key = server.key("dashboards:*", "topics:*", "notifications:send")
        trigger = {"recipients": ["ann"], "title": "Hot"}
        failing = {"function": "sockets_open", "every_s": 60}  # without its params
        widgets: list[dict[str, Any]] = [
            {"type": "stat", "id": "visitors", "title": "Visitors"},
            {"type": "series", "id": "orders", "lines": [{"name": "web"}, {"name": "shop"}]},
            {"type": "gauge", "id": "watching", "source": failing},
            {"type": "gauge", "id": "load", "alerts": [{"id": "hot", "above": 80, "trigger": trigger}]},
            {"type": "text", "id": "note"},
        ]  # fmt: skip
        with Client(server.url, key=key) as clarion:
            clarion.put_dashboard("sales", widgets, title="Sales")
            clarion.publish("dashboard:sales", "set", 41, key="visitors")
            page = chromium.new_context().new_page()
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{pages}/dashboard.html?server={server.url}&token={key}")
            expect(page.locator("h1")).to_have_text("Sales")
            expect(page.locator("#visitors .value")).to_have_text("41 ")
            clarion.publish("dashboard:sales", "increment", key="visitors")
            expect(page.locator("#visitors .value")).to_have_text("42 ")
            for n in range(3):
                clarion.publish("dashboard:sales", "append", {"v": [[n], [2 * n]]}, key="orders")
            expect(page.locator("#orders polyline")).to_have_count(2)
            expect(page.locator("#watching")).to_have_class("stale ")
            clarion.publish("dashboard:sales", "set", 81, key="load")
            expect(page.locator("#load")).to_have_class(" firing")
            clarion.publish("dashboard:sales", "set", "<img src=x onerror=boom()>", key="note")
            expect(page.locator("#note p")).to_have_text("<img src=x onerror=boom()>")
            assert page.locator("#note img").count() == 0
            assert errors == []
