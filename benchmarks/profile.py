"""Where Clarion's time goes in one scenario: `python -m benchmarks.profile ack`.

First the scenario runs undisturbed, and the server's processor time is counted; then again under py-spy, which looks at the
whole stack (Python, the C of extensions, libc) 250 times a second. Printed: processor time of the server, then functions by
their share, with what they call (`total`) and alone (`self`). The stacks stay in `benchmarks/bin/profile-ack.txt`, in the
form that flame graph programs read.
The profiler stops the server for each look, so its shares are right and its rates are not.
"""

import argparse
import asyncio
import re
from collections import Counter
from pathlib import Path

from benchmarks.peers import BIN, PYTHON, venv
from benchmarks.running import loading, set_up, started
from benchmarks.scenarios import PACE

Command = tuple[object, ...]

SECONDS = 5
# What the generator does before, and what is looked at (load/main.c); repeated as long as the profiler looks.
SCENARIOS: dict[str, tuple[list[Command], Command]] = {
    "ack": ([("connect", 100)], ("ack", 2, 1)),
    "broadcast": ([("connect", 10_000, *PACE)], ("broadcast", 20, 64)),
    "burst": ([("connect", 1_000)], ("burst", 20, 100)),
    "rooms": ([("connect", 10_000, *PACE), ("join",)], ("rooms", 2, 1_000)),
    "connect": ([], ("connect", 1_000, *PACE)),
}
ENOUGH, EVERYWHERE = 0.01, 0.995  # functions below and above these shares tell nothing
WAITING = ("epoll_pwait", "epoll_wait")
_NUMBER = re.compile(r":\d+\)$")


async def undisturbed(scenario: str) -> None:
    """Run without the profiler; print the figures and the server's processor time."""
    before, command = SCENARIOS[scenario]
    async with started("clarion") as server, loading(server) as load:
        for each in before:
            await load.ask(*each)
        used = server.cpu_s()
        print(f"undisturbed: {await load.ask(*command)}")
        print(f"processor time of the server: {server.cpu_s() - used:.2f} s")


async def sample(scenario: str, rate: int) -> Path:
    """Run under the profiler; the file of collapsed stacks."""
    before, command = SCENARIOS[scenario]
    stacks = BIN / f"profile-{scenario}.txt"
    async with started("clarion") as server, loading(server) as load:
        for each in before:
            await load.ask(*each)
        looking = await asyncio.create_subprocess_exec(
            *(PYTHON.parent / "py-spy", "record", "--pid", str(server.pid), "--native"),
            *("--function", "--format", "raw", "--output", stacks, "--rate", str(rate)),
            *("--duration", str(SECONDS)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        while looking.returncode is None:
            await load.ask(*command)
            await asyncio.sleep(0)
        if looking.returncode:
            raise SystemExit("py-spy failed; it needs the right to trace a process (root)")
    return stacks


def table(stacks: Path) -> str:
    """Functions by share of the time that is not waiting: with what they call, and alone."""
    total: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    samples = 0
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_NUMBER.sub(")", f) for f in stack.split(";") if "object.h" not in f]
        if frames[-1].startswith(WAITING):
            continue
        samples += int(count)
        alone[frames[-1]] += int(count)
        total.update(dict.fromkeys(frames, int(count)))
    rows = [f"{samples:,} samples at work", " total   self  function"]
    for name, seen in total.most_common():
        if samples * ENOUGH <= seen < samples * EVERYWHERE:
            rows.append(f"{seen / samples:6.1%} {alone[name] / samples:6.1%}  {name}")
    return "\n".join(rows)


def main() -> None:
    """Parse the command line, run twice, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--rate", type=int, default=250, help="looks a second (default 250)")
    given = parser.parse_args()
    set_up()
    venv()
    asyncio.run(undisturbed(given.scenario))
    print(table(asyncio.run(sample(given.scenario, given.rate))))


if __name__ == "__main__":
    main()
