"""The circuit breaker: who is down is left alone, and is found out to be back by one call."""

from clarion.features.upstream.breaker import FAILURES, FIRST_S, LONGEST_S, Breaker


def broken() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows(0.0)
        breaker.failed(0.0)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """One success between them begins anew."""
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    assert breaker.allows(0.0)
    breaker.failed(0.0)
    assert not breaker.allows(0.0)
    assert breaker.retry_after_s(0.0) == FIRST_S


def test_one_call_finds_out_whether_it_is_back() -> None:
    breaker = broken()
    assert not breaker.allows(FIRST_S - 0.01)
    assert breaker.allows(FIRST_S)
    assert not breaker.allows(FIRST_S), "one is enough"
    breaker.succeeded()
    assert breaker.allows(FIRST_S)


def test_calls_that_were_under_way_do_not_make_the_pause_longer() -> None:
    breaker = broken()
    for _ in range(50):
        breaker.failed(0.0)
    assert breaker.retry_after_s(0.0) == FIRST_S


def test_the_pauses_grow() -> None:
    """Each twice the one before, up to a bound; after a success the first again."""
    breaker, now, pauses = broken(), 0.0, []
    for _ in range(8):
        pauses.append(breaker.retry_after_s(now))
        now += pauses[-1]
        assert breaker.allows(now)
        breaker.failed(now)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_S, LONGEST_S, LONGEST_S]
    breaker.succeeded()
    for _ in range(FAILURES):
        breaker.failed(now)
    assert breaker.retry_after_s(now) == FIRST_S
