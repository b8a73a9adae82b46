"""A dashboard with the unchanged JavaScript client, on a real server."""

from pathlib import Path

from clarion.client import Client
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
