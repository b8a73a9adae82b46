"""`python -m tests.swap [--clients 2000] [--rate 200] [--seed 1]`: two servers of Node with clients in rooms are replaced by Clarion one at a time, and back again.

All speak the format of Node's streams adapter over one Redis, with connection state recovery. Each event that was acknowledged must have
come to each member of its room, once.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.swap.moving import move


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do it, and say what became of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(move(Path(folder), given.clients, given.rate, given.seed, say))
    say(
        f"acknowledged {outcome.acknowledged:,} ({dict(outcome.by)}), not acknowledged {outcome.refused}"
    )
    say(
        f"of their deliveries missing {outcome.missing}, and {outcome.missed_by_node} that Node missed while it restored; doubled: {dict(outcome.doubled)}"
    )
    say(
        f"a client without a server for {outcome.longest_s:.2f} s at most; came back as somebody new: {dict(outcome.not_recovered)}"
    )
    if outcome.missing or outcome.doubled["clarion"] or outcome.not_recovered["clarion"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
