"""How often a door may be used."""

import pytest

from clarion.api import limits
from clarion.api.limits import Buckets, PerAccount, PerCaller, PerItem, Unlimited, declared
from clarion.clock import ManualClock
from clarion.errors import RateLimited, UndeclaredRight


def _buckets(clock: ManualClock, quantity: int = 3, window_s: float = 60.0) -> Buckets:
    return Buckets("api_requests", quantity, window_s, clock)


def test_n_calls_pass_and_the_next_is_told_when_to_come_back() -> None:
    """Exactly the limit fits at once; the answer to one more names the limit and the seconds, and is counted."""
    clock = ManualClock()
    buckets = _buckets(clock)
    left = [buckets.take("ann")["ratelimit"] for _ in range(3)]
    assert left == [f'"api_requests";r={r};t={t}' for r, t in ((2, 20), (1, 40), (0, 60))]
    with pytest.raises(RateLimited) as refused:
        buckets.take("ann")
    assert refused.value.retry_after_s == 20
    assert refused.value.facts["limit"] == "api_requests"


def test_calls_flow_back_evenly_over_the_window() -> None:
    """Waiting as long as one was told is enough, a moment less is not."""
    clock = ManualClock()
    buckets = _buckets(clock)
    for _ in range(3):
        buckets.take("ann")
    clock.advance(19.99)
    with pytest.raises(RateLimited):
        buckets.take("ann")
    clock.advance(0.01)
    buckets.take("ann")
    with pytest.raises(RateLimited):
        buckets.take("ann")


def test_a_refused_call_costs_nothing() -> None:
    """Who keeps knocking gets in as soon as somebody who waited."""
    clock = ManualClock()
    buckets = _buckets(clock)
    for _ in range(3):
        buckets.take("ann")
    for _ in range(50):
        with pytest.raises(RateLimited):
            buckets.take("ann")
    clock.advance(20)
    buckets.take("ann")


def test_a_call_may_be_worth_several_but_never_more_than_fits() -> None:
    """Two of three, then two are one too many; ten are worth a full bucket, which somebody who waited has."""
    clock = ManualClock()
    buckets = _buckets(clock)
    buckets.take("ann", 2)
    with pytest.raises(RateLimited) as refused:
        buckets.take("ann", 2)
    assert refused.value.retry_after_s == 20
    buckets.take("ann")
    clock.advance(60)
    assert buckets.take("ann", 10)["ratelimit"] == '"api_requests";r=0;t=60'


def test_callers_do_not_share() -> None:
    """One caller's flood is nobody else's refusal."""
    buckets = _buckets(ManualClock())
    for _ in range(3):
        buckets.take("ann")
    buckets.take("ben")


def test_the_default_window_holds_its_whole_quantity() -> None:
    """6,000 calls fit into the first instant: no call is lost to rounding."""
    buckets = _buckets(ManualClock(), 6_000)
    for _ in range(6_000):
        headers = buckets.take("ann")
    assert headers["ratelimit"].startswith('"api_requests";r=0;')
    assert headers["ratelimit-policy"] == '"api_requests";q=6000;w=60'
    with pytest.raises(RateLimited) as refused:
        buckets.take("ann")
    assert refused.value.retry_after_s == pytest.approx(0.01, abs=0.001)


def test_idle_buckets_are_forgotten() -> None:
    """Addresses that have not come for a window cost no memory."""
    clock = ManualClock()
    buckets = _buckets(clock)
    for i in range(1_000):
        buckets.take(i)
    assert len(buckets) == 1_000
    clock.advance(60)
    buckets.take("ann")
    assert len(buckets) == 1


def test_many_addresses_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from countless addresses drops the longest unused bucket instead of growing."""
    monkeypatch.setattr(limits, "MOST_BUCKETS", 10)
    buckets = _buckets(ManualClock())
    for i in range(100):
        buckets.take(i)
    assert len(buckets) == 10
    assert buckets.take(99)["ratelimit"].startswith('"api_requests";r=1;')


@pytest.mark.parametrize(
    "limit", [PerCaller(), PerItem("items", 100), PerAccount("username"), Unlimited("a probe")]
)
def test_a_declaration_is_taken(limit: object) -> None:
    """Each of the three is one."""
    assert declared("GET /x", limit) is limit


@pytest.mark.parametrize("limit", [None, "often", Unlimited("")])
def test_what_is_not_a_declaration_stops_the_start(limit: object) -> None:
    """Nothing, something else, and an exception without a reason are refused, naming the door."""
    with pytest.raises(UndeclaredRight, match="GET /x"):
        declared("GET /x", limit)
