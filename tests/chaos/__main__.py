"""Kill a server again and again while it tells everybody something, and see that nothing is lost or doubled.

    python -m tests.chaos                                          10,000 people, both databases, minutes
    python -m tests.chaos --database sqlite --seed 7               as it was
    python -m tests.chaos --fault handed:57 --fault any:0.4        what the seed would choose

Everybody has each message of the inbox exactly once, and the provider got each message once at least, and once more at most for each
crash. Ends with 1, and says what was wrong, where something was.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clarion.clock import SystemClock
from tests.chaos.run import Plan, chaos, faults_of
from tests.support.services import Postgres

DATABASES = ("sqlite", "postgresql")


def main(given: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    cli = argparse.ArgumentParser(prog="python -m tests.chaos")
    cli.add_argument("--database", choices=DATABASES, action="append", help="only this one")
    cli.add_argument("--people", type=int, default=10_000)
    cli.add_argument("--kills", type=int, default=10, help="at each point, then any time")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--fault", action="append", help="instead of what the seed chooses")
    args = cli.parse_args(given)
    wrong = 0
    for database in args.database or DATABASES:
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
    for each in outcome.wrong[:20]:
        say(f"WRONG: {each}")
    say(
        f"{outcome.crashes} crashes in {clock.monotonic() - began:.0f} s: {outcome.again} messages came again,"
        f" {len(outcome.wrong)} wrong"
    )
    return len(outcome.wrong)


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
