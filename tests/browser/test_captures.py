"""The page of captured messages in a real browser: `make run`'s first hour, without a mail server."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.server import Server, running, until

HTML = """<html><body style="font-family:sans-serif"><h1 style="color:#3b4fd8">Hello {{ recipient.name }}</h1>
<p>Your parcel <b>{{ payload.order }}</b> has arrived.</p>
<script>document.body.innerHTML = "hacked"; parent.postMessage("hacked", "*")</script>
<img src="x" onerror="document.body.innerHTML = 'hacked'">
<form action="/v1/auth/logout" method="post"><button>Press</button></form></body></html>"""
STEPS = [
    {"email": {"subject": "Your parcel {{ payload.order }}", "html": HTML}},
    {"sms": {"text": "Your parcel {{ payload.order }} has arrived."}},
]
PEOPLE = [
    {"id": "ann", "name": "Ann", "email": "ann@example.com", "phone": "+4930123456"},
    {"id": "ben", "name": "Ben", "email": "ben@example.com"},
]


def _kept(server: Server) -> None:
    key = server.key("notifications:send", "workflows:write", "captures:read")
    put = server.put("/v1/workflows/parcel", {"workflow": "parcel", "steps": STEPS}, token=key)
    assert put.status_code == 200, put.text
    body = {"workflow": "parcel", "recipients": PEOPLE, "payload": {"order": "A-7"}}
    assert server.post("/v1/triggers", body, token=key).status_code == 202
    until(lambda: len(server.get("/v1/captures", token=key).json()["items"]) == 3)


def _signed_in(page: Page, server: Server) -> None:
    found = re.search(r"ann\s+password\s+(\S+)", server.log)
    assert found
    page.goto(server.url)
    page.get_by_test_id("username").fill("ann")
    page.get_by_test_id("password").fill(found[1])
    page.get_by_test_id("submit").click()


@pytest.fixture
def trouble() -> list[str]:
    """What the page complained of."""
    return []


def test_an_email_is_seen_as_it_was_rendered_and_runs_nothing(
    chromium: Browser, tmp_path: Path, trouble: list[str]
) -> None:
    """From the list to the email in its frame, on a wide and on a narrow page, in light and in dark; its script, handler and form do nothing."""
    with running(tmp_path, "--demo", CLARION_DELIVERY="capture") as server:
        _kept(server)
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
            context = chromium.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            page = context.new_page()
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.add_init_script("addEventListener('message', () => { window.isHacked = true })")
            _signed_in(page, server)
            page.get_by_test_id("to-captures").click()
            expect(page.get_by_test_id("capture")).to_have_count(3)
            _picture(page, f"captures-{width}-{scheme}-list")
            mail = page.get_by_test_id("capture").filter(has_text="email")
            mail.filter(has_text="ann").click()
            frame = page.frame_locator("iframe")
            expect(frame.locator("h1")).to_have_text("Hello Ann")
            expect(frame.locator("p")).to_have_text("Your parcel A-7 has arrived.")
            _picture(page, f"captures-{width}-{scheme}")
            assert page.evaluate("window.isHacked") is None
            assert page.evaluate(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )
            if width < 800:
                page.get_by_role("button", name="Back to the list").click()
                expect(page.get_by_test_id("capture")).to_have_count(3)
                # The inbox is a sheet there: nothing that may be clicked lies below it.
                page.get_by_test_id("bell").click()
                expect(page.get_by_test_id("inbox")).to_be_visible()
                expect(page.get_by_test_id("to-captures")).to_be_hidden()
                _picture(page, f"captures-{width}-{scheme}-inbox")
            context.close()
    assert trouble == []


def test_whoever_may_not_see_them_finds_no_way_there(chromium: Browser, tmp_path: Path) -> None:
    """An account without the scope has no link, and the page says so where its address is known."""
    with running(tmp_path, CLARION_DELIVERY="capture") as server:
        server.register("eve", "correct horse battery")
        page = chromium.new_context().new_page()
        page.goto(server.url)
        page.get_by_test_id("username").fill("eve")
        page.get_by_test_id("password").fill("correct horse battery")
        page.get_by_test_id("submit").click()
        expect(page.get_by_test_id("who")).to_have_text("eve")
        expect(page.get_by_test_id("to-captures")).to_have_count(0)
        page.goto(f"{server.url}/#captures")
        expect(page.get_by_role("alert")).to_have_text("You may not see what was kept.")


def _picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
