"""Who may open a session."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.ids import Ids
from clarion.realtime.admission import Admission, Origins, spend
from clarion.realtime.transports import Refused


def test_a_burst_then_the_rate():
    """A full bucket gives its burst at once, then one for each interval, and says how long to wait."""
    spent = 0.0
    for _ in range(4):
        spent, wait = spend(spent, 100.0, 2, burst=4)
        assert wait == 0
    spent, wait = spend(spent, 100.0, 2, burst=4)
    assert wait == pytest.approx(0.5)
    spent, wait = spend(spent, 100.5, 2, burst=4)
    assert wait == 0


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 20))
def test_never_more_than_burst_plus_rate(pauses, rate):
    """Over any stretch no more are let in than the burst and what the rate adds in it."""
    spent = now = 0.0
    times = []
    for pause in pauses:
        now += pause / 10
        spent, wait = spend(spent, now, rate, burst=2 * rate)
        if not wait:
            times.append(now)
    for begin in range(len(times)):
        for end in range(begin, len(times)):
            allowed = 2 * rate + rate * (times[end] - times[begin])
            assert end - begin + 1 <= allowed + 1e-6


def test_too_many_handshakes_are_told_when_to_come_back():
    """Refusals are 503 with a Retry-After of 1 to 10 s that differs from client to client, and name the limit."""
    admission = Admission(1, 10, Ids.seeded(1))
    admission.check(0, 0)
    admission.check(0, 0)
    seconds = set()
    for _ in range(20):
        with pytest.raises(Refused) as caught:
            admission.check(0, 0)
        assert (caught.value.status, caught.value.limit) == (503, "handshakes_per_s")
        seconds.add(caught.value.retry_after_s)
    assert len(seconds) > 3
    assert seconds <= set(range(1, 11))


def test_a_full_or_stopping_server_lets_nobody_in():
    """As many sessions as connections may be open; a server that stops takes none."""
    admission = Admission(10, 2, Ids.seeded(1))
    admission.check(0, 1)
    with pytest.raises(Refused) as caught:
        admission.check(0, 2)
    assert caught.value.limit == "connections"
    admission.is_stopping = True
    with pytest.raises(Refused) as caught:
        admission.check(0, 0)
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("origin", "host", "is_secure", "allowed"),
    [
        (b"", b"x", False, True),
        (b"http://example.com", b"example.com", False, True),
        (b"https://example.com", b"EXAMPLE.com:443", False, True),
        (b"https://Example.com", b"example.com", True, True),
        (b"http://[::1]:8000", b"[::1]:8000", False, True),
        (b"http://[::1]", b"[::1]:80", False, True),
        (b"http://example.com", b"example.com", True, False),
        (b"http://example.com:81", b"example.com", False, False),
        (b"http://evil.example", b"example.com", False, False),
        (b"http://example.com.evil", b"example.com", False, False),
        (b"null", b"example.com", False, False),
        (b"null", b"null", False, False),
        (b"file://", b"", False, False),
        (b"https://app.example", b"example.com", True, True),
    ],
)
def test_own_pages_and_listed_origins_pass(origin, host, is_secure, allowed):
    """Programs without an Origin, pages of the server itself and of listed origins pass; all others do not."""
    origins = Origins(["https://app.example/"])
    assert origins.allows(origin, host, is_secure=is_secure) is allowed


def test_cors_names_the_origin_that_asked():
    """A listed origin may read answers with credentials; `*` lets everybody read, without credentials; others get no header."""
    listed, everybody = Origins(["https://app.example"]), Origins(["*"])
    assert dict(listed.cors(b"https://app.example"))[b"access-control-allow-credentials"] == b"true"
    assert listed.cors(b"https://evil.example") == []
    assert listed.cors(b"") == []
    assert everybody.cors(b"https://any.example") == [(b"access-control-allow-origin", b"*")]
    assert everybody.allows(b"null", b"x", is_secure=False)
