"""Hurt servers again and again, and see that nothing is lost or doubled.

    python -m tests.chaos                                                        all of it, minutes
    python -m tests.chaos --scenario bulk --database sqlite --seed 7             as it was
    python -m tests.chaos --scenario bulk --fault handed:57 --fault any:0.4      what the seed would choose
    python -m tests.chaos --scenario nodes --seed 7 --kills 22                   two nodes over Redis: 22 faults
    python -m tests.chaos --scenario nodes --fault redis-paused:20               this one
    python -m tests.chaos --scenario failover                                    the primary of their Redis is killed, and Sentinels name another
    python -m tests.chaos --scenario cluster                                     a Cluster of three: failovers, slots that move, a node killed
    python -m tests.chaos --scenario network                                     packets between one node and Redis are lost; needs root
    python -m tests.chaos --scenario restarts --crowd 2000                       rolling restarts, and kills, of nodes with so many
    python -m tests.chaos --scenario rolling --sockets 1000 --load 1             three nodes behind nginx, each restarted twice, one of the six killed

Of a bulk send everybody has each message of the inbox exactly once, and the provider got each message once at least, and once more at most for each
crash. Ends with 1, and says what was wrong, where something was.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clarion.clock import SystemClock
from tests.chaos import nodes, rolling
from tests.chaos.faults import FAILOVER
from tests.chaos.run import Plan, chaos, faults_of
from tests.support import network
from tests.support.services import Postgres

DATABASES = ("sqlite", "postgresql")
SCENARIOS = ("bulk", "nodes", "restarts", "failover", "cluster", "network", "rolling")


def main(given: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    cli = argparse.ArgumentParser(prog="python -m tests.chaos")
    cli.add_argument("--database", choices=DATABASES, action="append", help="only this one")
    cli.add_argument("--scenario", choices=SCENARIOS, action="append", help="only this one")
    cli.add_argument("--people", type=int, default=10_000, help="of a bulk send")
    cli.add_argument("--crowd", type=int, default=nodes.CROWD, help="clients at restarts")
    cli.add_argument(
        "--kills", type=int, default=len(nodes.LASTS), help="or other faults, of each run"
    )
    cli.add_argument("--sockets", type=int, default=rolling.Plan().sockets, help="of rolling")
    cli.add_argument("--load", type=float, default=1.0, help="of rolling: times 320 calls a second")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--fault", action="append", help="instead of what the seed chooses")
    args = cli.parse_args(given)
    scenarios = args.scenario or SCENARIOS
    wrong = 0
    if "nodes" in scenarios:
        faults = args.fault or nodes.faults_of(args.seed, args.kills)
        say(f"two nodes: seed {args.seed}, {len(faults)} faults")
        wrong += _report(nodes.alone(args.seed, faults, say).wrong)
    if "restarts" in scenarios:
        say(f"restarts under {args.crowd:,} clients: seed {args.seed}")
        restarts = args.fault or nodes.RESTARTS
        wrong += _report(nodes.alone(args.seed, restarts, say, args.crowd).wrong)
    if "failover" in scenarios:
        say(f"a primary behind Sentinels: seed {args.seed}")
        wrong += _report(nodes.alone(args.seed, [f"{FAILOVER}:0"], say).wrong)
    if "cluster" in scenarios:
        say(f"over a Cluster of Redis: seed {args.seed}")
        wrong += _report(nodes.alone(args.seed, args.fault or nodes.SHARDED, say).wrong)
    if "network" in scenarios:
        if why := network.impossible():
            say(f"packets that are lost: not tried, {why}")
        else:
            say(f"packets that are lost: seed {args.seed}")
            wrong += _report(nodes.alone(args.seed, args.fault or nodes.CUT_OFF, say).wrong)
    if "rolling" in scenarios:
        plan = rolling.Plan().times(args.load, args.sockets)
        say(f"a rolling restart: seed {args.seed}, {plan}")
        wrong += _report(rolling.alone(plan, say, args.seed).told(say).wrong)
    for database in (args.database or DATABASES) if "bulk" in scenarios else ():
        is_postgres = database == "postgresql"
        faults = args.fault or faults_of(
            args.seed, args.kills, args.people, is_postgres=is_postgres
        )
        say(f"{database}: seed {args.seed}, {len(faults)} faults, {args.people:,} people")
        wrong += _run(Plan(args.people, faults), is_postgres=is_postgres)
    return int(bool(wrong))


def _run(plan: Plan, *, is_postgres: bool) -> int:
    postgres = Postgres() if is_postgres else None
    clock = SystemClock()
    began = clock.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="clarion-chaos-") as folder:
            outcome = chaos(plan, Path(folder), postgres, say)
    finally:
        if postgres is not None:
            postgres.remove()
    say(
        f"{outcome.crashes} crashes in {clock.monotonic() - began:.0f} s: {outcome.again} messages came again"
    )
    return _report(outcome.wrong)


def _report(wrong: Sequence[str]) -> int:
    for each in wrong[:20]:
        say(f"WRONG: {each}")
    say(f"{len(wrong)} wrong")
    return len(wrong)


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
