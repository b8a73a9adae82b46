"""What a scenario is, what it yields, and what several of them need."""

import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import jwt

MANY = 10_000
# Connecting to prepare something else: below what Clarion admits in a second by default.
PACE = (64, 1_900)
SECRET = "a secret of the benchmarks, 32 bytes or more"

Figures = AsyncIterator[tuple[str, float]]


@dataclass(frozen=True)
class Metric:
    """One row: the scenario that yields it, what it says, its unit, and whether less is better (None: it is no figure to compare)."""

    scenario: str
    title: str
    unit: str
    less_is_better: bool | None = True


@dataclass(frozen=True)
class Scenario:
    """A conversation, and how long it takes with one server (s, about)."""

    run: Callable[[str, bool], Figures]
    seconds: float
    rounds: int = 99
    """Most rounds: what takes long and differs little is not measured often."""
    peers: tuple[str, ...] = ()
    """Who takes part; empty: all."""


def token(user: str = "somebody", **claims: Any) -> str:
    """What an application's login would give its user."""
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    return jwt.encode(
        {"iss": "bench", "sub": user, "aud": "clarion", "exp": ends, **claims}, SECRET, "HS256"
    )


def percentiles(name: str, answer: dict[str, float]) -> list[tuple[str, float]]:
    """The figures of a distribution."""
    keys = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
    return [(f"{name}-{q}", answer[key]) for q, key in keys.items()]


def whole_product(folder: str, **more: str) -> dict[str, str]:
    """The environment of `clarion serve`, on its defaults, with a folder of its own and the benchmarks' login."""
    return {
        "CLARION_DATA_DIR": folder,
        "CLARION_LOG_LEVEL": "warning",
        "CLARION_AUTH_JWT_SECRET": SECRET,
        "CLARION_AUTH_ISSUER": "bench",
        "CLARION_LIMITS_SESSIONS_PER_USER": "0",  # they all are one person
        **more,
    }
