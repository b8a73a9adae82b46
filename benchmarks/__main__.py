"""Run the benchmarks: `make bench`, or `python -m benchmarks [--only ROW …] [--peers …] [--rounds N] [--quick] [--write]`.

Each scenario is run against each server in turn, N times over and every other time in reverse, so that a machine that slows
down slows all of them; the median of each is printed with its spread, and Clarion's ratio to it. `--write` keeps the figures
of a whole run in results.json and puts them into RESULTS.md and the pictures.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import picture
from benchmarks.peers import JOINED, NULL, OURS, PEERS, prepare
from benchmarks.results import (
    FIGURES,
    PAGE,
    Results,
    budgets,
    cell,
    describe_machine,
    load,
    notes,
    table,
    write_page,
)
from benchmarks.running import Failed, Others, set_up
from benchmarks.scenarios import METRICS, SCENARIOS, check_generator

QUICK = (OURS, "node", NULL, JOINED)
QUIET = 0.05  # part of the machine that others may take
BRIEFLY = 0.7  # how long a brief measurement takes, of a whole one


@dataclass(frozen=True)
class Step:
    """One measurement: a scenario with a server."""

    scenario: str
    peer: str

    @property
    def seconds(self) -> float:
        """How long it takes, about."""
        return SCENARIOS[self.scenario].seconds * PEERS[self.peer].pace


def plan(scenarios: Iterable[str], peers: Sequence[str], rounds: int) -> list[Step]:
    """What is measured, in this order."""
    return [
        Step(scenario, peer)
        for scenario in scenarios
        for number in range(min(rounds, SCENARIOS[scenario].rounds))
        for peer in (peers if number % 2 == 0 else reversed(peers))
        if number < PEERS[peer].rounds
        and peer in (SCENARIOS[scenario].peers or PEERS)
        and scenario in (PEERS[peer].only or SCENARIOS)
    ]


async def run(steps: list[Step], results: Results, *, brief: bool, retries: int) -> None:
    """Measure, and say how far it is; what a scenario gave is printed when it is through."""
    left = sum(step.seconds for step in steps) * (BRIEFLY if brief else 1)
    print(f"{len(steps)} measurements: about {_minutes(left)}", file=sys.stderr, flush=True)
    for number, step in enumerate(steps, 1):
        began = time.monotonic()
        said = await _measure(step, results, brief=brief, retries=retries)
        left -= step.seconds * (BRIEFLY if brief else 1)
        took = f"{step.scenario}, {step.peer}: {time.monotonic() - began:.1f} s, {said}"
        far = f"{number}/{len(steps)}, about {_minutes(left)} left"
        print(f"  {took}  [{far}]", file=sys.stderr, flush=True)
        if number == len(steps) or steps[number].scenario != step.scenario:
            print("\n".join(_figures(results, step.scenario)), flush=True)


async def _measure(step: Step, results: Results, *, brief: bool, retries: int) -> str:
    """Measure once; again where others took the machine, as often as is allowed. The quietest time counts."""
    if results.has_failed(step.scenario, step.peer):
        return "not again: it failed"
    best: list[tuple[str, float]] = []
    least = float("inf")
    for _ in range(retries + 1):
        others = Others()
        try:
            run_it = SCENARIOS[step.scenario].run
            figures = [figure async for figure in run_it(step.peer, brief)]
        except Failed as exc:
            results.fail(step.scenario, step.peer, str(exc))
            return f"FAILED: {exc}"
        if (share := others.share()) < least:
            best, least = figures, share
        if least < QUIET:
            break
    results.others.append(least)
    for metric, figure in best:
        results.add(metric, step.peer, figure)
    return f"others took {least:.0%}"


def _figures(results: Results, scenario: str) -> list[str]:
    lines = []
    for name, metric in METRICS.items():
        if metric.scenario == scenario and name in results.figures:
            lines.append(f"{metric.title} ({metric.unit})")
            lines += [
                f"    {peer:16} {cell(results, name, peer)}" for peer in results.figures[name]
            ]
    return lines


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(seconds, 0):.0f} s"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        epilog="rows: "
        + "; ".join(
            f"{scenario} ({', '.join(name for name, m in METRICS.items() if m.scenario == scenario)})"
            for scenario in SCENARIOS
        ),
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ROW",
        choices=[*SCENARIOS, *METRICS],
        help="measure what yields these rows; default: all",
    )
    parser.add_argument(
        "--peers", nargs="+", metavar="PEER", choices=PEERS, help=f"of {', '.join(PEERS)}"
    )
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    parser.add_argument("--quick", action="store_true", help=f"only {'; '.join(QUICK)}: 2 minutes")
    parser.add_argument(
        "--retries",
        type=int,
        default=0,
        help=f"measure again, at most N times, where other programs took {QUIET:.0%}% of the machine",
    )
    parser.add_argument(
        "--write", action="store_true", help="keep the figures of a whole run, draw the pictures"
    )
    parser.add_argument(
        "--draw", action="store_true", help="only write page and pictures anew from results.json"
    )
    given = parser.parse_args()
    if given.write and (given.only or given.peers or given.quick):
        parser.error("--write keeps a whole run: without --only, --peers and --quick")
    return given


def main() -> None:
    """Measure, print, and write if asked."""
    given = parse()
    if given.draw:
        publish(load(FIGURES))
        return
    rounds = given.rounds or (1 if given.quick else 3)
    wanted = {METRICS[row].scenario if row in METRICS else row for row in given.only or SCENARIOS}
    peers = list(given.peers or (QUICK if given.quick else PEERS))
    results = Results(about={**describe_machine(), "rounds": str(rounds)})
    machine = "; ".join(f"{name}: {value}" for name, value in results.about.items())
    print(f"python -m benchmarks {' '.join(sys.argv[1:])}\n{machine}", flush=True)
    set_up()
    PEERS[NULL].prepare()  # the generator is tried on it
    results.missing = prepare(peers)
    asyncio.run(check_generator())
    here = [name for name in peers if name not in results.missing]
    steps = plan([name for name in SCENARIOS if name in wanted], here, rounds)
    asyncio.run(run(steps, results, brief=given.quick, retries=given.retries))
    results.about["noise"] = results.describe_noise()
    print("\n".join(["", *table(results), "", *budgets(results), "", *notes(results)]))
    if any(peer == OURS for _, peer, _ in results.failed):
        raise SystemExit("a delivery of Clarion's was missing or wrong: the run failed")
    if given.write:
        results.save(FIGURES)
        publish(results)


def publish(results: Results) -> None:
    """Write the page and the pictures."""
    write_page(results, PAGE)
    picture.write(results)


if __name__ == "__main__":
    main()
