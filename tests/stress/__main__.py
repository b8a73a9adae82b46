"""Put a server under stress of every kind, and see that everything comes out exactly.

    python -m tests.stress                                  every scenario, under a minute in all
    python -m tests.stress --seconds 600                    for longer
    python -m tests.stress --scenario races --seed 7        one, as it was

Ends with 1 if a scenario failed, and says how to run that one again.
"""

import argparse
import asyncio
import inspect
import sys
import traceback
from collections.abc import Sequence

from clarion.realtime.transports import run
from tests.stress.harness import Servers, play
from tests.stress.scenarios import SCENARIOS


def main(given: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit code."""
    cli = argparse.ArgumentParser(prog="python -m tests.stress")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--seconds", type=float, default=20.0, help="for all scenarios together")
    cli.add_argument("--scenario", choices=SCENARIOS, action="append", help="run only this one")
    args = cli.parse_args(given)
    names = args.scenario or [*SCENARIOS]
    return int(run(stress(names, args.seed, args.seconds / len(names))))


async def stress(names: Sequence[str], seed: int, seconds: float) -> bool:
    """Run scenarios one after another; returns whether one failed."""
    failed, loop = False, asyncio.get_running_loop()
    async with Servers() as servers:
        for name in names:
            began = loop.time()
            try:
                told = await play(servers, name, SCENARIOS[name], seed, seconds)
            except Exception:  # noqa: BLE001  whatever it is, the others run
                failed = True
                traceback.print_exc()
                say(f"{name}: FAILED with seed {seed}: {inspect.getdoc(SCENARIOS[name])}")
                say(f"  again: python -m tests.stress --scenario {name} --seed {seed}")
            else:
                say(f"{name:16} {loop.time() - began:5.1f} s   {told}")
    return failed


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
