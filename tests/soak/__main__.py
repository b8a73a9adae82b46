"""Run a server under churn and see whether anything grows.

    python -m tests.soak --minutes 60 [--sockets 600] [--rate 700] [--seed 1] [--leak memory] [--draw]

Ends with 1 and says what grew, if something did. The samples are kept in `data/soak.json`; `--draw` makes docs/images/soak-*.svg of them.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from clarion.realtime.transports import run
from tests.soak.picture import write
from tests.soak.run import Plan, load, save, soak
from tests.soak.verdict import GAUGES, IN_USE, growth
from tests.support.leaks import LEAKS

ROOT = Path(__file__).parent.parent.parent


def main(given: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    cli = argparse.ArgumentParser(prog="python -m tests.soak")
    cli.add_argument("--minutes", type=float, default=3.0)
    cli.add_argument("--sockets", type=int, default=600)
    cli.add_argument("--rate", type=float, default=700.0, help="actions a second, of all clients")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--leak", choices=LEAKS, action="append", help="plant a bug; it must be found")
    cli.add_argument("--by", default="", help="a command that runs the server, such as `nice`")
    cli.add_argument("--keep", type=Path, default=ROOT / "data/soak.json", help="the samples")
    cli.add_argument("--draw", action="store_true", help="draw the samples that were kept")
    args = cli.parse_args(given)
    if args.draw:
        write(load(args.keep), ROOT / "docs/images")
        return 0
    seconds = args.minutes * 60
    warm_s = max(60.0, seconds / 10)
    plan = Plan(seconds, args.sockets, args.rate, args.seed, warm_s=warm_s, leaks=args.leak or [])
    outcome = run(soak(plan, by=shlex.split(args.by), tell=say))
    args.keep.parent.mkdir(exist_ok=True)
    save(outcome, args.keep)
    for name in GAUGES:
        grown, allowed = growth(outcome.samples, name)
        say(f"{name:10} {grown:+14,.0f}   allowed {allowed:12,.0f}")
    for name in IN_USE:
        say(
            f"{name:10} {outcome.warm[name]:14,.0f} after the warm-up, {outcome.rest[name]:14,.0f} at the end"
        )
    say(f"seen: {outcome.seen}")
    for each in outcome.wrong[:20]:
        say(f"WRONG: {each}")
    say(f"soak: {args.minutes:g} minutes, {len(outcome.wrong)} wrong")
    return int(bool(outcome.wrong) != bool(args.leak))


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
