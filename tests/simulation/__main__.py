"""Run the simulator.

    python -m tests.simulation --seeds 1000                        every scenario, seeds 0 … 999
    python -m tests.simulation --scenario inbox --seed 17 --trace  one seed again, its faults shown
    python -m tests.simulation --bug no-marks                      a planted bug: which seed finds it?

Ends with 1 if a seed failed, and says how to run that one again.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence

from tests.simulation.sabotage import BUGS
from tests.simulation.scenarios import SCENARIOS, run
from tests.support.simulation import Outcome

SHOWN = 5  # failing seeds of a scenario; then it is given up


def main(given: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit code."""
    cli = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Run the simulator."
    )
    cli.add_argument("--seeds", type=int, default=200, help="how many seeds, from 0 on")
    cli.add_argument("--seed", type=int, help="run only this one, twice, and compare")
    cli.add_argument("--scenario", choices=SCENARIOS, help="run only this one")
    cli.add_argument("--bug", choices=BUGS, help="plant a bug; it must be found")
    cli.add_argument("--trace", action="store_true", help="show the faults")
    args = cli.parse_args(given)
    if args.bug is not None:
        args.scenario = args.scenario or BUGS[args.bug].scenario
    names = [args.scenario] if args.scenario else list(SCENARIOS)
    if args.seed is not None:
        failed = [replay(name, args.seed, args.bug, is_traced=args.trace) for name in names]
    else:
        failed = [search(name, range(args.seeds), args.bug) for name in names]
    return int(any(failed) != (args.bug is not None))


def search(name: str, seeds: range, bug: str | None) -> bool:
    """Run seeds until all have passed or enough have failed; returns whether one failed."""
    failed, steps = 0, 0
    for seed in seeds:
        outcome = run(name, seed, bug=bug)
        steps += outcome.steps
        if outcome.error is not None:
            failed += 1
            say(f"{name}: seed {seed} failed: {reason(outcome)}")
            say(f"  again: {command(name, seed, bug)}")
        if failed and (bug is not None or failed == SHOWN):
            return True
    say(f"{name}: {len(seeds) - failed} of {len(seeds)} seeds pass ({steps} steps)")
    return failed > 0


def replay(name: str, seed: int, bug: str | None, *, is_traced: bool) -> bool:
    """Run one seed, tell its story, and check that it is the same one a second time; returns whether it failed."""
    outcome = run(name, seed, bug=bug, tell=say if is_traced else None)
    again = run(name, seed, bug=bug)
    say(
        f"{name}: seed {seed}: {outcome.steps} steps, {outcome.virtual_s:.1f} virtual seconds, "
        f"digest {outcome.digest}, {'the same' if again.digest == outcome.digest else 'ANOTHER'} again"
    )
    if outcome.error is not None:
        say("".join(traceback.format_exception(outcome.error)))
    return outcome.error is not None or again.digest != outcome.digest


def command(name: str, seed: int, bug: str | None = None) -> str:
    """What replays a seed."""
    if bug is None:
        return f"make sim SEED={seed} SCENARIO={name}"
    return f"python -m tests.simulation --scenario {name} --seed {seed} --bug {bug} --trace"


def reason(outcome: Outcome) -> str:
    """The failure in one line."""
    error = outcome.error
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]


def say(text: str) -> None:
    """One line to the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
