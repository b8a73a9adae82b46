"""What operators look at, in a real browser: numbers as bars and tables, and dead letters that are sent again by a click."""

import os
import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.support.server import Server, running, until

STEPS = [
    {"inbox": {"title": "Your code is on its way"}},
    {"sms": {"text": "Your code is {{ payload.code }}"}},
]
PEOPLE = [{"id": name, "phone": f"+49301234{n}"} for n, name in enumerate(["ann", "ben", "cleo"])]


def _sent(server: Server) -> None:
    """Three messages in inboxes; three texts, for which there is no provider; and two runs whose only step cannot be rendered."""
    key = server.key("notifications:send", "workflows:write", "messages:read")
    put = server.put("/v1/workflows/code", {"workflow": "code", "steps": STEPS}, token=key)
    assert put.status_code == 200, put.text
    body = {"workflow": "code", "recipients": PEOPLE, "payload": {"code": "7"}}
    assert server.post("/v1/triggers", body, token=key).status_code == 202
    broken = {"workflow": "broken", "steps": [{"inbox": {"title": "{{ 1 // payload.n }}"}}]}
    assert server.put("/v1/workflows/broken", broken, token=key).status_code == 200
    failing = {"workflow": "broken", "recipients": PEOPLE[:2], "payload": {"n": 0}}
    assert server.post("/v1/triggers", failing, token=key).status_code == 202
    until(lambda: [each["letters"] for each in server.get("/v1/dead-letters", token=key).json()["items"]] == [3])  # fmt: skip


def _signed_in(page: Page, server: Server) -> None:
    found = re.search(r"ann\s+password\s+(\S+)", server.log)
    assert found
    page.goto(server.url)
    page.get_by_test_id("username").fill("ann")
    page.get_by_test_id("password").fill(found[1])
    page.get_by_test_id("submit").click()


# Neither the page nor a table in it.
FITS = "['html', '.overview-scroll'].every((each) => [...document.querySelectorAll(each)].every((at) => at.scrollWidth <= at.clientWidth))"


def test_operators_see_what_failed_and_send_it_again(chromium: Browser, tmp_path: Path) -> None:
    """On a wide and on a narrow page, in light and in dark; the ways to other pages stay where they are, nothing runs over an edge, and the page complains of nothing."""
    trouble: list[str] = []
    with running(tmp_path, "--demo") as server:
        _sent(server)
        for width, scheme in ((1280, "light"), (380, "dark")):
            context = chromium.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            page = context.new_page()
            page.on("pageerror", lambda error: trouble.append(str(error)))
            _signed_in(page, server)
            places = page.get_by_role("navigation", name="Pages").get_by_role("link")
            expect(places).to_have_text(["Home", "Messages"])
            assert page.evaluate(FITS)
            page.get_by_test_id("to-overview").click()
            expect(places).to_have_text(["Home", "Messages"])
            expect(page.get_by_test_id("to-overview")).to_have_attribute("aria-current", "page")
            expect(page.get_by_test_id("overview-sent")).to_have_text("3")
            expect(page.get_by_test_id("overview-failed")).to_have_text("3 failed")
            expect(page.get_by_test_id("overview-Channels")).to_have_count(2)
            expect(page.get_by_test_id("overview-runs")).to_have_text("2 of broken")
            dead = page.get_by_test_id("overview-dead")
            expect(dead).to_have_count(1)
            expect(dead).to_contain_text("there is no sms provider")
            assert page.evaluate(FITS)
            if folder := os.environ.get("PICTURES"):
                page.screenshot(path=f"{folder}/overview-{width}-{scheme}.png", full_page=True)
            page.get_by_test_id("replay").click()
            expect(page.get_by_role("status").filter(has_text="on their way")).to_have_text(
                "3 of 3 are on their way again."
            )
            context.close()
    assert trouble == []
