"""The documentation in a real browser: it shows every operation, tries them, and fits a narrow screen."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime.transports import HttpServer
from clarion.telemetry import spawn
from tests.api.conftest import Site, opened

HOSTILE = "<img src=x onerror=alert(1)>"


@contextlib.asynccontextmanager
async def _served(site: Site) -> AsyncIterator[str]:
    server = HttpServer(
        site.app, limits=site.settings.limits, clock=SystemClock(), handle_signals=False
    )
    task = spawn(server.serve(), name="test server")
    await server.started.wait()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()
    await task


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[tuple[Site, str]]:
    async with opened(tmp_path) as site, _served(site) as url:
        yield site, url


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A phone's screen; anything that the browser complains of fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 360, "height": 740})
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
        yield page
        await browser.close()
        assert trouble == []


async def test_an_operation_is_found_and_tried_by_keyboard(
    url: tuple[Site, str], page: Page
) -> None:
    """Every operation is there; one is sent with Tab and Enter alone, and its answer is shown as text."""
    site, base = url
    await page.goto(f"{base}/docs#create_notification")
    await page.wait_for_selector("article")
    doors = (await site.http.get("/openapi.json")).json()["paths"]
    assert await page.locator("article").count() == sum(map(len, doors.values()))
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360

    await page.locator("#token").focus()
    await page.keyboard.type(site.token("ann", "notifications:send"))
    await page.locator("#create_notification summary", has_text="Try it").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.type(Ids().token())
    await page.keyboard.press("Tab")
    await page.keyboard.press("Control+A")
    await page.keyboard.type('{"recipients": [{"id": "ann"}], "title": "' + HOSTILE + '"}')
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#create_notification .try strong")
    assert await page.inner_text("#create_notification .try strong") == "202 Accepted"

    await page.locator("#list_inbox summary", has_text="Try it").click()
    await page.locator("#list_inbox button").click()
    await page.wait_for_selector("#list_inbox .try strong")
    assert HOSTILE in await page.locator("#list_inbox .try pre").first.inner_text()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_a_refusal_and_its_page_are_shown(url: tuple[Site, str], page: Page) -> None:
    """Without a token the answer says what is missing; the error's own page fits, too."""
    _, base = url
    await page.goto(f"{base}/errors/invalid")
    assert await page.inner_text("h1") == "invalid"
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await page.click("text=All operations")
    await page.wait_for_selector("article")
