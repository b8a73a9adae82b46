"""A page of another origin, in a real browser: it loads the client from the server, connects with its cookies, or may not."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent

PAGE = """<!doctype html><title>waiting</title><script src="%(server)s/socket.io/socket.io.js"></script><script>
  const socket = io("%(server)s", { withCredentials: true, transports: %(transports)s, reconnection: false });
  socket.on("connect", async () => {
    const { transport, sent } = await socket.emitWithAck("cookies");
    document.title = `connected ${transport} ${sent.some((each) => each.startsWith("seen="))}`;
  });
  socket.on("connect_error", () => { document.title = "refused"; });
</script>"""


@pytest.fixture(scope="module")
def pages() -> Iterator[tuple[int, dict[str, str]]]:
    """A port that serves pages, and the pages by path."""
    texts: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = texts.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, texts
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(pages: tuple[int, dict[str, str]]) -> Iterator[str]:
    """The server, which allows the pages of 127.0.0.1 alone."""
    command = [sys.executable, str(HERE / "cors_server.py"), f"http://127.0.0.1:{pages[0]}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=HERE.parents[1], text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


def shown(chromium: Browser, host: str, transports: str, pages, server: str) -> str:
    """What the page says in the end."""
    port, texts = pages
    texts["/"] = PAGE % {"server": server, "transports": transports}
    with chromium.new_context() as context:
        page: Page = context.new_page()
        page.goto(f"http://{host}:{port}/")
        page.wait_for_function("document.title != 'waiting'", timeout=20_000)
        return page.title()


def test_a_page_of_an_allowed_origin_connects_with_its_cookies(
    chromium: Browser, pages, server: str
) -> None:
    """Polling is cross-origin with credentials: the cookie of the first answer comes back; the upgrade works, too."""
    assert shown(chromium, "127.0.0.1", '["polling"]', pages, server) == "connected polling true"
    both = shown(chromium, "127.0.0.1", '["websocket"]', pages, server)
    assert both.startswith("connected websocket")


@pytest.mark.parametrize("transports", ['["polling"]', '["websocket"]'])
def test_a_page_of_another_site_gets_nowhere(
    chromium: Browser, pages, server: str, transports: str
) -> None:
    """Cross-site WebSocket hijacking: `localhost` is another origin than 127.0.0.1, and is let in on neither transport."""
    assert shown(chromium, "localhost", transports, pages, server) == "refused"
