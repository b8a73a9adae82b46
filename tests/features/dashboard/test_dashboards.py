"""Dashboards by the commands that a socket sends and the calls of an application: everybody who watches sees the same."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion.errors import Invalid, NotFound, Overloaded, TooLarge, TooMany
from clarion.features.dashboard import (
    Bar,
    Definition,
    Gauge,
    Line,
    Note,
    Series,
    Stat,
    Status,
    gathering,
)
from clarion.telemetry import spawn
from clarion.topics import PublishArgs, publish_many
from tests.features.dashboard.house import ADA, DashboardSettings, Node, nodes
from tests.topics.fakes import settle

SALES = Definition(
    "Sales",
    [
        Stat(id="visitors", trend_s=60),
        Gauge(id="load"),
        Series(id="orders", lines=[Line("web"), Line("shop")], window_s=60),
        Bar(id="countries"),
        Status(id="health"),
    ],
)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with nodes(tmp_path) as [made]:
        await made.dashboards.put("sales", SALES)
        yield made


async def test_whoever_watches_gets_what_is_there_and_then_every_change(node: Node) -> None:
    """The definition and each widget under its key, for who comes early and who comes late; hidden members are nobody's."""
    early = await node.watch("dashboard:sales", "early")
    assert early.items["definition"]["title"] == "Sales"
    assert early.items["definition"]["widgets"][0] == {
        "type": "stat", "id": "visitors", "title": "", "place": None, "unit": "", "decimals": None, "trend_s": 60.0,
    }  # fmt: skip
    publisher = node.socket("p")
    answer = await node.ask(publisher, "publish", "dashboard:sales", key="visitors", data=42)
    assert (answer["offset"], answer["class"]) == (2, "recoverable")
    t = node.clock.now_ms()
    await node.dashboards.append("sales", "orders", {"t": [t - 1_000, t], "v": [[1, 2], [3, None]]})
    await node.dashboards.increment("sales", "countries", {"de": 2, "fr": 1})
    await node.dashboards.set("sales", "health", {"db": "ok"})
    late = await node.watch("dashboard:sales", "late")
    assert await early.look() == late.items
    assert late.items["orders"] == {
        "t": [t - 1_000, t], "v": [[1, 2], [3, None]], "step_ms": 200, "at": t,
    }  # fmt: skip
    assert late.items["countries"]["bars"] == {"de": 2, "fr": 1}
    assert "_" not in str(late.items.keys() | late.items["visitors"].keys())
    node.clock.advance(1)
    await node.dashboards.append("sales", "orders", {"v": [[5], [6]]})
    await node.dashboards.increment("sales", "visitors")
    assert (
        await early.look()
        == await late.look()
        == (await node.watch("dashboard:sales", "new")).items
    )
    assert late.events == [("append", "orders"), ("append", "visitors")]


async def test_what_comes_between_two_ticks_is_one_change_of_each_widget(node: Node) -> None:
    """A thousand publications: nothing of them is lost, viewers are told twice of each widget, and every publisher is answered."""
    viewer = await node.watch("dashboard:sales")
    t = node.clock.now_ms()
    calls: list[Any] = []
    for n in range(250):
        calls += [
            node.dashboards.increment("sales", "visitors"),
            node.dashboards.set("sales", "load", n),
            node.dashboards.append("sales", "orders", {"t": [t + n], "v": [[n], [1]]}),
            node.dashboards.increment("sales", "countries", {"de": 1}),
        ]
    done = await asyncio.gather(*calls)
    seen = await viewer.look()
    assert [seen[id].get("value", seen[id].get("bars")) for id in ("visitors", "load", "countries")] == [
        250, 249, {"de": 250},
    ]  # fmt: skip
    assert len(viewer.events) <= 8
    assert len({each.offset for each in done}) <= 8
    assert await node.dashboards.points("sales", "orders", most=300) == (
        [t + n for n in range(250)],
        [[*range(250)], [1] * 250],
    )


async def test_a_batch_waits_for_one_tick_and_what_is_wrong_keeps_nobody(node: Node) -> None:
    """A hundred publications in one call have one answer each, in their order."""
    t = node.clock.now_ms()
    given = [
        PublishArgs(
            topic="dashboard:sales",
            event="append",
            key="orders",
            data={"t": [t + n % 50], "v": [[n], [n]]},
        )
        for n in range(100)
    ]
    given[7] = PublishArgs(topic="dashboard:sales", key="nothing", data=1)
    outcomes = await publish_many(node.topics, ADA, given, 255)
    assert [type(each).__name__ for each in outcomes] == [
        "NotFound" if n == 7 else "Published" if n < 50 else "Invalid" for n in range(100)
    ]


async def test_a_repetition_adds_nothing(node: Node) -> None:
    """The same id counts once, the same points are there once; both are answered as a duplicate."""
    first = await node.dashboards.increment("sales", "visitors", 5, once="a")
    again = await node.dashboards.increment("sales", "visitors", 5, once="a")
    assert (again.dropped, again.offset) == ("duplicate", first.offset)
    t = node.clock.now_ms()
    point = {"t": [t], "v": [[1], [1]]}
    both = await asyncio.gather(*(node.dashboards.append("sales", "orders", point) for _ in "ab"))
    assert [getattr(each, "dropped", None) == "duplicate" for each in both] == [False, True]
    viewer = await node.watch("dashboard:sales")
    assert viewer.items["visitors"]["value"] == 5
    assert viewer.items["orders"]["t"] == [t]


async def test_another_definition_reaches_who_watches_and_keeps_what_fits(node: Node) -> None:
    """Widgets that went are removed, those with another type begin anew, the rest keep what they have."""
    await node.dashboards.set("sales", "visitors", 1)
    await node.dashboards.set("sales", "load", 2)
    await node.dashboards.set("sales", "countries", {"de": 1})
    await node.dashboards.append("sales", "orders", {"v": [[1], [1]]})
    viewer = await node.watch("dashboard:sales")
    lines = [Line("web"), Line("shop")]
    wider = Series(id="orders", lines=lines, window_s=3_600)
    now = Definition("More", [Stat(id="visitors"), Note(id="load"), wider])
    made = await node.dashboards.put("sales", now)
    assert made.version == 2
    seen = await viewer.look()
    assert seen.keys() == {"definition", "visitors", "orders"}
    assert seen["definition"]["title"] == "More"
    assert seen["orders"]["step_ms"] == 15_000
    assert seen == (await node.watch("dashboard:sales", "new")).items
    assert (await node.dashboards.put("sales", now)).version == 2
    assert await viewer.look() is seen
    with pytest.raises(NotFound):
        await node.dashboards.set("sales", "countries", {"de": 1})


async def test_a_dashboard_that_is_removed_is_gone_for_all(node: Node) -> None:
    """Who watches is told and put out; nothing can be given or subscribed to; one of the same name begins empty."""
    await node.dashboards.set("sales", "visitors", 1)
    before = await node.dashboards.find("sales")
    viewer = await node.watch("dashboard:sales")
    await node.dashboards.remove("sales")
    await settle()
    await viewer.look()
    assert viewer.events[-1][0] == "unsubscribed"
    error = await node.error(node.socket(), "subscribe", "dashboard:sales")
    assert error["code"] == "not_found"
    with pytest.raises(NotFound):
        await node.dashboards.set("sales", "visitors", 1)
    node.clock.advance(1)
    again = await node.dashboards.put("sales", SALES)
    assert again.version == 1
    assert again.etag != before.etag
    assert (await node.watch("dashboard:sales", "new")).items.keys() == {"definition"}


async def test_nodes_that_share_a_store_add_up(tmp_path: Path) -> None:
    """Two nodes give to the same widgets at once: no increment is lost, points stay in order, both show the same."""
    async with nodes(tmp_path, 2) as [one, two]:
        await one.dashboards.put("sales", SALES)
        viewers = [await each.watch("dashboard:sales", str(n)) for n, each in enumerate((one, two))]
        t = one.clock.now_ms()
        for turn in range(10):
            calls = [
                each.dashboards.increment("sales", "visitors")
                for each in (one, two)
                for _ in range(5)
            ]
            calls += [
                each.dashboards.append("sales", "orders", {"t": [t + turn], "v": [[n], [n]]})
                for n, each in enumerate((one, two))
            ]
            await asyncio.gather(*calls, return_exceptions=True)
        await settle()
        seen = [await viewer.look() for viewer in viewers]
        assert seen[0] == seen[1] == (await two.watch("dashboard:sales", "new")).items
        assert seen[0]["visitors"]["value"] == 100
        assert (await one.dashboards.points("sales", "orders"))[0] == [
            t + turn for turn in range(10)
        ]
        await two.dashboards.put("sales", Definition("Two"))
        await settle()
        assert (await viewers[0].look()).keys() == {"definition"}


async def test_a_viewer_that_is_slow_ends_where_all_are(node: Node) -> None:
    """It gets of each widget one change for all that it has missed."""
    viewer, quick = (
        await node.watch("dashboard:sales", "slow"),
        await node.watch("dashboard:sales", "q"),
    )
    await node.dashboards.append("sales", "orders", {"v": [[0], [0]]})
    await viewer.look()
    viewer.socket.is_slow = True
    for n in range(5):
        node.clock.advance(1)
        await node.dashboards.append("sales", "orders", {"v": [[n], [n]]})
        await node.dashboards.set("sales", "load", n)
    await settle()
    assert viewer.socket.got == []
    viewer.socket.is_slow = False
    for subscription in list(node.engine._books.lagging):
        subscription.catch_up()
    assert await viewer.look() == await quick.look()
    assert viewer.events == [("set", "orders"), ("append", "orders"), ("set", "load")]


BAD: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("dashboard:sales", {"data": 1}, "invalid", "/key"),
    ("dashboard:sales", {"key": "definition", "data": 1}, "invalid", "/key"),
    ("dashboard:sales", {"key": "x\n", "data": 1}, "invalid", "/key"),
    ("dashboard:sales", {"key": "visitors", "event": "remove"}, "invalid", "/event"),
    ("dashboard:sales", {"key": "visitors", "event": "vote", "data": 1}, "invalid", "/event"),
    ("dashboard:sales", {"key": "visitors", "event": "pulled", "data": 1}, "invalid", "/event"),
    ("dashboard:sales", {"key": "visitors", "event": "stale", "data": {}}, "invalid", "/event"),
    ("dashboard:sales", {"key": "visitors", "event": "alerts", "data": {}}, "invalid", "/event"),
    ("dashboard:sales", {"key": "visitors", "data": 1, "ttl_s": 5}, "invalid", ""),
    ("dashboard:sales", {"key": "visitors", "data": 1, "owned": True}, "invalid", ""),
    ("dashboard:sales", {"key": "visitors", "data": "x" * 2_001}, "too_large", None),
    ("dashboard:sales", {"key": "nothing", "data": 1}, "not_found", None),
    ("dashboard:none", {"key": "visitors", "data": 1}, "not_found", None),
    ("dashboard:sales/..", {"key": "visitors", "data": 1}, "not_found", None),
]


@pytest.mark.parametrize(("topic", "given", "code", "pointer"), BAD)
async def test_what_no_widget_can_be_given_is_refused(
    node: Node, topic: str, given: dict[str, Any], code: str, pointer: str | None
) -> None:
    """By name, with its place; the dashboard stays as it is."""
    error = await node.error(node.socket(), "publish", topic, **given)
    assert error["code"] == code
    if pointer is not None:
        assert error["errors"][0]["pointer"] == pointer
    assert (await node.watch("dashboard:sales", "v")).items.keys() == {"definition"}


async def test_a_dashboard_takes_no_params_and_only_whom_it_was_granted(node: Node) -> None:
    error = await node.error(node.socket(), "subscribe", "dashboard:sales", params={"points": 1})
    assert error["errors"][0]["pointer"] == "/params"
    nobody = node.commands
    nobody._principal_of = lambda _: type(ADA)(id="eve")
    for command, more in (("subscribe", {}), ("publish", {"key": "load", "data": 1})):
        error = await node.error(node.socket("e"), command, "dashboard:sales", **more)
        assert error["code"] == "forbidden"


async def test_limits_are_named(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dashboards of a tenant, widgets and bytes of a definition, publications that wait."""
    await node.dashboards.put("b", SALES)
    await node.dashboards.put("c", SALES)
    with pytest.raises(TooMany, match=r"limits\.dashboards"):
        await node.dashboards.put("d", SALES)
    await node.dashboards.put("d", SALES, "elsewhere")
    with pytest.raises(Invalid):
        await node.dashboards.put("b", Definition("x", [Gauge(id=f"g{n}") for n in range(101)]))
    with pytest.raises(Invalid) as caught:
        await node.dashboards.put("b", Definition("x", [Gauge(id="no id")]))
    assert caught.value.faults[0].pointer == "/widgets/0/id"
    rows = [Series(id=f"s{n}", lines=[Line("x" * 200)] * 16) for n in range(100)]
    with pytest.raises(TooLarge):
        await node.dashboards.put("b", Definition("x", [*rows]))
    monkeypatch.setattr(gathering, "WAITING", 5)
    calls = (node.dashboards.increment("sales", "visitors") for _ in range(9))
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, Overloaded) for each in done] == [False] * 5 + [True] * 4


async def test_tenants_do_not_share_names(node: Node) -> None:
    """Another tenant's dashboard of the same name is another one."""
    await node.dashboards.put("sales", Definition("Theirs", [Gauge(id="load")]), "elsewhere")
    await node.dashboards.set("sales", "load", 1, "elsewhere")
    assert (await node.watch("dashboard:sales")).items.keys() == {"definition"}
    assert [each.id for each in (await node.dashboards.list("elsewhere"))[0]] == ["sales"]


async def test_what_waits_is_written_before_the_end(tmp_path: Path) -> None:
    async with nodes(tmp_path) as [node]:
        await node.dashboards.put("sales", SALES)
        await node.dashboards.set("sales", "load", 1)

        async def waits() -> int:
            return (await node.dashboards.set("sales", "load", 2)).offset

        waiting = spawn(waits(), name="waits")
        await settle()
        await node.dashboards.close()
        assert await waiting == 3


async def test_topics_of_dashboards_are_changed_by_nobody_else(node: Node) -> None:
    """An application that would write past the widgets is refused."""
    with pytest.raises(Exception, match="ways of their own"):
        await node.topics.of("dashboard:sales").set("visitors", 1)


async def test_a_widget_that_is_given_nothing_for_long_has_nothing(tmp_path: Path) -> None:
    """Viewers are told; what is given all the time stays, and is noted to end once in a while only."""
    settings = DashboardSettings(conflate_s=0.05, keep_s=100)
    async with nodes(tmp_path, settings=settings) as [node]:
        await node.dashboards.put("sales", SALES)
        viewer = await node.watch("dashboard:sales")
        await node.dashboards.set("sales", "visitors", 1)
        for n in range(30):
            await node.dashboards.set("sales", "load", n)
            node.clock.advance(4)
        assert len(node.kept._due) < 18
        await node.topics.expire()
        assert (await viewer.look()).keys() == {"definition", "load"}
        assert viewer.events[-1] == ("remove", "visitors")
        await node.dashboards.increment("sales", "visitors")
        assert (await viewer.look())["visitors"]["value"] == 1
