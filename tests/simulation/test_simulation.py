"""The simulator itself, a short search with it, and the bugs that it must find."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from clarion.telemetry import spawn
from tests.simulation import __main__ as cli
from tests.simulation.sabotage import BUGS
from tests.simulation.scenarios import SCENARIOS, first_failure, run
from tests.support.simulation import SimLoop, Stuck, simulate
from tests.support.simulation_network import Network

SEEDS = 40


class Noted(asyncio.Protocol):
    """What came, when, and how it ended."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.end: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.times.append(asyncio.get_running_loop().time())

    def connection_lost(self, exc: Exception | None) -> None:
        self.end.append(exc)


class Pair:
    """A host `server` that notes what it gets, and a host `client` with a connection to it."""

    def __init__(self, loop: SimLoop) -> None:
        self.network = Network(loop)
        self.server, self.client = Noted(), Noted()

    async def connect(self) -> None:
        async def serve() -> None:
            self.network.listen(1, lambda: self.server)

        async def dial() -> None:
            await self.network.connect("server", 1, self.client)

        await self.network.start("server", serve)
        await self.network.start("client", dial)

    def send(self, data: bytes) -> None:
        assert self.client.transport is not None
        self.client.transport.write(data)


def passes(scenario: Callable[[SimLoop], Coroutine[Any, Any, None]], seed: int = 1) -> None:
    outcome = simulate(scenario, seed)
    if outcome.error is not None:
        raise outcome.error


# ── the loop ──


def test_a_day_passes_at_once() -> None:
    async def scenario(loop: SimLoop) -> None:
        await asyncio.sleep(86_400)

    outcome = simulate(scenario, 1)
    assert outcome.error is None
    assert outcome.virtual_s >= 86_400
    assert outcome.steps < 10


def test_a_deadlock_and_a_livelock_are_told() -> None:
    """Where nothing can happen any more, or no end is in sight, the run ends and says so."""

    async def waits(loop: SimLoop) -> None:
        await loop.create_future()

    async def spins(loop: SimLoop) -> None:
        def again() -> None:
            loop.call_soon(again)

        again()
        await loop.create_future()

    assert isinstance(simulate(waits, 1).error, Stuck)
    assert isinstance(simulate(spins, 1, max_steps=1000).error, Stuck)


def test_what_fails_in_the_background_fails_the_run() -> None:
    """A callback that raises, and a program that logs an error, are not lost."""

    async def raises(loop: SimLoop) -> None:
        loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(1)

    async def dies(loop: SimLoop) -> None:
        async def program() -> None:
            raise LookupError("nobody caught it")

        task = spawn(program(), name="program")
        await asyncio.sleep(1)
        assert task.done()

    assert "ZeroDivisionError" in str(simulate(raises, 1).error)
    assert "background task failed" in str(simulate(dies, 1).error)


def test_tasks_step_in_another_order_with_another_seed() -> None:
    """Callbacks stay first-in-first-out, as asyncio promises; tasks do not."""

    def order(seed: int) -> tuple[list[int], list[int]]:
        tasks: list[int] = []
        callbacks: list[int] = []

        async def one(n: int) -> None:
            await asyncio.sleep(0)
            tasks.append(n)

        async def scenario(loop: SimLoop) -> None:
            for n in range(10):
                loop.call_soon(callbacks.append, n)
            await asyncio.gather(*(one(n) for n in range(10)))

        assert simulate(scenario, seed).error is None
        return tasks, callbacks

    orders = [order(seed) for seed in range(8)]
    assert all(callbacks == list(range(10)) for _, callbacks in orders)
    assert len({tuple(tasks) for tasks, _ in orders}) > 4
    assert order(3) == orders[3]


# ── hosts and their network ──


def test_a_killed_host_runs_nothing_any_more() -> None:
    """Neither its tasks, nor its timers, nor a single `finally`."""
    ran: list[str] = []

    async def scenario(loop: SimLoop) -> None:
        network = Network(loop)

        async def main() -> None:
            loop.call_later(2, ran.append, "timer")
            try:
                await asyncio.sleep(1)
                ran.append("task")
            finally:
                ran.append("finally")

        task = network.start("host", main)
        await asyncio.sleep(0.5)
        network.crash("host")
        await asyncio.sleep(5)
        assert not task.done()
        assert ran == []

    passes(scenario)


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_keeps_its_order_however_it_is_chopped(seed: int) -> None:
    async def scenario(loop: SimLoop) -> None:
        pair = Pair(loop)
        await pair.connect()
        text = b"".join(b"%03d," % n for n in range(100))
        for at in range(0, len(text), 40):
            pair.send(text[at : at + 40])
        await asyncio.sleep(1)
        assert b"".join(pair.server.pieces) == text
        assert len(pair.server.pieces) > 10

    passes(scenario, seed)


def test_a_block_holds_back_one_direction() -> None:
    async def scenario(loop: SimLoop) -> None:
        pair = Pair(loop)
        await pair.connect()
        pair.network.block("client", "server", 5)
        before = loop.time()
        pair.send(b"late")
        assert pair.server.transport is not None
        pair.server.transport.write(b"soon")
        await asyncio.sleep(10)
        assert pair.server.times[0] >= before + 5
        assert pair.client.times[-1] < before + 1

    passes(scenario)


def test_a_cut_tells_both_sides() -> None:
    async def scenario(loop: SimLoop) -> None:
        pair = Pair(loop)
        await pair.connect()
        pair.network.cut("server", "client")
        await asyncio.sleep(1)
        for end in (pair.server.end, pair.client.end):
            assert [type(exc) for exc in end] == [ConnectionResetError]

    passes(scenario)


def test_after_a_power_failure_the_peer_hears_nothing_until_the_host_is_back() -> None:
    """A crash is told by a reset; a silent one only by the successor, to who sends something."""

    async def scenario(loop: SimLoop) -> None:
        pair = Pair(loop)
        await pair.connect()
        pair.network.crash("server", is_silent=True)
        pair.send(b"anybody there?")
        await asyncio.sleep(60)
        assert pair.client.end == []

        async def back() -> None:
            return

        await pair.network.start("server", back)
        pair.send(b"and now?")
        await asyncio.sleep(1)
        assert [type(exc) for exc in pair.client.end] == [ConnectionResetError]
        assert pair.server.end == []

    passes(scenario)


# ── a seed is a story ──


def test_a_seed_replays_exactly_in_another_process() -> None:
    """Same digest over every step, whatever the hashes of strings and the addresses of objects are there."""
    code = (
        "from tests.simulation.scenarios import SCENARIOS, run\n"
        "print([run(name, seed).digest for name in SCENARIOS for seed in range(3)])"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    here = str([run(name, seed).digest for name in SCENARIOS for seed in range(3)])
    assert told == [here, here]


# ── the search ──


@pytest.mark.parametrize("name", SCENARIOS)
def test_seeds_pass(name: str) -> None:
    """Nothing that the first seeds do breaks a promise; `make sim` runs more of them."""
    failed = first_failure(name, range(SEEDS))
    assert failed is None, f"{run(name, failed).error}; again: {cli.command(name, failed)}"


def test_seeds_that_once_failed_pass() -> None:
    """`seeds.txt` has them all: scenario, seed, what it showed."""
    lines = Path(__file__).with_name("seeds.txt").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            name, seed, reason = line.split(maxsplit=2)
            outcome = run(name, int(seed))
            assert outcome.error is None, f"{reason}; again: {cli.command(name, int(seed))}"


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    """A simulator that lets it pass proves nothing about the rest."""
    bug = BUGS[name]
    assert (
        first_failure(bug.scenario, range(bug.since, bug.since + bug.seeds), bug=name) is not None
    )


def test_a_failing_seed_prints_what_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    """And the replay tells the faults, the broken promise, and that it was the same run again."""
    assert cli.main(["--bug", "partly-recovered"]) == 0
    told = capsys.readouterr().out
    assert "--scenario inbox --seed 0 --bug partly-recovered" in told
    assert cli.command("inbox", 17) == "make sim SEED=17 SCENARIO=inbox"
    assert (
        cli.main(["--scenario", "inbox", "--seed", "0", "--bug", "partly-recovered", "--trace"])
        == 0
    )
    told = capsys.readouterr().out
    assert "crash node#1" in told
    assert "the same again" in told
    assert "AssertionError" in told
