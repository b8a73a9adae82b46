"""Where Clarion's time goes in one scenario: `python -m benchmarks.profile ack`.

First the scenario runs undisturbed, and the server's processor time is counted; then again under py-spy, which looks at the
whole stack (Python, the C of extensions, libc) 250 times a second. Printed: processor time of the server, then functions by
their share, with what they call (`total`) and alone (`self`). The stacks stay in `benchmarks/bin/profile-ack.txt`, in the
form that flame graph programs read.
The profiler stops the server for each look, so its shares are right and its rates are not.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.peers import BIN, HERE, loading, prepare, started

SECONDS = 5
# Arguments of the generator that keep a server busy for a while.
SCENARIOS = {
    "ack": ("100", "ack", "8", "1"),
    "broadcast": ("10000", "broadcast", "80", "64"),
    "burst": ("1000", "burst", "60", "100"),
    "rooms": ("10000", "rooms", "8", "1000"),
    "connect": ("10000", "connect"),
}
ENOUGH, EVERYWHERE = 0.01, 0.995  # functions below and above these shares tell nothing
WAITING = ("epoll_pwait", "epoll_wait")
_NUMBER = re.compile(r":\d+\)$")


def py_spy() -> Path:
    """The profiler, installed into benchmarks/.venv at first use."""
    at = HERE / ".venv/bin/py-spy"
    if not at.exists():
        subprocess.run([sys.executable, "-m", "venv", HERE / ".venv"], check=True)
        pip = [HERE / ".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
    return at


async def measure(scenario: str) -> None:
    """Run without the profiler; print the rate and the server's processor time."""
    clients, *arguments = SCENARIOS[scenario]
    async with started("clarion") as server:
        before = server.cpu_s()
        async with loading(server, int(clients), *arguments) as generator:
            out, _ = await generator.communicate()
        result = json.loads(out)
        print(f"undisturbed: {result}, server {server.cpu_s() - before:.2f} s of processor time")


async def sample(scenario: str, rate: int) -> Path:
    """Run under the profiler; the file of collapsed stacks."""
    clients, *arguments = SCENARIOS[scenario]
    stacks = BIN / f"profile-{scenario}.txt"
    async with started("clarion") as server, loading(server, int(clients), *arguments) as generator:
        if scenario != "connect":
            await asyncio.sleep(0.5 + int(clients) / 2_000)  # while they connect
        looking = await asyncio.create_subprocess_exec(
            *(py_spy(), "record", "--pid", str(server.pid), "--native", "--function"),
            *("--format", "raw", "--output", stacks, "--rate", str(rate)),
            *("--duration", str(SECONDS)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await looking.wait():
            raise SystemExit("py-spy failed; it needs the right to trace a process (root)")
        await generator.communicate()
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
    prepare()
    asyncio.run(measure(given.scenario))
    print(table(asyncio.run(sample(given.scenario, given.rate))))


if __name__ == "__main__":
    main()
