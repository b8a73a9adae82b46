"""Who may open a session."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.ids import Ids
from clarion.realtime.admission import Admission, Buckets, Ingress, spend
from clarion.realtime.transports import Refused
from clarion.realtime.transports.head import parse_networks
from clarion.settings import Limits


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
    admission = Admission(Limits(handshakes_per_s=1), Ids.seeded(1))
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
    admission = Admission(Limits(connections=10), Ids.seeded(1))
    admission.check(0, 9)
    with pytest.raises(Refused) as caught:
        admission.check(0, 10)
    assert caught.value.limit == "connections"
    admission.is_stopping = True
    with pytest.raises(Refused) as caught:
        admission.check(0, 0)
    assert caught.value.status == 503


def test_an_address_has_a_rate_and_a_number_of_its_own():
    """One address gets 429 with the limit's name, others come in; when its sessions have ended it may come again."""
    limits = Limits(handshakes_per_address=1, sessions_per_address=3)
    admission = Admission(limits, Ids.seeded(1))
    for _ in range(2):
        admission.check(0, 0, "192.0.2.1")
        admission.entered("192.0.2.1")
    with pytest.raises(Refused) as caught:
        admission.check(0, 0, "192.0.2.1")
    assert (caught.value.status, caught.value.limit) == (429, "handshakes_per_address")
    assert b"limits.handshakes_per_address" in caught.value.body
    assert caught.value.retry_after_s
    admission.check(0, 0, "192.0.2.2")
    admission.check(1, 0, "192.0.2.1")
    admission.entered("192.0.2.1")
    with pytest.raises(Refused) as caught:
        admission.check(100, 0, "192.0.2.1")
    assert (caught.value.status, caught.value.limit) == (429, "sessions_per_address")
    admission.left("192.0.2.1")
    admission.check(100, 0, "192.0.2.1")
    for _ in range(5):
        admission.left("192.0.2.1")
    assert not admission._sessions


def test_a_flooding_address_does_not_take_the_nodes_tokens():
    """What is refused for its address costs the others nothing."""
    admission = Admission(Limits(handshakes_per_address=1, handshakes_per_s=10), Ids.seeded(1))
    for _ in range(100):
        with contextlib.suppress(Refused):
            admission.check(0, 0, "192.0.2.1")
    for n in range(18):
        admission.check(0, 0, f"192.0.2.{n + 2}")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", ""),
        ("127.1.2.3", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("10.1.2.3", ""),
        ("", ""),
        ("unix", ""),
    ],
)
def test_who_is_counted_as_what(address, key):
    """An IPv6 host has a /64 of addresses; this machine and trusted proxies are not counted, nor what is no address."""
    assert Admission(Limits(), Ids.seeded(1), parse_networks(["10.0.0.0/8"])).key(address) == key


def test_who_is_refused_again_and_again_hears_it_late():
    """Twice the rate is told at once, more after 1 to 5 s; this machine's own requests never wait."""
    admission = Admission(Limits(refusals_per_address=2), Ids.seeded(1))
    assert [admission.delay_s(0, "192.0.2.1") for _ in range(4)] == [0.0] * 4
    late = [admission.delay_s(0, "192.0.2.1") for _ in range(20)]
    assert all(1 <= delay <= 5 for delay in late)
    assert len(set(late)) > 10
    assert admission.delay_s(0, "192.0.2.2") == 0
    assert admission.delay_s(10, "192.0.2.1") == 0
    assert [admission.delay_s(0, "127.0.0.1") for _ in range(9)] == [0.0] * 9


def test_buckets_are_bounded():
    """However many keys come, no more than `most` are kept, and none that is full again for long."""
    buckets = Buckets(1, most=100)
    for n in range(1_000):
        buckets.spend(f"k{n}", 0.0)
    assert len(buckets) == 100
    assert buckets.spend("k999", 0.0) == 0.0
    assert buckets.spend("k999", 0.0) > 0.0
    for _ in range(100):
        buckets.spend("other", 1_000.0)
    assert len(buckets) <= 2
    off = Buckets(0)
    assert [off.spend("k", 0.0) for _ in range(100)] == [0.0] * 100
    assert len(off) == 0


# ── what one session may send ──
def test_bytes_and_messages_share_one_bucket():
    """4 s' worth at once, then the rate; a message counts as so many bytes that `packets_per_s` of them use it up."""
    ingress = Ingress.of(Limits(bytes_per_s=1 << 20, packets_per_s=1_024, max_payload_bytes=1024))
    assert (ingress.message_bytes, ingress.burst) == (1024, 4 << 20)
    assert ingress.refill(-(1 << 19), 10.0, 10.0) == (-(1 << 19), 0.5)
    assert ingress.refill(-(1 << 19), 10.0, 10.25) == (-(1 << 18), 0.25)
    assert ingress.refill(-(1 << 19), 10.0, 11.0) == (1 << 19, 0.0)
    assert ingress.refill(-1, 10.0, 1_000.0) == (ingress.burst, 0.0)


@pytest.mark.parametrize("limits", [Limits(), Limits(bytes_per_s=1000), Limits(attachments=0)])
def test_the_largest_packets_fit_into_the_burst(limits):
    """Two packets with all the attachments that are allowed may come at once, whatever the rate."""
    ingress = Ingress.of(limits)
    size = limits.max_payload_bytes + ingress.message_bytes
    assert ingress.burst >= 2 * (1 + limits.attachments) * size


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 2)), max_size=40))
def test_never_more_than_the_burst_and_the_rate(messages):
    """A client that is held as told sends no more over any time than the burst, the rate, and one message."""
    limits = Limits(bytes_per_s=1_000, packets_per_s=100, max_payload_bytes=1024, attachments=0)
    ingress = Ingress.of(limits)
    credit, since, now, sent = ingress.burst, 0.0, 0.0, 0
    for size, pause in messages:
        now += pause
        credit -= size + ingress.message_bytes
        sent += size
        if credit < 0:
            credit, hold_s = ingress.refill(credit, since, now)
            since = now
            now += hold_s
        assert sent <= ingress.burst + 1_000 * now + 5_000 + len(messages)


def test_zero_is_no_limit():
    """Without `bytes_per_s` nothing is held; without `packets_per_s` a message counts as its bytes alone."""
    assert Ingress.of(Limits(bytes_per_s=0)).refill(-1, 5.0, 5.0)[1] == 0
    assert Ingress.of(Limits(packets_per_s=0)).message_bytes == 0
