"""Sources: asked while somebody watches, once for all who do, and what does not answer says so on its widget."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clarion.clock import SystemClock
from clarion.errors import Invalid, Unavailable, UsageError
from clarion.features.dashboard import Asked, Definition, Gauge, Line, Note, Series, Source, Stat
from clarion.outbound import Outbound
from clarion.settings import Dashboards as Settings
from tests.features.dashboard.house import Node, Viewer, nodes
from tests.outbound.conftest import Outside, response
from tests.topics.fakes import settle

SETTINGS = Settings(conflate_s=0.05, lease_s=0.6, source_timeout_s=0.5)
LOAD = Source(function="load", every_s=0.2, params={"host": "a"})


class Meter:
    """A source that a test reads and breaks."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Any = 7
        self.asking = asyncio.Condition()

    async def __call__(self, asked: Asked) -> Any:
        async with self.asking:
            self.asked.append(asked)
            self.asking.notify_all()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def next(self, more: int = 1) -> None:
        """Until it was asked so many times more."""
        count = len(self.asked) + more
        async with self.asking, asyncio.timeout(5):
            await self.asking.wait_for(lambda: len(self.asked) >= count)


async def until(viewer: Viewer, found: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """What a viewer shows once that is true of it."""
    async with asyncio.timeout(5):
        while not found(items := await viewer.look()):
            viewer.socket.arrived.clear()
            await viewer.socket.arrived.wait()
    return items


def is_stale(code: str, items: dict[str, Any]) -> bool:
    return bool(items["load"].get("stale", {}).get("code") == code)


def leave(node: Node, viewer: Viewer) -> None:
    node.engine.leave(viewer.socket)


@pytest.fixture
async def meter() -> Meter:
    return Meter()


@pytest.fixture
async def pair(tmp_path: Path, meter: Meter) -> AsyncIterator[list[Node]]:
    async with nodes(tmp_path, 2, SETTINGS, SystemClock()) as made:
        for node in made:

            @node.dashboards.source("load")
            async def load(asked: Asked) -> Any:
                return await meter(asked)

        await made[0].dashboards.put("ops", Definition("Ops", [Gauge(id="load", source=LOAD)]))
        yield made


async def test_one_question_serves_all_who_watch_on_whatever_node(
    pair: list[Node], meter: Meter
) -> None:
    """Many viewers of two nodes: each answer was asked for once; who comes late gets at once what the others have, without another question."""
    one, two = pair
    rarely = msgspec.structs.replace(LOAD, every_s=60)
    await one.dashboards.put("ops", Definition("Ops", [Gauge(id="load", source=rarely)]))
    early = [
        await node.watch("dashboard:ops", f"{n}{i}")
        for n, node in enumerate(pair)
        for i in range(20)
    ]
    for viewer in early:
        await until(viewer, lambda items: items.get("load", {}).get("value") == 7)
    assert meter.asked == [Asked("default", "ops", "load", {"host": "a"})]
    late = await two.watch("dashboard:ops", "late")
    assert late.items["load"]["value"] == 7
    assert len(meter.asked) == 1
    meter.answer = 8
    rarely = msgspec.structs.replace(LOAD, every_s=61)
    await one.dashboards.put("ops", Definition("Ops", [Gauge(id="load", source=rarely)]))
    for viewer in [*early, late]:
        await until(viewer, lambda items: items["load"]["value"] == 8)
    assert len(meter.asked) == 2
    assert late.items == (await one.watch("dashboard:ops", "latest")).items


async def test_nobody_is_asked_while_nobody_watches(pair: list[Node], meter: Meter) -> None:
    """Neither before the first viewer nor after the last; who comes back soon does not make it ask sooner."""
    [node, _] = pair
    await asyncio.sleep(0.3)
    assert meter.asked == []
    viewer = await node.watch("dashboard:ops")
    await until(viewer, lambda items: "load" in items)
    leave(node, viewer)
    await asyncio.sleep(0.3)
    count = len(meter.asked)
    await asyncio.sleep(0.3)
    assert len(meter.asked) == count
    await node.watch("dashboard:ops", "again")
    await meter.next()


async def test_what_is_as_it_was_is_not_sent(pair: list[Node], meter: Meter) -> None:
    """Equal answers are no publications; of a chart only what its columns differ in."""
    [node, _] = pair
    viewer = await node.watch("dashboard:ops")
    await until(viewer, lambda items: "load" in items)
    offset = viewer.offset
    await meter.next(2)
    await viewer.look()
    assert viewer.offset == offset

    chart = Series(id="load", lines=[Line("a")], window_s=600, source=LOAD)
    t = node.clock.now_ms() // 60_000 * 60_000
    times = [t - n * 60_000 for n in reversed(range(5))]
    meter.answer = {"t": times, "v": [[1, 2, 3, 4, 5]]}
    await node.dashboards.put("ops", Definition("Ops", [chart]))
    await until(viewer, lambda items: items.get("load", {}).get("v") == [[1, 2, 3, 4, 5]])
    # The newest minute has grown, and the oldest is not asked for any more.
    meter.answer = {"t": times[1:], "v": [[2, 3, 4, 6]]}
    await until(viewer, lambda items: items["load"]["v"] == [[2, 3, 4, 6]])
    assert viewer.events[-1] == ("append", "load")
    assert viewer.items == (await node.watch("dashboard:ops", "new")).items
    meter.answer = [9]
    await until(viewer, lambda items: items["load"]["v"][0][-1] == 9)


async def test_another_node_takes_over_where_the_one_that_asked_has_no_viewers_any_more(
    pair: list[Node], meter: Meter
) -> None:
    """And where it has died: its lease ends."""
    one, two = pair
    first = await one.watch("dashboard:ops")
    await until(first, lambda items: "load" in items)
    second = await two.watch("dashboard:ops")
    leave(one, first)
    meter.answer = 8
    await until(second, lambda items: items["load"]["value"] == 8)
    third = await one.watch("dashboard:ops", "third")
    two.dashboards._leases.release = _not  # type: ignore[method-assign]  # it dies without a word
    await two.dashboards._pulling.close()
    meter.answer = 9
    await until(third, lambda items: items["load"]["value"] == 9)


async def _not(_: Any) -> None:
    """Nothing."""


async def test_a_failing_source_is_said_to_be_stale_until_it_gives_something_again(
    pair: list[Node], meter: Meter
) -> None:
    """With what it gave last, since when, and a code; what the function died of stays in the log."""
    [node, _] = pair
    viewer = await node.watch("dashboard:ops")
    items = await until(viewer, lambda items: "load" in items)
    at = items["load"]["at"]
    for problem, code in [
        (Unavailable("db 10.0.0.3 away"), "unavailable"),
        (KeyError("secret"), "internal"),
        (asyncio.CancelledError(), "internal"),
    ]:
        meter.answer = problem
        items = await until(viewer, partial(is_stale, code))
        assert items["load"]["value"] == 7
        assert at <= items["load"]["stale"]["since"] <= node.clock.now_ms()
        assert "secret" not in str(items)
    assert (await node.watch("dashboard:ops", "late")).items == viewer.items
    meter.answer = 7
    await until(viewer, lambda items: "stale" not in items["load"])
    assert viewer.items == (await node.watch("dashboard:ops", "new")).items


async def test_what_cannot_be_shown_makes_a_widget_stale_from_the_beginning(
    pair: list[Node], meter: Meter
) -> None:
    """No number, no JSON, too much of it."""
    [node, _] = pair
    for n, answer in enumerate(["x", None, float("nan"), object(), {"a": "x" * 3_000}]):
        meter.answer = answer
        await node.dashboards.put(f"ops{n}", Definition("Ops", [Gauge(id="load", source=LOAD)]))
        viewer = await node.watch(f"dashboard:ops{n}", f"{n}")
        items = await until(viewer, lambda items: "load" in items)
        assert items["load"]["stale"]["code"] == "invalid"
        assert items["load"].keys() == {"stale"}
        meter.answer = 3
        items = await until(viewer, lambda items: "value" in items["load"])
        assert "stale" not in items["load"]
        leave(node, viewer)
        await node.dashboards.remove(f"ops{n}")


async def test_a_source_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """It is given up after `source_timeout_s`; its neighbours are asked meanwhile."""
    async with nodes(tmp_path, 1, SETTINGS, SystemClock()) as [node]:

        @node.dashboards.source("hangs")
        async def hangs(_: Asked) -> Any:
            await asyncio.Event().wait()

        @node.dashboards.source("answers")
        async def answers(_: Asked) -> Any:
            return 1

        widgets = [Stat(id=name, source=Source(function=name)) for name in ("hangs", "answers")]
        await node.dashboards.put("ops", Definition("Ops", [*widgets]))
        viewer = await node.watch("dashboard:ops")
        items = await until(viewer, lambda items: "answers" in items)
        assert "hangs" not in items
        items = await until(viewer, lambda items: "hangs" in items)
        assert items["hangs"]["stale"]["code"] == "unavailable"


async def test_an_address_is_asked_through_the_guarded_door(tmp_path: Path) -> None:
    """The part of its answer that is meant; another status, no JSON, and a part that is not there make it stale. Viewers see no address."""
    outside = Outside()
    server = await asyncio.start_server(outside.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = SystemClock()
    outbound = Outbound(clock, allow_private=["127.0.0.1"], allow_http=True, ports=[port])
    answers = {
        "/good": response(b'{"data": [{"a/b": "fine"}]}'),
        "/gone": response(b"{}", status=500),
        "/text": response(b"<html>"),
        "/latin": response(b'{"data": [{"a/b": "caf\xe9"}]}'),
        "/else": response(b'{"data": {}}'),
        "/much": response(b'"' + b"x" * 3_000 + b'"'),
    }
    outside.answers = {f"{path}?token=s3": [body] for path, body in answers.items()}
    async with nodes(tmp_path, 1, SETTINGS, clock, outbound=outbound) as [node]:
        widgets = [
            Note(
                id=path[1:],
                source=Source(
                    url=f"http://127.0.0.1:{port}{path}?token=s3",
                    pointer="/data/0/a~1b",
                    every_s=60,
                ),
            )
            for path in answers
        ]
        await node.dashboards.put("ops", Definition("Ops", [*widgets]))
        viewer = await node.watch("dashboard:ops")
        items = await until(viewer, lambda items: len(items) == 1 + len(answers))
        assert items["good"]["text"] == "fine"
        codes = {
            path: items[path]["stale"]["code"] for path in ("gone", "text", "latin", "else", "much")
        }
        assert codes == {
            "gone": "unavailable",
            "text": "invalid",
            "latin": "invalid",
            "else": "invalid",
            "much": "unavailable",
        }
        assert "s3" not in str(items)
        assert items["definition"]["widgets"][0]["source"] == {"every_s": 60.0}
        await node.dashboards.put("ops", Definition("More", [*widgets]))
        items = await until(viewer, lambda items: items["definition"]["title"] == "More")
        assert "s3" not in str(items)
    await outbound.close()
    server.close()
    await server.wait_closed()


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"function": "load", "url": "https://a.example/"}, ""),
    ({"function": "nobody"}, "/function"),
    ({"url": "https://a.example/", "params": {"a": 1}}, "/params"),
    ({"url": "http://a.example/"}, "/url"),
    ({"url": "https://u:p@a.example/"}, "/url"),
    ({"url": "https://a.example:22/"}, "/url"),
    ({"url": "ftp://a.example/"}, "/url"),
    ({"url": "https://"}, "/url"),
    ({"function": "load", "every_s": 0}, "/every_s"),
    ({"function": "load", "every_s": 1e9}, "/every_s"),
    ({"function": "load", "pointer": "a"}, "/pointer"),
]


async def test_a_source_that_cannot_be_asked_is_refused_with_the_definition(
    pair: list[Node],
) -> None:
    [node, _] = pair
    for source, pointer in BAD:
        widget = Gauge(id="g", source=Source(**source))
        with pytest.raises(Invalid) as caught:
            await node.dashboards.put("bad", Definition("Bad", [widget]))
        assert caught.value.faults[0].pointer == f"/widgets/0/source{pointer}", source


async def test_an_address_of_this_machine_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused when it is given; a name that leads there is looked at when it is asked: the widget says that it is refused."""

    async def here(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr("clarion.outbound.door.resolve", here)
    async with nodes(tmp_path, 1, SETTINGS, SystemClock()) as [node]:
        source = Source(url="https://127.0.0.1/")
        with pytest.raises(Invalid):
            await node.dashboards.put("ops", Definition("Ops", [Gauge(id="g", source=source)]))
        source = Source(url="https://meter.example/")
        await node.dashboards.put("ops", Definition("Ops", [Gauge(id="g", source=source)]))
        viewer = await node.watch("dashboard:ops")
        items = await until(viewer, lambda items: "g" in items)
        assert items["g"]["stale"]["code"] == "outbound_refused"


async def test_functions_are_async_and_have_names_of_their_own(pair: list[Node]) -> None:
    add: Callable[[str], Callable[[Any], Any]] = pair[0].dashboards.source
    with pytest.raises(UsageError, match="taken"):
        add("load")(_not)
    with pytest.raises(UsageError, match="none"):
        add("no name")(_not)
    with pytest.raises(UsageError, match="async"):
        add("plain")(lambda asked: 1)


async def test_a_definition_that_changes_while_it_is_watched_changes_what_is_asked(
    pair: list[Node], meter: Meter
) -> None:
    """By whatever node: sources that went are not asked any more, and what was stale because of them is not."""
    one, two = pair
    meter.answer = Unavailable()
    viewer = await one.watch("dashboard:ops")
    await until(viewer, lambda items: "load" in items)
    await two.dashboards.put("ops", Definition("Ops", [Gauge(id="load")]))
    await until(viewer, lambda items: "load" not in items)
    await asyncio.sleep(0.3)
    count = len(meter.asked)
    await asyncio.sleep(0.5)
    assert len(meter.asked) == count
    assert msgspec.json.encode(viewer.items["definition"]["widgets"][0]).find(b"source") == -1


async def test_a_node_that_cannot_renew_its_lease_asks_no_more(
    pair: list[Node], meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may have it; once the database is back it goes on, and what it shows is there meanwhile."""
    [node, _] = pair
    viewer = await node.watch("dashboard:ops")
    await until(viewer, lambda items: "load" in items)

    async def away(*_: Any) -> Any:
        raise Unavailable

    with monkeypatch.context() as broken:
        for each in pair:
            broken.setattr(each.dashboards._leases, "take", away)
        await asyncio.sleep(SETTINGS.lease_s * 1.5)
        count = len(meter.asked)
        await asyncio.sleep(LOAD.every_s * 2)
        assert len(meter.asked) == count
        assert (await node.watch("dashboard:ops", "late")).items == viewer.items
    await meter.next()


async def test_viewers_that_come_and_go_leave_nothing_behind(
    pair: list[Node], meter: Meter
) -> None:
    """Subscribing, unsubscribing and breaking off in whatever turn: no source is asked in the end, and the lease is free."""
    one, two = pair
    for n in range(60):
        socket = one.socket(f"s{n}")
        calls: list[Any] = [one.ask(socket, "subscribe", "dashboard:ops")]
        if n % 2:
            calls.append(one.ask(socket, "unsubscribe", "dashboard:ops"))
        done = asyncio.gather(*calls)
        if n % 3:
            await asyncio.sleep(0)
        one.engine.leave(socket)
        await done
        one.engine.leave(socket)
    pulling = one.dashboards._pulling
    async with asyncio.timeout(5):
        while pulling._free or pulling._watched:
            await settle()
    count = len(meter.asked)
    await asyncio.sleep(0.3)
    assert len(meter.asked) == count
    viewer = await two.watch("dashboard:ops")
    meter.answer = 8
    await until(viewer, lambda items: items.get("load", {}).get("value") == 8)
