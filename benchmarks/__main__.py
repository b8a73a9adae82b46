"""Run the benchmarks: `make bench`, or `python -m benchmarks [SCENARIO …] [--peers …] [--rounds N] [--quick] [--write]`.

Each scenario is run against each server in turn, N times over and every other time in reverse, so that a machine that slows
down slows all of them; the median of each is printed with its spread, and Clarion's ratio to it. `--write` keeps the figures
in results.json and puts them into RESULTS.md and the pictures.
"""

import argparse
import asyncio
import sys
import time

from benchmarks.peers import PEERS, prepare
from benchmarks.results import (
    HERE,
    OURS,
    Results,
    budgets,
    cell,
    describe_machine,
    notes,
    table,
    write_page,
)
from benchmarks.running import Failed, set_up
from benchmarks.scenarios import FOR_ALL, METRICS, SCENARIOS, check_generator

QUICK = ("clarion", "node", "send(2)")


async def run(scenarios: list[str], peers: list[str], rounds: int, results: Results) -> None:
    """Measure; what a scenario gave is printed when it is through."""
    for scenario in scenarios:
        shown = set(results.figures)
        everybody = scenario in FOR_ALL
        names = [name for name in peers if everybody or PEERS[name].dialect == "socket.io"]
        for number in range(rounds):
            for peer in names if number % 2 == 0 else reversed(names):
                if number < PEERS[peer].rounds and f"{peer}, {scenario}" not in results.failed:
                    await _measure(scenario, peer, results)
        for metric in [name for name in METRICS if name in results.figures.keys() - shown]:
            print(f"{METRICS[metric].title} ({METRICS[metric].unit})")
            for peer in names:
                print(f"    {peer:16} {cell(results, metric, peer)}", flush=True)


async def _measure(scenario: str, peer: str, results: Results) -> None:
    began = time.monotonic()
    try:
        async for metric, figure in SCENARIOS[scenario](peer):
            results.add(metric, peer, figure)
    except Failed as exc:
        results.failed[f"{peer}, {scenario}"] = str(exc)
    print(f"  {scenario}: {peer}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Parse the command line, measure, print, and write if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="default: all")
    parser.add_argument("--peers", nargs="+", choices=PEERS, help="default: all")
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}; 2 minutes")
    parser.add_argument("--write", action="store_true", help="keep the figures, draw the pictures")
    given = parser.parse_args()
    peers = given.peers or (QUICK if given.quick else PEERS)
    results = Results(about=describe_machine())
    set_up()
    results.missing = prepare(list(peers))
    asyncio.run(check_generator())
    rounds = given.rounds or (1 if given.quick else 3)
    results.about["rounds"] = str(rounds)
    here = [name for name in peers if name not in results.missing]
    asyncio.run(run(given.scenarios or list(SCENARIOS), here, rounds, results))
    print("\n".join(["", *table(results), "", *budgets(results), "", *notes(results)]))
    if given.write:
        results.save(HERE / "results.json")
        write_page(results, HERE / "RESULTS.md")
    if any(what.startswith(OURS) for what in results.failed):
        raise SystemExit("a delivery of Clarion's was missing or wrong: the run failed")


if __name__ == "__main__":
    main()
