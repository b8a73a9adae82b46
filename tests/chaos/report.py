"""Writes docs/explanation/chaos.md: what was hurt, how often, and what came of it.

python -m tests.chaos.report                     minutes
python -m tests.chaos.report --seed 7 --faults 11
"""

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from clarion.clock import SystemClock
from tests.chaos import faults, nodes, rolling
from tests.chaos.__main__ import say
from tests.chaos.cluster import Trial
from tests.chaos.run import Plan, chaos, faults_of
from tests.support.services import Postgres

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "chaos.md"
SEEDS: Final = (1, 2, 3)
FAULTS: Final = len(faults.FAULTS)
PEOPLE: Final = 10_000
KILLS: Final = 10
HEAD: Final = """# Chaos: what was hurt, and what came of it

Written by `make chaos-report`, which does all of this anew and needs some minutes. A failing run says its seed and stops; the same seed chooses the same faults again, though not the same
moments: these are real processes. What is exactly repeatable is [simulated](simulation.md).

## Two nodes over Redis and PostgreSQL

Under load all the time: publishers of a recoverable and of a durable topic and a sender of notifications at both nodes, which repeat what was not answered with a yes, at the other node and under the
same id; clients that follow the topic, are present in a room and come back when they are cut off. After each fault everything is mended, and everything audited: what was heard is the log, without a gap or a
double, and recovered after each break (I1, I2); who is present is who is there (I3); what was answered is there, once, at its offset (I4); each inbox has each accepted notification once (I5);
every refusal came in time, with a documented code (I8); a node that is told to end does so in order and in time, and nobody is away for longer than that takes (I9). In the end no session is left (I10). What each fault is, a person reads in [failures](failures.md).

"""
FOUND: Final = """## What it found

Each was a failure of ours, is mended, and is tried by a test since.

- **Planning was given up after twelve deaths of its processes**, though each of them had come further: a job counted the claims, not the standstill. A cursor that moves begins the attempts anew. (Bulk sends.)
- **Runs that more than ten killed processes had in hand were taken for what kills processes**, and failed. From the sixth attempt on they are claimed one at a time, which tells who is to blame. (Bulk sends.)
- **A failed sync left a server that refused all writes until a person came.** It ends with 74 now, and its supervisor starts it anew. (A disk that fails.)
- **While PostgreSQL stood still, answers took 15 s and more**: a read was asked a second time, and writes waited behind each other. It is given up after 8 s now, who has waited for 5 s is refused, and a request that asks several times is answered after 9 s, whatever it waits for. (Two nodes.)

In the runs over two nodes none of the other rules was broken by the server so far. What they found was in what tries it: a proxy that closed a socket for which somebody still waited, whose number the next connection got; a client that
took a publication before the answer that had come with it; and shortened times with which no node could see that another one had Redis.
"""


class Sent(Struct):
    """What came of a bulk send."""

    database: str
    crashes: int
    again: int
    wrong: int
    took_s: float


def main(given: Sequence[str] | None = None) -> int:
    """Do it all, and write the page; returns the exit code."""
    cli = argparse.ArgumentParser(prog="python -m tests.chaos.report")
    cli.add_argument("--seed", type=int, action="append", help=f"default: {SEEDS}")
    cli.add_argument("--faults", type=int, default=FAULTS, help="of each seed")
    cli.add_argument("--people", type=int, default=PEOPLE)
    cli.add_argument("--sockets", type=int, default=rolling.Plan().sockets, help="of rolling")
    cli.add_argument("--load", type=float, default=1.0, help="of rolling: times 320 calls a second")
    args = cli.parse_args(given)
    seeds, clock = args.seed or list(SEEDS), SystemClock()
    trials: list[Trial] = []
    wrong: list[str] = []
    began = clock.monotonic()
    for seed in seeds:
        say(f"two nodes: seed {seed}, {args.faults} faults")
        outcome = nodes.alone(seed, nodes.faults_of(seed, args.faults), say)
        trials += outcome.trials
        wrong += outcome.wrong
        for each in outcome.wrong[:20]:
            say(f"WRONG: {each}")
    took_s = clock.monotonic() - began
    restarts = nodes.alone(1, nodes.RESTARTS, say, nodes.CROWD)
    sends = [_send(database, args.people) for database in ("sqlite", "postgresql")]
    plan = rolling.Plan().times(args.load, args.sockets)
    rolled = rolling.alone(plan, say)
    text = HEAD + _nodes(seeds, args.faults, trials, wrong, took_s) + _restarts(restarts)
    PAGE.write_text(text + rolling_restart(plan, rolled) + _sends(args.people, sends) + FOUND)
    wrong += [*restarts.wrong, *rolled.wrong]
    return int(bool(wrong) or any(each.wrong for each in sends))


def _send(database: str, people: int) -> Sent:
    clock = SystemClock()
    began = clock.monotonic()
    is_postgres = database == "postgresql"
    postgres = Postgres() if is_postgres else None
    try:
        with tempfile.TemporaryDirectory(prefix="clarion-chaos-") as folder:
            chosen = faults_of(1, KILLS, people, is_postgres=is_postgres)
            outcome = chaos(Plan(people, chosen), Path(folder), postgres, say)
    finally:
        if postgres is not None:
            postgres.remove()
    took_s = clock.monotonic() - began
    return Sent(database, outcome.crashes, outcome.again, len(outcome.wrong), took_s)


def _nodes(
    seeds: Sequence[int], count: int, trials: Sequence[Trial], wrong: Sequence[str], took_s: float
) -> str:
    answered = sum(each.answered for each in trials)
    summary = (
        f"`python -m tests.chaos --scenario nodes --kills {count}`, seeds {', '.join(map(str, seeds))}: {len(trials)} faults in {took_s:.0f} s, {nodes.FOLLOWERS} clients, "
        f"{answered:,} requests answered. **{len(wrong)} broken rules.**"
    )
    lines = [
        summary,
        "",
        "| fault | times | for (s) | well again after (s): median, worst | longest that a client was away (s) | slowest answer (s) | refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in sorted({each.fault for each in trials}):
        some = [each for each in trials if each.fault == name]
        lasted = [each.lasted_s for each in some]
        back = [each.back_s for each in some]
        refused = sum((Counter(each.refused) for each in some), Counter[str]())
        told = ", ".join(f"{n} {code}" for code, n in sorted(refused.items())) or "–"
        lines.append(
            f"| `{name}` | {len(some)} | {min(lasted):.1f} to {max(lasted):.1f} | {statistics.median(back):.2f}, {max(back):.2f} | {max(each.away_s for each in some):.2f} "
            f"| {max(each.slowest_s for each in some):.2f} | {told} |"
        )
    return "\n".join([*lines, "", ""])


def _restarts(outcome: nodes.Outcome) -> str:
    told = (
        f"`python -m tests.chaos --scenario restarts`: {nodes.CROWD:,} clients beside the others, all in one process. Both nodes are restarted one after the other; then the one that has all of them is killed. "
        f"Beside the rules above, nobody is said to have left (`presence.lease_s` and `grace_s` as they come), and a node ends in order within `limits.drain_s` and 15 s. **{len(outcome.wrong)} broken rules.**"
    )
    lines = [
        "## Restarts under a crowd",
        "",
        told,
        "",
        "| what | a node ended within (s) | well again after (s) | longest that a client was away (s) | requests answered | refused a connection |",
        "|---|---|---|---|---|---|",
    ]
    for each in outcome.trials:
        ended = ", ".join(f"{took_s:.1f}" for took_s in each.stops_s) or "–"
        refused = sum(each.refused.values())
        lines.append(
            f"| `{each.fault}` | {ended} | {each.back_s:.2f} | {each.away_s:.2f} | {each.answered} | {refused} |"
        )
    return "\n".join([*lines, "", ""])


def rolling_restart(plan: rolling.Plan, outcome: rolling.Outcome) -> str:
    """The part of the page that tells of one."""
    load = plan.requests / rolling.Plan().requests
    told = (
        f"`python -m tests.chaos --scenario rolling --load {load:g} --sockets {plan.sockets}`: {plan.nodes} nodes behind nginx, round robin, with the file that is in `deploy/`; {plan.sockets:,} sockets, half of which begin with polling, "
        f"on {len(plan.topics)} recoverable topics; {plan.publications:g} publications, {plan.triggers:g} triggers and {plan.requests:g} other requests a second. Each node is restarted twice, and one of the six times killed. What must hold beside the rules above: with SIGTERM "
        "every request is done with its first try; of all, the kill included, 99.9 % with one retry; every socket recovers, and is told why it has to go; clients come to the other nodes at twice the even rate at most, in any second. "
        f"**{len(outcome.wrong)} broken rules.** {outcome.at_once:,} of {outcome.requests:,} requests were done with the first try; half of them within {outcome.slowest_s['p50'] * 1000:.0f} ms, 99 of 100 within {outcome.slowest_s['p99']:.1f} s, all within {outcome.slowest_s['all']:.1f} s; no socket was away for more than {outcome.away_s:.1f} s."
    )
    lines = [
        "## A rolling restart behind a balancer",
        "",
        told,
        "",
        "| node | sessions | gone after (s) | ready again after (s) | sockets that came anew | in the busiest second; evenly |",
        "|---|---|---|---|---|---|",
    ]
    for each in outcome.restarts:
        even = "killed" if each.is_kill else f"{each.even_per_s:.0f}"
        lines.append(
            f"| {each.node} | {each.clients} | {each.ended - each.began:.1f} | {each.ready - each.ended:.1f} | {each.came} | {each.busiest_s}; {even} |"
        )
    return "\n".join([*lines, "", ""])


def _sends(people: int, sends: Sequence[Sent]) -> str:
    said = (
        f"A trigger for {people:,} people (two messages in the inbox, a webhook) while the server is killed at each of its named points and at any time, and PostgreSQL is crashed twice. Then every row and every receipt is "
        "counted: each inbox exactly once, each webhook at least once, and again at most as often as something died with it in hand. `make chaos SEED=1`."
    )
    lines = [
        "## A bulk send",
        "",
        said,
        "",
        "| database | deaths | messages that came again | broken rules | took (s) |",
        "|---|---|---|---|---|",
        *(
            f"| {each.database} | {each.crashes} | {each.again} | {each.wrong} | {each.took_s:.0f} |"
            for each in sends
        ),
        "",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
