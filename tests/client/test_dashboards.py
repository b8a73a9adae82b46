"""The Python SDK speaks of dashboards."""

from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient, Client
from tests.api.live import lively
from tests.support.server import running

LINES = [{"name": "web"}]


async def test_dashboards_are_made_filled_and_read(tmp_path: Path) -> None:
    """By one client, in coroutines; errors by name."""
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["dashboards:*", "topics:*"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            chart = {"type": "series", "id": "orders", "lines": LINES}
            made = await clarion.put_dashboard("sales", [chart], title="Sales")
            assert (made.version, made.definition["title"]) == (1, "Sales")
            assert (await clarion.dashboard("sales")) == made
            await clarion.put_dashboard("a", [])
            assert [each.id async for each in clarion.dashboards()] == ["a", "sales"]
            await clarion.publish("dashboard:sales", "append", {"v": [[5]]}, key="orders")
            assert (await clarion.chart_points("sales", "orders")).v == [[5]]
            await clarion.delete_dashboard("sales")
            with pytest.raises(ApiError) as caught:
                await clarion.dashboard("sales")
            assert caught.value.code == "not_found"


async def test_a_program_without_a_loop_and_one_that_follows(tmp_path: Path) -> None:
    """What the one gives the other sees: a chart grows, its whole value is in each change."""
    with running(tmp_path, CLARION_DASHBOARDS_CONFLATE_S="0.05") as server:
        key = server.key("dashboards:*", "topics:*")
        with Client(server.url, key=key) as clarion:
            clarion.put_dashboard(
                "d", [{"type": "series", "id": "c", "lines": LINES, "roll_up": "last"}]
            )
            clarion.publish("dashboard:d", "append", {"v": [[1]]}, key="c")
            async with (
                AsyncClient(server.url, key=key) as other,
                other.topic("dashboard:d") as dashboard,
            ):
                assert dashboard.items["c"]["v"] == [[1]]
                for n in (2, 3):
                    clarion.publish("dashboard:d", "append", {"v": [[n]]}, key="c")
                    change = await anext(dashboard)
                    assert (change.event, change.data["v"][0][-1]) == ("append", n)
            assert clarion.chart_points("d", "c").v == [[1, 2, 3]]
            assert [each.id for each in clarion.dashboards()] == ["d"]
            assert clarion.dashboard("d").version == 1
            clarion.delete_dashboard("d")
