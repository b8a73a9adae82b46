"""The poll: its page in a browser, from another origin, while somebody else votes by the Python of the server's API."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.server import running

ROOT = Path(__file__).parents[2]
FILES = {
    "/page.html": ROOT / "examples/poll/page.html",
    "/dashboard.html": ROOT / "examples/dashboard/page.html",
    "/socket.io-client.js": ROOT
    / "clients/node_modules/socket.io-client/dist/socket.io.esm.min.js",
}


class _Files(http.server.SimpleHTTPRequestHandler):
    """What a bundler would have made one file of."""

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0]
        return str(FILES.get(name, ROOT / "clients/client/dist" / name.removeprefix("/client/")))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    handler = functools.partial(_Files, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_poll_is_live(chromium: Browser, pages: str, tmp_path: Path) -> None:
    """Each page shows the votes of all, also those from before and those over HTTP; a second vote takes the first one's place."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with running(
        tmp_path, "--app", "examples.poll.server:setup", CLARION_ALLOWED_ORIGINS=pages
    ) as server:
        tokens = {name: server.register(name)["access_token"] for name in ("ann", "ben", "cas")}
        at = "/v1/topics/poll:lunch/publications"
        vote = {"event": "vote", "data": "soup"}
        assert server.post(at, vote, token=tokens["cas"]).status_code == 200
        context = chromium.new_context()

        def opened(name: str) -> Page:
            page = context.new_page()
            page.goto(f"{pages}/page.html?server={server.url}&token={tokens[name]}")
            expect(page.locator("#status")).to_have_text("live")
            expect(page.locator("#soup")).to_have_text("soup: 1")
            return page

        ann, ben = opened("ann"), opened("ben")
        ann.click("#pizza")
        expect(ben.locator("#pizza")).to_have_text("pizza: 1")
        ann.click("#salad")
        expect(ben.locator("#salad")).to_have_text("salad: 1")
        expect(ben.locator("#pizza")).to_have_text("pizza: 0")
        assert server.post(at, vote, token=tokens["ben"]).status_code == 200
        expect(ann.locator("#soup")).to_have_text("soup: 2")
        cake = server.post(at, {"event": "vote", "data": "cake"}, token=tokens["ben"])
        assert cake.status_code == 422
        context.close()
