"""Subscriptions of one node: each gets every entry once, in order, live or after waiting."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.topics.live import Feed, Subscription
from clarion.topics.stream import Entry, Position
from tests.topics.fakes import OPEN, Bench, MemoryLog, Socket


def feed() -> Feed:
    return Feed(OPEN, Bench().kinds.find("sum"), lambda event, data: (event, data), {})


def subscribed(
    to: Feed, name: str = "s", offset: int = 0, log: list[Entry] | None = None
) -> Subscription:
    subscription = Subscription(Socket(name), to, None)
    mark = log[offset - 1].mark if log and offset else 0
    subscription.position = Position("a", offset, mark)
    to.subscriptions[name] = subscription
    return subscription


def offsets(subscription: Subscription) -> list[int]:
    socket = subscription.socket
    assert isinstance(socket, Socket)
    return socket.offsets


def test_it_waits_until_it_may_go() -> None:
    log, one = MemoryLog().append(OPEN, 1, 2, 3), feed()
    subscription = subscribed(one)
    assert one.deliver("a", log[:2], 10) == []
    assert not subscription.is_live
    assert offsets(subscription) == []
    assert subscription.go() is True
    assert subscription.is_live
    assert one.deliver("a", log[2:], 10) == []
    assert offsets(subscription) == [1, 2, 3]


def test_it_says_when_something_is_missing() -> None:
    """A gap, another log, another epoch: in what has waited, and in what comes."""
    log, one = MemoryLog().append(OPEN, 1, 2, 3), feed()
    for epoch, entries in (("a", log[1:]), ("b", log), ("a", [Entry(1, 5, 9, "add", 1)])):
        waiting = subscribed(one, "waiting")
        one.deliver(epoch, entries, 10)
        assert waiting.go() is False
        assert offsets(waiting) == []
        live = subscribed(one, "live")
        live.go()
        assert live in one.deliver(epoch, entries, 10)
        assert offsets(live) == []
        one.subscriptions.clear()


def test_one_that_misses_something_does_not_hold_up_the_others() -> None:
    log, one = MemoryLog().append(OPEN, 1, 2, 3), feed()
    behind, current = subscribed(one, "behind"), subscribed(one, "current", 1, log)
    behind.go()
    current.go()
    assert one.deliver("a", log[1:], 10) == [behind]
    assert (offsets(behind), offsets(current)) == ([], [2, 3])


def test_what_was_read_is_delivered_before_what_has_waited() -> None:
    log, one = MemoryLog().append(OPEN, 1, 2, 3), feed()
    subscription = subscribed(one)
    subscription.go()
    subscription.wait()
    subscription.wait()
    one.deliver("a", log[1:], 10)
    subscription.take(one.ready("a", log[:2]))
    assert subscription.go() is True
    assert offsets(subscription) == [1, 2, 3]


def test_only_the_newest_stays_of_more_than_may_wait() -> None:
    log, one = MemoryLog().append(OPEN, 1, 2, 3), feed()
    subscription = subscribed(one)
    one.deliver("a", log, 2)
    subscription.take(one.ready("a", log[:2]))
    assert subscription.go() is True
    assert offsets(subscription) == [1, 2, 3]


def test_it_may_stay_where_it_stands() -> None:
    log, one = MemoryLog().append(OPEN, 1, 2), feed()
    subscription = subscribed(one)
    one.deliver("a", log, 10)
    subscription.stay()
    assert offsets(subscription) == []
    assert subscription.at.offset == 0
    one.deliver("a", log, 10)
    assert offsets(subscription) == [1, 2]


def test_nothing_comes_after_the_end() -> None:
    one = feed()
    subscription = subscribed(one)
    subscription.end()
    assert not subscription.is_live


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), max_size=20), st.integers(0, 20))
def test_frames_that_overlap_in_any_order_deliver_each_entry_once(
    frames: list[tuple[int, int]], waits_for: int
) -> None:
    log, one = MemoryLog().append(OPEN, *range(12)), feed()
    subscription = subscribed(one)
    for number, (first, count) in enumerate(frames):
        if number == waits_for:
            subscription.go()
        one.deliver("a", log[first : first + count], 100)
    subscription.go()
    assert offsets(subscription) == list(range(1, subscription.at.offset + 1))
