"""The benchmarks measure what they say: every delivery is accounted for, and page and picture are what was measured."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import notifications, notified, picture, topics
from benchmarks.__main__ import plan
from benchmarks.peers import NULL, OURS, PEERS
from benchmarks.results import BUDGETS, FIGURES, PAGE, Results, budgets, load, write_page
from benchmarks.running import Failed, Server, compile_load, loading, started
from benchmarks.scenarios import FAULTS, METRICS, SCENARIOS, complaint_about
from websockets.asyncio.server import ServerConnection, serve

from clarion.telemetry import spawn


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    compile_load()
    PEERS[NULL].prepare()


async def test_a_server_without_fault_passes() -> None:
    """The generator has nothing to say about the null server."""
    assert await complaint_about() == ""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("lose", "199 of 200 messages"),
        ("double", "got event 1 after 1"),
        ("swap", "got event 1 after 2"),
        ("stray", "got event 1 after 1"),
    ],
)
async def test_a_fault_is_called_by_its_name(fault: str, said: str) -> None:
    """What the generator says about a server is what that server did; each run of the benchmarks begins with that."""
    assert fault in FAULTS
    assert said in await complaint_about(fault)


@pytest.mark.parametrize("fault", ["lose", "double", "stray"])
@pytest.mark.parametrize("command", [("broadcast", 2, 64), ("rooms", 1, 100)])
async def test_no_scenario_misses_a_fault(command: tuple[object, ...], fault: str) -> None:
    """Whatever is measured, one wrong delivery among hundreds ends it without a figure."""
    async with started(NULL, None, fault) as server, loading(server, PATIENCE_S="1") as generator:
        await generator.ask("connect", 100)
        await generator.ask("join")
        with pytest.raises(Failed):
            await generator.ask(*command)


async def test_clarion_answers_each_scenario_without_a_fault() -> None:
    """Every delivery and every ack of a short conversation with the measured server comes, once and in order."""
    async with started(OURS) as server, loading(server) as generator:
        await generator.ask("connect", 100)
        await generator.ask("join")
        for command in (("broadcast", 2, 1_024), ("burst", 2, 100), ("rooms", 0.2, 100)):
            await generator.ask(*command)
        assert (await generator.ask("echo", 0.2, 100))["clients"] == 100
        assert (await generator.ask("ack", 0.1, 1))["acks"] > 0


async def test_each_scenario_of_topics_yields_its_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With few clients: every row once. In it every publication is counted: none is missed across a kill of the server."""
    monkeypatch.setattr(topics, "MANY", 40)
    monkeypatch.setattr(topics, "SMALLER", 100)
    monkeypatch.setenv("BACKOFF_S", "0.1")
    async with topics.serving() as both:

        @contextlib.asynccontextmanager
        async def same() -> AsyncIterator[Any]:
            yield both

        monkeypatch.setattr(topics, "serving", same)
        figures = [
            figure for scenario in topics.SCENARIOS async for figure in scenario.run(OURS, True)
        ]
    assert sorted(row for row, _ in figures) == sorted(topics.METRICS)
    assert dict(figures)["recovery-missed"] == 0
    assert min(figure for _, figure in figures) >= 0


async def test_each_measurement_of_notifications_yields_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With few people: every row once. In it every message is counted: none is missed or doubled."""
    few = {"ONLINE": 5, "RATES": (50,), "CALLERS": 4, "MAILS": 20, "DIGESTS": 5, "WINDOW_S": 1}
    for name, value in few.items():
        monkeypatch.setattr(notified, name, value)
    monkeypatch.setitem(notified.WORKFLOWS["digest"][0], "digest", {"window": "1s"})
    found = await notified.measure("sqlite", 50, 0.2, [])
    wanted = {f"{name}-sqlite" for name in found}
    others = {name for name in notifications.METRICS if "sqlite" in name and "live-" not in name}
    assert wanted == others | {"live-50-p50-sqlite", "live-50-p99-sqlite"}
    assert min(figure for name, figure in found.items() if "late" not in name) > 0


class Teller:
    """As much of a server as a subscriber sees, which tells of publications in a way of its own."""

    def __init__(self, *told: int) -> None:
        self._told = told
        self._all: list[ServerConnection] = []

    async def meet(self, socket: ServerConnection) -> None:
        """One client."""
        self._all.append(socket)
        await socket.send('0{"sid":"s"}')
        async for message in socket:
            packet = str(message)
            if packet.startswith("40"):
                await socket.send('40/clarion,{"sid":"s"}')
                continue
            id = packet.removeprefix("42/clarion,").partition("[")[0]
            at = '{"topic":"t:t","epoch":"e","offset":0,"mark":0,"recovered":false,"snapshot":null}'
            await socket.send(f"43/clarion,{id}[{at}]")
            if '"publish"' in packet:
                data = packet[packet.index('"data":') : -2]
                for offset in self._told:
                    for each in self._all:
                        told = f'{{"topic":"t:t","offset":{offset},"mark":1,{data}}}'
                        await each.send(f'42/clarion,["publication",{told}]')


@pytest.mark.parametrize(
    ("told", "said"),
    [((1,), None), ((), "0 of 4 messages"), ((2,), "publication 2 after 0"), ((1, 1), "publication 1 after 1")],
)  # fmt: skip
async def test_publications_are_accounted_for(told: tuple[int, ...], said: str | None) -> None:
    """One that is missing, comes too early or twice is called by its name."""
    async with serve(Teller(*told).meet, "127.0.0.1", 0) as fake:
        server = Server(PEERS[OURS], next(iter(fake.sockets)).getsockname()[1], {}, ())
        async with loading(server, "clarion", TOKEN="x", PATIENCE_S="0.5") as generator:
            await generator.ask("connect", 4)
            await generator.ask("topic", "t:t")
            await generator.ask("subscribe", 4)
            if said is None:
                assert (await generator.ask("publish", 0, 64))["clients"] == 4
            else:
                with pytest.raises(Failed, match=said):
                    await generator.ask("publish", 0, 64)


async def test_a_server_that_ends_is_no_figure() -> None:
    """A server that dies under way fails the measurement."""
    async with started(OURS) as server, loading(server) as generator:
        await generator.ask("connect", 10)
        asking = spawn(generator.ask("idle", 60), name="idle")
        server.kill()
        with pytest.raises(Failed, match="hung up"):
            await asking


def test_a_plan_takes_the_servers_in_turn_and_every_other_round_in_reverse() -> None:
    """A machine that slows down slows all of them; who is slow or not concerned is left out."""
    steps = plan(["ack", "whole"], [OURS, "python-socketio", "nchan", NULL], 2)
    assert [(step.scenario, step.peer) for step in steps] == [
        ("ack", OURS),
        ("ack", "python-socketio"),
        ("ack", NULL),
        ("ack", NULL),
        ("ack", OURS),
        ("whole", OURS),
    ]


def test_each_budget_is_judged_by_the_median() -> None:
    """Met, not met or not measured: each budget has its line."""
    results = Results()
    for metric, ours, theirs in (("burst", 500, 100), ("ack", 140, 100)):
        for noise in (0.9, 1, 5):
            results.add(metric, OURS, ours * noise)
            results.add(metric, "node", theirs * noise)
    lines = dict(zip(BUDGETS, budgets(results)[2:], strict=True))
    assert {
        budget.metric: line.rsplit("|", 2)[1].strip()
        for budget, line in lines.items()
        if "not measured" not in line
    } == {"burst": "met", "ack": "**not met**"}
    assert "1.40 ×" in next(line for budget, line in lines.items() if budget.metric == "ack")


def test_what_failed_has_no_figure() -> None:
    """A missing delivery takes the figures of the rounds before with it."""
    results = Results()
    results.add("burst", OURS, 1.0)
    results.add("ack", OURS, 1.0)
    results.fail("burst", OURS, "client 7 got 99 events of 100")
    assert results.median("burst", OURS) is None
    assert results.median("ack", OURS) == 1.0
    assert results.has_failed("burst", OURS)


def test_every_row_is_some_scenarios_and_every_budget_some_rows() -> None:
    """`--only ROW` finds what to run."""
    assert {metric.scenario for metric in METRICS.values()} == set(SCENARIOS)
    assert {budget.metric for budget in BUDGETS} <= set(METRICS)


def test_page_and_pictures_are_those_of_the_figures(tmp_path: Path) -> None:
    """`python -m benchmarks --draw` would change nothing; what was written by hand stays."""
    page = tmp_path / "RESULTS.md"
    page.write_text(PAGE.read_text())
    results = load(FIGURES)
    write_page(results, page)
    picture.write(results, tmp_path)
    assert page.read_text() == PAGE.read_text()
    for name in picture.THEMES:
        drawn = f"benchmarks-{name}.svg"
        assert (tmp_path / drawn).read_text() == (picture.IMAGES / drawn).read_text()
