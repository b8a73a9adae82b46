"""Dashboards in every store that topics have: what two nodes give is in both, and viewers see nothing that is not theirs."""

import asyncio
from pathlib import Path

import pytest

from clarion.clock import SystemClock
from clarion.features.dashboard import Alert, Definition, Gauge, Line, Series, Stat
from clarion.ids import Ids
from tests.features.dashboard.house import nodes
from tests.features.dashboard.test_pulling import until
from tests.topics.stores.makers import STORES

HOT = Alert(id="hot", above=80, trigger={"title": "s3cret"})
OPS = Definition(
    "Ops",
    [
        Stat(id="hits", trend_s=60),
        Gauge(id="load", alerts=[HOT]),
        Series(id="cpu", lines=[Line("a"), Line("b")], window_s=60),
    ],
)


@pytest.mark.parametrize("name", STORES)
async def test_two_nodes_share_a_dashboard(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Increments add up, points are where they were put, an alert shows on both; a definition that changes keeps what fits."""
    clock = SystemClock()
    async with (
        STORES[name](request, clock, Ids.seeded(9)) as kept,
        nodes(tmp_path, 2, clock=clock, kept=kept) as pair,
    ):
        one, two = pair
        await one.worker.start()
        await one.dashboards.put("ops", OPS)
        viewers = [await node.watch("dashboard:ops", f"{n}") for n, node in enumerate(pair)]
        t = clock.now_ms()
        for turn in range(3):
            point = {"t": [t + turn], "v": [[turn], [None]]}
            await asyncio.gather(
                *(node.dashboards.increment("ops", "hits") for node in pair for _ in range(5)),
                pair[turn % 2].dashboards.append("ops", "cpu", point),
                pair[turn % 2].dashboards.set("ops", "load", 40 * turn + 0.5),
            )
        await one.triggers.at_least(1)
        for viewer in viewers:
            await until(viewer, lambda items: items["load"].get("alerts"))
        await two.dashboards.put("ops", Definition("More", OPS.widgets))
        for viewer in viewers:
            items = await until(viewer, lambda items: items["definition"]["title"] == "More")
            assert (items["hits"]["value"], items["load"]["value"]) == (30, 80.5)
            assert "s3cret" not in str(items)
            assert all("_" not in item for item in items.values())
            assert items == (await two.watch("dashboard:ops", f"late {viewer.socket.id}")).items
        assert await two.dashboards.points("ops", "cpu") == (
            [t, t + 1, t + 2],
            [[0, 1, 2], [None] * 3],
        )
