"""The scenarios by name, and one run of one of them."""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.accept import accept
from tests.simulation.inbox import inbox
from tests.simulation.sabotage import planted
from tests.simulation.sessions import sessions
from tests.simulation.topics import topics
from tests.simulation.workflows import workflows
from tests.support.simulation import Outcome, SimLoop, simulate

Scenario = Callable[[SimLoop], Coroutine[Any, Any, None]]

SCENARIOS: dict[str, Scenario] = {
    "sessions": sessions,
    "inbox": inbox,
    "topics": topics,
    "accept": accept,
    "workflows": workflows,
}


def run(
    name: str, seed: int, *, bug: str | None = None, tell: Callable[[str], None] | None = None
) -> Outcome:
    """Run one seed of a scenario, with a bug planted if one is named."""
    with planted(bug):
        return simulate(SCENARIOS[name], seed, tell=tell)


def first_failure(name: str, seeds: range, *, bug: str | None = None) -> int | None:
    """The first seed that fails; None: all pass."""
    return next((seed for seed in seeds if run(name, seed, bug=bug).error is not None), None)
