"""Alerts: each crossing is told once, whatever goes on around it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.bus import LocalBus
from clarion.clock import ManualClock, SystemClock
from clarion.errors import Invalid, Unavailable
from clarion.features.dashboard import (
    Alert,
    Asked,
    Bar,
    Definition,
    Gauge,
    Line,
    Series,
    Source,
    Stat,
    Widget,
)
from clarion.features.dashboard.alerts import contradicts, side
from clarion.ids import Ids
from clarion.settings import Dashboards as Settings
from clarion.storage import open_store
from clarion.topics.stores import MemoryStore
from tests.features.dashboard.house import Node, Viewer, nodes
from tests.features.dashboard.test_pulling import until
from tests.topics.fakes import settle

TELL = {"recipients": ["ann"], "title": "Look"}
HOT = Alert(id="hot", above=80, clear=60, trigger=TELL)


def board(*widgets: Widget) -> Definition:
    return Definition("Ops", list(widgets))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with nodes(tmp_path) as [made]:
        await made.worker.start()
        await made.dashboards.put("ops", board(Gauge(id="load", alerts=[HOT])))
        yield made


def state_of(viewer: Viewer) -> Any:
    alerts = viewer.items["load"].get("alerts")
    return None if alerts is None else {id: each["state"] for id, each in alerts.items()}


async def in_time(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await settle()


async def give(node: Node, viewer: Viewer, number: float, expected: dict[str, str]) -> None:
    node.clock.advance(0.01)
    await node.dashboards.set("ops", "load", number)

    def is_so(items: dict[str, Any]) -> bool:
        return items.get("load", {}).get("value") == number and state_of(viewer) == expected

    await until(viewer, is_so)


async def test_a_crossing_is_told_once_and_again_only_after_it_was_over(node: Node) -> None:
    """Between the threshold and `clear` all stays as it is; viewers see what is broken, and nothing of whom it is told."""
    viewer = await node.watch("dashboard:ops")
    assert "ann" not in str(viewer.items)
    assert viewer.items["definition"]["widgets"][0]["alerts"] == [
        {"id": "hot", "above": 80.0, "clear": 60.0}
    ]
    for number, expected in [(70, {}), (80, {}), (81, {"hot": "firing"}), (70, {"hot": "firing"}), (99, {"hot": "firing"})]:  # fmt: skip
        await give(node, viewer, number, expected)
    [first] = await node.triggers.at_least(1)
    assert (first.tenant, first.source, first.asks) == ("default", "dashboard", TELL)
    since = viewer.items["load"]["alerts"]["hot"]["since"]
    assert first.about == {
        "id": "ops", "widget": "load", "alert": "hot", "since": since, "number": 81,
    }  # fmt: skip
    await give(node, viewer, 60, {})
    await give(node, viewer, 61, {})
    await give(node, viewer, 85, {"hot": "firing"})
    first, second = await node.triggers.at_least(2)
    assert first.key != second.key
    assert viewer.items == (await node.watch("dashboard:ops", "new")).items
    assert len(node.triggers.taken) == 2


async def test_it_must_last_where_that_is_asked_for(node: Node) -> None:
    """A number that falls back in time calls the wait off; one that stays is told after `for_s`, without another number."""
    low = Alert(id="low", below=5, for_s=60, trigger=TELL)
    await node.dashboards.put("ops", board(Gauge(id="load", alerts=[low])))
    viewer = await node.watch("dashboard:ops")
    await give(node, viewer, 4, {"low": "pending"})
    await give(node, viewer, 5, {})
    node.clock.advance(30)
    await give(node, viewer, 3, {"low": "pending"})
    node.clock.advance(31)  # the first wait would be over now
    node.worker.wake()
    await asyncio.sleep(0.1)
    assert node.triggers.taken == []
    assert state_of(viewer) == {"low": "pending"}
    node.clock.advance(30)
    node.worker.wake()
    [told] = await node.triggers.at_least(1)
    assert told.about["number"] == 3
    await until(viewer, lambda items: state_of(viewer) == {"low": "firing"})
    await give(node, viewer, 5, {})


async def test_what_cannot_be_told_now_is_told_later_under_the_same_name(node: Node) -> None:
    """A taker that is away is asked again; one that refuses is not."""
    viewer = await node.watch("dashboard:ops")
    node.triggers.refuses = Unavailable()
    await give(node, viewer, 90, {"hot": "firing"})
    await asyncio.sleep(0.1)
    node.triggers.refuses = None
    node.clock.advance(10)
    node.worker.wake()
    await node.triggers.at_least(1)
    await give(node, viewer, 0, {})
    node.triggers.refuses = Invalid("nobody is called ann")
    await give(node, viewer, 90, {"hot": "firing"})
    await give(node, viewer, 0, {})
    node.triggers.refuses = None
    await give(node, viewer, 90, {"hot": "firing"})
    first, third = await node.triggers.at_least(2)
    assert first.key != third.key


async def test_what_fires_still_does_after_a_restart(tmp_path: Path) -> None:
    """The topics were in memory: the same crossing is not told again; and it is over when the number says so."""
    clock = ManualClock()
    store = await open_store(data_dir=tmp_path / "data", clock=clock)
    taken = []
    for turn in range(2):
        kept = MemoryStore(clock=clock, ids=Ids.seeded(turn))
        node = Node(store, kept, LocalBus(), clock)
        await node.worker.start()
        await node.dashboards.put("ops", board(Gauge(id="load", alerts=[HOT])))
        viewer = await node.watch("dashboard:ops")
        await give(node, viewer, 90, {"hot": "firing"})
        if turn == 0:
            await node.triggers.at_least(1)
        else:
            await give(node, viewer, 10, {})
        taken.append(len(node.triggers.taken))
        await node.close()
        clock.advance(1)
    await store.close()
    assert taken == [1, 0]


async def test_many_nodes_tell_one_crossing_once(tmp_path: Path) -> None:
    """Both are given numbers beyond the threshold at the same time; either may see that it is over."""
    async with nodes(tmp_path, 2) as pair:
        one, two = pair
        await one.dashboards.put("ops", board(Gauge(id="load", alerts=[HOT])))
        for node in pair:
            await node.worker.start()
        viewer = await one.watch("dashboard:ops")
        for turn in range(3):
            given = (n.dashboards.set("ops", "load", 90 + i) for i, n in enumerate(pair * 5))
            await asyncio.gather(*given)
            await until(viewer, lambda items: state_of(viewer) == {"hot": "firing"})
            await give(pair[turn % 2], viewer, 1, {})
            one.clock.advance(1)
        await settle()
        await in_time(lambda: len(one.triggers.taken) + len(two.triggers.taken) >= 3)
        keys = [each.key for node in pair for each in node.triggers.taken]
        assert len(keys) == len({*keys}) == 3


async def test_a_store_that_is_away_delays_an_alert_and_loses_none(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another number."""
    viewer = await node.watch("dashboard:ops")
    real = node.dashboards._alerts._store.transaction
    away = True

    def transaction() -> Any:
        if away:
            raise Unavailable
        return real()

    monkeypatch.setattr("clarion.features.dashboard.alerts.AGAIN_S", 0.05)
    monkeypatch.setattr(node.dashboards._alerts._store, "transaction", transaction)
    await node.dashboards.set("ops", "load", 90)
    await asyncio.sleep(0.1)
    away = False
    await node.triggers.at_least(1)
    await until(viewer, lambda items: state_of(viewer) == {"hot": "firing"})


async def test_lines_and_bars_have_alerts_of_their_own(node: Node) -> None:
    """Of a chart the newest point counts as it was given; a bar or a point that is not there is no number."""
    shop = Alert(id="shop", above=5, of="shop", trigger=TELL)
    web = Alert(id="web", above=5, trigger=TELL)
    chart = Series(id="orders", lines=[Line("web"), Line("shop")], alerts=[web, shop])
    bars = Bar(id="stock", alerts=[Alert(id="out", below=1, of="shoes", trigger=TELL)])
    stat = Stat(id="load", alerts=[HOT])
    await node.dashboards.put("ops", board(chart, bars, stat))
    viewer = await node.watch("dashboard:ops")
    await node.dashboards.append("ops", "orders", {"v": [[None], [6]]})
    await node.dashboards.set("ops", "stock", {"hats": 0})
    await node.dashboards.set("ops", "load", 100)
    await node.triggers.at_least(2)
    await until(viewer, lambda items: "shop" in items["orders"].get("alerts", {}))
    await node.dashboards.set("ops", "stock", {"shoes": 0})
    taken = await node.triggers.at_least(3)
    assert {each.about["alert"] for each in taken} == {"shop", "hot", "out"}
    node.clock.advance(1)
    await node.dashboards.append("ops", "orders", {"v": [[7], [1]]})
    items = await until(viewer, lambda items: [*items["orders"]["alerts"]] == ["web"])
    assert items == (await node.watch("dashboard:ops", "new")).items


async def test_another_definition_judges_anew(node: Node) -> None:
    """An alert that went is forgotten, one of the same name goes on; a dashboard of the same name begins anew."""
    viewer = await node.watch("dashboard:ops")
    await give(node, viewer, 90, {"hot": "firing"})
    hotter = Alert(id="hot", above=95, trigger=TELL)
    await node.dashboards.put("ops", board(Gauge(id="load", alerts=[hotter])))
    await until(viewer, lambda items: state_of(viewer) == {})
    await node.dashboards.put("ops", board(Gauge(id="load")))
    await until(viewer, lambda items: state_of(viewer) is None)
    node.clock.advance(1)
    await node.dashboards.put("ops", board(Gauge(id="load", alerts=[HOT])))
    await until(viewer, lambda items: state_of(viewer) == {"hot": "firing"})
    await node.triggers.at_least(2)
    await node.dashboards.remove("ops")
    await node.dashboards.put("ops", board(Gauge(id="load", alerts=[HOT])))
    node.clock.advance(1)
    await node.dashboards.set("ops", "load", 90)
    taken = await node.triggers.at_least(3)
    assert len({each.key for each in taken}) == 3


async def test_what_an_alert_is_about_is_fetched_whoever_watches(tmp_path: Path) -> None:
    """Nobody watches: the source is asked by one node, from its start on; the other widgets' sources are not."""
    asked: list[str] = []
    async with nodes(tmp_path, 2, Settings(conflate_s=0.05, lease_s=0.6), SystemClock()) as pair:
        for node in pair:
            await node.worker.start()

            @node.dashboards.source("load")
            async def load(given: Asked) -> int:
                asked.append(given.widget)
                return 99

        source = Source(function="load", every_s=60)
        definition = board(
            Gauge(id="load", source=source, alerts=[HOT]), Gauge(id="other", source=source)
        )
        await pair[0].dashboards.put("ops", definition)
        await in_time(lambda: any(node.triggers.taken for node in pair))
        assert asked == ["load"]
        viewer = await pair[1].watch("dashboard:ops")
        assert viewer.items["load"]["value"] == 99
        await until(viewer, lambda items: "other" in items)
        assert asked == ["load", "other"]
        await pair[1].dashboards.remove("ops")
        await in_time(lambda: not any(node.dashboards._pulling._watched for node in pair))


BAD: list[tuple[Widget, str]] = [
    (Gauge(id="g", alerts=[Alert(id="a", trigger=TELL)]), ""),
    (Gauge(id="g", alerts=[Alert(id="a", above=1, below=2, trigger=TELL)]), ""),
    (Gauge(id="g", alerts=[Alert(id="a", above=1, clear=2, trigger=TELL)]), "/clear"),
    (Gauge(id="g", alerts=[Alert(id="a", below=1, clear=0, trigger=TELL)]), "/clear"),
    (Gauge(id="g", alerts=[Alert(id="a", above=1, of="x", trigger=TELL)]), "/of"),
    (Bar(id="g", alerts=[Alert(id="a", above=1, trigger=TELL)]), "/of"),
    (Series(id="g", lines=[Line("x")], alerts=[Alert(id="a", above=1, of="y", trigger=TELL)]), "/of"),
    (Gauge(id="g", alerts=[Alert(id="a", above=1, for_s=-1, trigger=TELL)]), "/for_s"),
    (Gauge(id="g", alerts=[Alert(id="a", above=1)]), "/trigger/title"),
]  # fmt: skip


async def test_an_alert_that_means_nothing_is_refused(node: Node) -> None:
    for widget, pointer in BAD:
        with pytest.raises(Invalid) as caught:
            await node.dashboards.put("bad", board(widget))
        assert caught.value.faults[0].pointer == f"/widgets/0/alerts/0{pointer}", widget


async def test_alerts_of_a_widget_are_bounded_and_have_names_of_their_own(node: Node) -> None:
    for count, pointer in ((2, "/widgets/0/alerts"), (9, "/widgets/0/alerts")):
        with pytest.raises(Invalid) as caught:
            await node.dashboards.put("bad", board(Gauge(id="g", alerts=[HOT] * count)))
        assert caught.value.faults[0].pointer == pointer


@given(st.floats(-9, 9), st.floats(0, 9), st.lists(st.floats(-20, 20), max_size=30), st.booleans())
def test_alerts_have_hysteresis(
    threshold: float, gap: float, numbers: list[float], is_above: bool
) -> None:
    """Whatever the numbers: one crossing for each time that the threshold is passed after `clear` was reached; an alert below is one above upside down."""
    sign = 1 if is_above else -1
    limit = {"above" if is_above else "below": sign * threshold, "clear": sign * (threshold - gap)}
    alert = Alert(id="a", **limit)
    known: dict[str, str] | None = None
    crossings, armed = 0, True
    expected = 0
    for number in numbers:
        if armed and number > threshold:
            expected, armed = expected + 1, False
        elif number <= threshold - gap:
            armed = True
        if contradicts(alert, sign * number, known):
            crossings += known is None
            known = {"state": "firing"} if known is None else None
        assert (side(alert, sign * number) == "broken") == (number > threshold)
    assert crossings == expected


async def test_a_widget_that_becomes_another_while_it_is_looked_at_breaks_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is judged is a widget and what it had at one moment: others are still told of, and so is what it is by now."""
    hot = Alert(id="hot", above=80, trigger=TELL)
    both = board(Gauge(id="load", alerts=[HOT]), Gauge(id="heat", alerts=[hot]))
    await node.dashboards.put("ops", both)
    get, others = node.kept.get, list[None]()

    async def and_meanwhile(topic: Any, keys: Any) -> Any:
        found = await get(topic, keys)
        task = asyncio.current_task()
        if not others and task is not None and task.get_name() == "dashboards: alerts":
            others.append(None)
            chart = Series(id="load", lines=[Line("one")], alerts=[hot])
            await node.dashboards.put("ops", board(chart, *both.widgets[1:]))
            await node.dashboards.append("ops", "load", {"v": [[81]]})
            await node.dashboards.set("ops", "heat", 82)
        return found

    monkeypatch.setattr(node.kept, "get", and_meanwhile)
    await node.dashboards.set("ops", "load", 1)
    told = await node.triggers.at_least(2)
    assert {(each.about["widget"], each.about["number"]) for each in told} == {("load", 81), ("heat", 82)}  # fmt: skip
