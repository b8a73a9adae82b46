"""One soak: a server, its load, and samples of both; what was wrong in the end."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from clarion.telemetry import spawn
from tests.soak.churn import ENDS, REPLACED_PER_MIN, Churn
from tests.soak.verdict import GROWTH, Sample, growing, kept
from tests.support.measured import Child, NotAtRest, measured

MAX_PAYLOAD = 100_000
# Recovery keeps an event for recovery_s + ping_interval_s + 4 × ping_timeout_s: short enough to see all of it go at the end.
SETTINGS = {"recovery_s": 20.0, "ping_interval_s": 10.0, "ping_timeout_s": 10.0}
LIMITS = {
    "max_payload_bytes": MAX_PAYLOAD,
    "recovery_events": 4_000,
    "recovery_bytes": 8 << 20,
    "close_s": 2.0,
}


class Plan(Struct, frozen=True):
    """How long, how much; the defaults are those of `make soak`."""

    seconds: float
    sockets: int = 600
    per_s: float = 700.0
    """Actions a second, of all clients."""
    seed: int = 1
    every_s: float = 5.0
    """Between two samples."""
    warm_s: float = 60.0
    slow_s: float = 20.0
    """Between two slow readers."""
    replaced_per_min: float = REPLACED_PER_MIN
    ends: dict[str, int] = field(default_factory=ENDS.copy)
    settings: dict[str, float] = field(default_factory=SETTINGS.copy)
    growth: float = GROWTH
    rest_s: float = 200.0
    """For everything that has a time to go when all clients have left, after the warm-up and at the end."""
    leaks: list[str] = []
    beside: bool = True
    """Whether an idle server runs beside it, which tells how late this machine is by itself."""


class Outcome(Struct):
    """What came of it."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    warm: dict[str, float] = field(default_factory=dict)
    rest: dict[str, float] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


async def soak(
    plan: Plan, *, by: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Run one; `by` is a command that runs servers, `tell` is told how it goes."""
    outcome = Outcome(plan)
    async with contextlib.AsyncExitStack() as stack:
        server = measured(plan.settings, LIMITS, leaks=plan.leaks, by=by)
        child = await stack.enter_async_context(server)
        idle = await stack.enter_async_context(measured(by=by)) if plan.beside else child
        await _warm_up(child, plan, outcome)
        tell("warm")
        churn = _churn(child, plan, plan.seed)
        await churn.begin()
        watching = spawn(_watch(child, idle, churn, outcome, tell), name="samples")
        await churn.run(plan.seconds)
        watching.cancel()
        await churn.end()
        outcome.seen, outcome.wrong = dict(churn.seen), [*outcome.wrong, *churn.wrong]
        outcome.rest = await _rest(child, plan, outcome)
        outcome.metrics = await child.ask("metrics")
    outcome.wrong += growing(outcome.samples, share=plan.growth) + kept(outcome.warm, outcome.rest)
    outcome.wrong += _collections(outcome)
    return outcome


def _churn(child: Child, plan: Plan, seed: int) -> Churn:
    return Churn(
        child,
        plan.sockets,
        plan.per_s,
        seed,
        max_payload=MAX_PAYLOAD,
        slow_s=plan.slow_s,
        replaced_per_min=plan.replaced_per_min,
        ends=plan.ends,
    )


async def _warm_up(child: Child, plan: Plan, outcome: Outcome) -> None:
    """The same load for a while; what is then left without clients is what the end is compared with."""
    churn = _churn(child, plan, -plan.seed)
    await churn.begin()
    await churn.run(plan.warm_s)
    await churn.end()
    outcome.wrong += churn.wrong
    outcome.warm = await _rest(child, plan, outcome)


async def _rest(child: Child, plan: Plan, outcome: Outcome) -> dict[str, float]:
    """What the server holds when everything that clients leave behind has gone."""
    try:
        await child.rests(within_s=plan.rest_s)
    except NotAtRest as exc:
        outcome.wrong.append(str(exc))
    await child.ask("collect")
    health: dict[str, float] = await child.ask("health")
    return health


async def _watch(
    child: Child, idle: Child, churn: Churn, outcome: Outcome, tell: Callable[[str], None]
) -> None:
    """Take a sample again and again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for each in (child, idle):
        await each.ask("health")  # forgets the pauses of the warm-up
    for number in range(1 << 30):
        await asyncio.sleep(max(0.0, began + number * outcome.plan.every_s - loop.time()))
        values = await child.ask("counts") | await child.ask("health")
        values["idle_lag_s"] = (await idle.ask("health"))["lag_s"]
        values["actions"], values["heard"] = churn.seen["actions"], churn.seen["heard"]
        outcome.samples.append(Sample(loop.time() - began, values))
        if number % 12 == 0:
            tell(
                f"{loop.time() - began:7.0f} s  {values['sessions']:5} sessions  "
                f"{values['rss'] / 1e6:6.1f} MB  {values['blocks']:9,} blocks  {values['heap'] / 1e6:6.1f} MB heap  {values['tasks']:5} tasks  {len(churn.wrong)} wrong"
            )


def _collections(outcome: Outcome) -> list[str]:
    """The slow kind of garbage collection must be rare: nothing that ends here leaves cycles."""
    first, last = outcome.samples[0], outcome.samples[-1]
    runs = last.values["gen2"] - first.values["gen2"]
    most = max(1.0, (last.at_s - first.at_s) / 60)
    return [f"{runs:.0f} collections of the oldest garbage; {most:.0f} were allowed"] * (
        runs > most
    )


def save(outcome: Outcome, path: Any) -> None:
    """Keep it as JSON."""
    path.write_bytes(msgspec.json.encode(outcome))


def load(path: Any) -> Outcome:
    """Read what `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Outcome)
