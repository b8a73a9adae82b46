"""Several processes are one server for whoever is limited."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from clarion.api.limits import RateLimits
from clarion.api.shared_limits import SharedLimits
from clarion.clock import ManualClock
from clarion.errors import RateLimited
from clarion.settings import Limits
from tests.support.server import running

ANN = ("default", "user", "ann")
LIMITS = Limits(api_requests=100, api_window_s=100, login_tries=4)


class Wire:
    """Two processes that hear each other."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.clock = ManualClock()
        self.one, self.two = (RateLimits(LIMITS, self.clock) for _ in range(2))
        self.sides = [SharedLimits(each, self) for each in (self.one, self.two)]

    def on(self, _question: str, answer: Any) -> None:
        self.heard.append(answer)

    def tell(self, _question: str, value: Any = None) -> None:
        self.heard[1](json.loads(json.dumps(value)))

    def passes(self) -> None:
        """A second: the first tells the second."""
        self.sides[0].tell()


def test_what_one_process_let_in_counts_at_the_others() -> None:
    """Calls and tries for an account; what is worth several, too."""
    wire = Wire()
    wire.one.calls.take(ANN, 90)
    for _ in range(4):
        wire.one.logins.take(("ann", "203.0.113.9"))
    wire.two.calls.take(ANN)
    wire.passes()
    assert wire.two.calls.take(ANN)["ratelimit"] == '"api_requests";r=8;t=92'
    with pytest.raises(RateLimited):
        wire.two.logins.take(("ann", "203.0.113.9"))
    wire.two.logins.take(("ann", "203.0.113.8"))
    wire.passes()
    assert wire.two.calls.take(ANN)["ratelimit"] == '"api_requests";r=7;t=93'  # told once


def test_whoever_has_spread_waits_no_longer_than_a_window() -> None:
    """Both let in a whole limit before they knew: the bucket is empty then, not in debt."""
    wire = Wire()
    wire.one.calls.take(ANN, 100)
    wire.two.calls.take(ANN, 100)
    wire.passes()
    wire.clock.advance(1)
    wire.two.calls.take(ANN)


def test_who_hardly_calls_is_not_talked_about() -> None:
    """Less than a hundredth of the limit; refused calls are none."""
    wire = Wire()
    limits = RateLimits(Limits(api_requests=1_000, api_window_s=100), wire.clock)
    side = SharedLimits(limits, wire)
    told: list[Any] = []
    wire.tell = lambda _question, value=None: told.append(value)  # type: ignore[method-assign]
    limits.calls.take(ANN, 9)
    side.tell()
    assert told == []
    limits.calls.take(ANN)
    limits.calls.take("203.0.113.9", 1_000)
    with pytest.raises(RateLimited):
        limits.calls.take("203.0.113.9")
    side.tell()
    assert told == [{"api_requests": [("203.0.113.9", 1_000), (ANN, 10)]}]


async def test_workers_of_a_host_have_one_limit(tmp_path: Path) -> None:
    """Where one would let in forty calls, two let in forty, and what comes before they have heard of each other."""
    settings = {"CLARION_WORKERS": "2", "CLARION_LIMITS_API_REQUESTS": "40", "CLARION_LIMITS_API_WINDOW_S": "3600"}  # fmt: skip
    with running(tmp_path, **settings) as server:
        key, accepted, refused = server.key("topics:read"), 0, 0
        while refused < 12:  # in a row: of both
            answer = server.get("/v1/topics/log%3Aa/occupancy", token=key)
            refused = refused + 1 if answer.status_code == 429 else 0
            accepted += answer.status_code != 429
            if accepted > 20:
                await asyncio.sleep(0.1)
        assert 40 <= accepted < 78, accepted
