"""Socket.IO's own admin page, as the server serves it, in a real browser: what operators see, and what they can do."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.server import Server, running

PASSWORD = "correct horse battery"
SETTINGS = {
    "CLARION_ADMIN_UI_PASSWORD": PASSWORD,
    "CLARION_ADMIN_UI_MODE": "development",
    "CLARION_AUTH_OPEN_NAMESPACES": "/",
}
HANDLERS = """
def setup(app):
    @app.io.on("connection")
    def connected(socket):
        socket.join("lobby")

    @app.io.handle("say")
    def say(socket, text):
        app.io.to("lobby", "stage").emit("said", text)
"""
GUEST = Path(__file__).parent / "admin_guest.mjs"


class Guest:
    """A Socket.IO client beside the browser."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(GUEST), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self) -> Any:
        """The next thing that happened to it."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def say(self, text: str) -> None:
        """Emit `say`."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def leave(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[tuple[Server, Guest, str]]:
    """A server with handlers and a guest on it, and the guest's id."""
    (folder / "handlers.py").write_text(HANDLERS)
    with running(folder, "--app", "handlers:setup", **SETTINGS, **settings) as server:
        guest = Guest(server.url)
        try:
            what, id = guest.hear()
            assert what == "connect"
            yield server, guest, id
        finally:
            guest.leave()


@pytest.fixture
def trouble() -> list[str]:
    """What the page complained of, and what it wanted from elsewhere."""
    return []


def _open(context: BrowserContext, server: Server, trouble: list[str]) -> Page:
    page, home = context.new_page(), server.url.removeprefix("http")
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "console",
        lambda line: trouble.append(line.text) if "Content Security Policy" in line.text else None,
    )
    page.on("request", lambda asked: home in asked.url or trouble.append(asked.url))
    page.goto(server.url + "/admin")
    return page


def _sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Connect").click()


def _is_connected(page: Page) -> None:
    expect(page.get_by_role("banner").get_by_text("connected", exact=True).first).to_be_visible()


def _go(page: Page, name: str, namespace: str | None = None) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    if namespace is not None:
        page.get_by_role("button", name="Select namespace").click()
        page.get_by_role("option", name=namespace, exact=True).click()


def test_an_operator_signs_in_and_sees_and_acts(
    chromium: Browser, tmp_path: Path, trouble: list[str]
) -> None:
    """A wrong password is said, the right one is asked for once; the server, its namespaces, sockets, rooms and events are shown as they
    change; a socket is put into a room, out of it, and out of the server.
    """
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    with serving(tmp_path) as (server, guest, id):
        page = _open(context, server, trouble)
        _sign_in(page, "wrong")
        expect(page.get_by_text("Invalid credentials")).to_be_visible()
        _sign_in(page)
        _is_connected(page)
        page.reload()
        _is_connected(page)  # by its session

        expect(page.get_by_role("row", name="/ 1", exact=True)).to_be_visible()
        _go(page, "Servers")
        expect(page.get_by_role("cell", name="Healthy", exact=True)).to_be_visible()

        _go(page, "Rooms", "/")
        expect(page.get_by_role("row", name="lobby")).to_be_visible()

        _go(page, "Sockets")
        page.get_by_role("row", name=id).click()
        expect(page.get_by_text("127.0.0.1").first).to_be_visible()
        page.get_by_label("Join a room").fill("stage")
        page.get_by_label("Join a room").press("Enter")
        page.get_by_role("main").locator("form button[type=submit]").click()
        stage = page.get_by_role("row", name="stage")
        expect(stage).to_be_visible()

        guest.say("hello")
        assert guest.hear() == ["said", "hello"]
        _go(page, "Events")
        for happened in (
            f"{id} Event received Event name: say",
            f"{id} Event sent Event name: said",
            f"{id} Room joined Room: stage",
        ):
            expect(page.get_by_role("row", name=happened)).to_be_visible()

        _go(page, "Sockets")
        page.get_by_role("row", name=id).click()
        stage.get_by_role("button").click()
        # The page goes on to the room, which is gone with its last socket.
        expect(page.get_by_text("Deleted", exact=True)).to_be_visible()

        _go(page, "Sockets")
        page.get_by_role("row", name=id).get_by_role("button").click()
        assert guest.hear() == ["disconnect", "io server disconnect"]
        _go(page, "Sockets")
        expect(page.get_by_role("row", name=id)).to_have_count(0)
    context.close()
    assert trouble == []


def test_a_read_only_page_offers_nothing_to_do(
    chromium: Browser, tmp_path: Path, trouble: list[str]
) -> None:
    """It shows the same, without buttons; what it would send all the same is not done."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    with serving(tmp_path, CLARION_ADMIN_UI_READONLY="1") as (server, guest, id):
        page = _open(context, server, trouble)
        _sign_in(page)
        _is_connected(page)
        _go(page, "Sockets", "/")
        row = page.get_by_role("row", name=id)
        expect(row).to_be_visible()
        expect(row.get_by_role("button")).to_have_count(0)
        row.click()
        lobby = page.get_by_role("row", name="lobby")
        expect(lobby).to_be_visible()
        expect(lobby.get_by_role("button")).to_have_count(0)
        # The page draws this form whatever the server offers.
        page.get_by_label("Join a room").fill("stage")
        page.get_by_label("Join a room").press("Enter")
        page.get_by_role("main").locator("form button[type=submit]").click()
        guest.say("still here")
        assert guest.hear() == ["said", "still here"]
        expect(page.get_by_role("row", name="stage")).to_have_count(0)
    context.close()
    assert trouble == []
