"""Run the benchmarks: `make bench`, or `python -m benchmarks [SCENARIO …] [--rounds N] [--write]`.

Each scenario is run against each server in turn, N times over, so that a machine that slows down slows all of them; the
median of each is printed, and its ratio to Clarion's. `--write` puts the table into RESULTS.md.
"""

import argparse
import asyncio
import datetime
import json
import platform
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.peers import COMMANDS, Peer, loading, prepare, started

Measure = Callable[[Peer], Awaitable[float]]
RESULTS = Path(__file__).parent / "RESULTS.md"


class Scenario:
    """What is measured, in which unit, and whether less is better."""

    def __init__(self, title: str, unit: str, measure: Measure, *, less_is_better: bool) -> None:
        self.title, self.unit, self.measure, self.less_is_better = (
            title,
            unit,
            measure,
            less_is_better,
        )


def _load(field: str, clients: int, *scenario: str) -> Measure:
    async def measure(peer: Peer) -> float:
        async with loading(peer, clients, *scenario) as generator:
            out, _ = await asyncio.wait_for(generator.communicate(), 240)
        if generator.returncode:
            raise SystemExit(f"the generator failed against {peer.name}")
        return float(json.loads(out)[field])

    return measure


async def _memory(peer: Peer) -> float:
    """KiB of resident memory a connected idle client adds."""
    clients = 5_000
    async with loading(peer, 10, "connect") as warm:
        await warm.communicate()
    before = peer.rss_kib()
    async with loading(peer, clients, "hold") as generator:
        assert generator.stdout is not None
        line = await asyncio.wait_for(generator.stdout.readline(), 120)
        assert line == b"ready\n", line
        await asyncio.sleep(2)  # what was used only while they came has been given back
        return (peer.rss_kib() - before) / clients


SCENARIOS = {
    "broadcast": Scenario(
        "one event to 10,000 sockets, until the last has it",
        "ms",
        _load("p50_ms", 10_000, "broadcast", "7", "64"),
        less_is_better=True,
    ),
    "burst": Scenario(
        "a burst of 100 events to 1,000 sockets",
        "deliveries/s",
        _load("deliveries_per_s", 1_000, "burst", "5", "100"),
        less_is_better=False,
    ),
    "ack": Scenario(
        "events with an ack, 100 clients, one under way each",
        "acks/s",
        _load("acks_per_s", 100, "ack", "4", "1"),
        less_is_better=False,
    ),
    "rooms": Scenario(
        "10,000 connected, 1,000 events/s into rooms of 10: p99",
        "ms",
        _load("p99_ms", 10_000, "rooms", "8", "1000"),
        less_is_better=True,
    ),
    "connect": Scenario(
        "2,000 clients connect, 64 at a time",
        "connects/s",
        _load("connects_per_s", 2_000, "connect"),
        less_is_better=False,
    ),
    "memory": Scenario("an idle connected socket", "KiB", _memory, less_is_better=True),
}


async def run(names: list[str], peers: list[str], rounds: int) -> list[str]:
    """The table's rows."""
    rows = []
    for name in names:
        scenario = SCENARIOS[name]
        figures: dict[str, list[float]] = {peer: [] for peer in peers}
        for _ in range(rounds):
            for peer in peers:
                async with started(peer) as server:
                    figures[peer].append(await scenario.measure(server))
        medians = {peer: statistics.median(values) for peer, values in figures.items()}
        ours = medians.get("clarion")
        cells = []
        for peer, values in figures.items():
            spread = f" ({_short(min(values))}–{_short(max(values))})" if len(values) > 1 else ""
            ratio = f" · {ours / medians[peer]:.2f}×" if ours and peer != "clarion" else ""
            cells.append(_short(medians[peer]) + spread + ratio)
        better = "less" if scenario.less_is_better else "more"
        rows.append(
            f"| {scenario.title} | {scenario.unit}, {better} is better | "
            + " | ".join(cells)
            + " |"
        )
        print(rows[-1], flush=True)
    return rows


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Parse the command line, measure, print, and write if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=[*COMMANDS], default=[*COMMANDS])
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    prepare()
    head = [
        "| what | unit | " + " | ".join(given.peers) + " |",
        "|---" * (2 + len(given.peers)) + "|",
    ]
    print("\n".join(head), flush=True)
    rows = asyncio.run(run(given.scenarios or [*SCENARIOS], given.peers, given.rounds))
    if given.write:
        _write([*head, *rows], given.rounds)


def _write(table: list[str], rounds: int) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    text = RESULTS.read_text()
    begin, end = "<!-- table -->", "<!-- /table -->"
    before, rest = text.split(begin)
    about = (
        f"`python -m benchmarks --rounds {rounds} --write`, {today}, Python {platform.python_version()}, "
        f"{platform.machine()}; medians of {rounds} rounds in turn (lowest–highest); "
        "`×` is Clarion's figure divided by that server's."
    )
    RESULTS.write_text(
        before + begin + "\n" + about + "\n\n" + "\n".join(table) + "\n" + end + rest.split(end)[1]
    )


if __name__ == "__main__":
    main()
