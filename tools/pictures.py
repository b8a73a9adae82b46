"""Draws the pictures of the docs: a real server, a real browser. `python -m tools.pictures`.

Two people are signed in, notifications come over HTTP, and the page is photographed in light and dark.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright
from tests.browser.conftest import ARGUMENTS
from tests.support.server import Server, running

FOLDER = Path("docs/images")
PASSWORD = "correct horse battery"
SENT = [
    {"title": "Quarterly figures are ready", "body": "Sales closed 12 % above plan.", "action_url": "/reports/q3"},
    {"title": "Cleo commented on your draft", "body": "“Could we lead with the customer's words?”"},
    {"title": "Invoice 2214 was paid"},
    {"title": "Ben invited you to Design review", "body": "Thursday, 14:00, room Lisbon", "action_url": "/calendar"},
]  # fmt: skip
VIEWS = {"demo-light": "light", "demo-dark": "dark"}


def _photograph(page: Page, server: Server, key: str, path: Path) -> None:
    page.goto(server.url)
    page.get_by_test_id("username").fill("ann")
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("submit").click()
    expect(page.get_by_test_id("connection-state")).to_contain_text("live", ignore_case=True)
    body = {
        "recipients": ["ann"],
        "title": "Build 17 is green",
        "body": "All 1,204 tests passed.",
        "action_url": "/builds/17",
    }
    assert server.post("/v1/notifications", body, token=key).status_code == 202
    expect(page.get_by_test_id("toast").first).to_be_visible()
    page.wait_for_timeout(400)  # the toast slides in
    page.screenshot(path=path)


def main(folder: Path) -> None:
    """Draw them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        running(Path(data), CLARION_LIMITS_LOGIN_TRIES="50") as server,
    ):
        for name in ("ann", "ben"):
            server.register(name, PASSWORD)
        key = server.key("notifications:send")
        for body in SENT:
            server.post("/v1/notifications", body | {"recipients": ["ann"]}, token=key)
        token = server.post("/v1/auth/login", {"username": "ann", "password": PASSWORD}).json()[
            "access_token"
        ]
        for item in server.get("/v1/inbox", token=token).json()["items"][1:3]:
            server.post(f"/v1/inbox/{item['id']}/read", None, token=token)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=ARGUMENTS
            )
            for name, scheme in VIEWS.items():
                context = browser.new_context(
                    color_scheme=scheme,  # type: ignore[arg-type]  # a literal in a table
                    viewport={"width": 1200, "height": 690},
                    device_scale_factor=1,
                )
                _photograph(context.new_page(), server, key, folder / f"{name}.png")
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
