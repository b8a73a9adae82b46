"""What a client missed, decided by values: exactly what one that never left would have got."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.realtime.history import MAX_PAST, History, Outcome, Stays, missed

EPOCH = "epoch123"
ROOMS = ("a", "b", "c")


@dataclass(frozen=True)
class Item:
    what: str
    size: int = 10


def told(history, stays, offset, *, certain_until=float("-inf"), most_bytes=10**9):
    found = missed(history, stays, offset, certain_until=certain_until, most_bytes=most_bytes)
    return found if isinstance(found, Outcome) else [item.what for item in found]


def sent(history, what, rooms=(), excluded=(), at=0.0, size=10):
    """Keep an event; returns its offset."""
    offset = history.offset(is_next=True)
    history.append(at, rooms, excluded, Item(what, size))
    return offset


# ── the property ──


@dataclass
class Twin:
    """A client that never leaves, beside one that does; both are told of by the server in the same words."""

    history: History = field(default_factory=lambda: History(EPOCH))
    stays: Stays | None = None
    rooms: dict = field(default_factory=dict)
    due: list = field(default_factory=list)  # of the twin that never left
    wire: list = field(default_factory=list)  # on the way to the one that does
    got: list = field(default_factory=list)
    offset: str | None = None
    is_here: bool = True

    def __post_init__(self):
        sent(self.history, "before it came")
        self.stays = Stays(self.history.top)
        self.join("own")

    def join(self, room):
        if self.is_here:
            self.rooms[room] = None
            self.stays.join(room, self.history.top)

    def leave(self, room):
        if self.is_here:
            self.rooms.pop(room, None)
            self.stays.leave(room, self.history.top, self.history.first)

    def emit(self, rooms, excluded):
        what = f"event {self.history.top + 1}"
        offset = sent(self.history, what, rooms, excluded)
        is_meant = not rooms or any(room in self.rooms for room in rooms)
        if is_meant and not any(room in self.rooms for room in excluded):
            self.due.append(what)
            if self.is_here:
                self.wire.append((what, offset))

    def forget(self):
        seen = self.history.read_offset(self.offset)
        while self.history.first <= min(seen, self.history.top):
            self.history.drop_oldest()

    def volatile(self):
        if self.is_here:
            self.wire.append((None, self.history.offset(is_next=False)))

    def arrive(self, count):
        for what, offset in self.wire[:count]:
            self.offset = offset
            if what is not None:
                self.got.append(what)
        del self.wire[:count]

    def cut(self, arrived):
        self.arrive(arrived)
        self.wire.clear()
        self.is_here = False

    def back(self):
        if self.is_here:
            return
        found = missed(
            self.history,
            self.stays,
            self.offset,
            certain_until=float("-inf"),
            most_bytes=10**9,
        )
        assert not isinstance(found, Outcome)
        self.wire = [(item.what, f"{EPOCH}.{item.what.removeprefix('event ')}") for item in found]
        self.is_here = True


some = st.lists(st.sampled_from((*ROOMS, "own", "elsewhere")), max_size=2, unique=True).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), some, some),
        st.tuples(st.just("emit"), some, st.just(())),
        st.tuples(st.just("join"), st.sampled_from((*ROOMS, "own"))),
        st.tuples(st.just("leave"), st.sampled_from((*ROOMS, "own"))),
        st.tuples(st.just("volatile")),
        st.tuples(st.just("forget")),
        st.tuples(st.just("arrive"), st.integers(0, 3)),
        st.tuples(st.just("cut"), st.integers(0, 3)),
        st.tuples(st.just("back")),
    ),
    max_size=40,
)


@given(STEPS)
def test_a_client_that_comes_back_has_what_one_that_never_left_has(steps):
    """For any emits, joins, leaves, losses on the way, cuts and returns, and whatever it has seen is forgotten meanwhile: the same events, in
    order, each once."""
    twin = Twin()
    for step, *arguments in steps:
        getattr(twin, step)(*arguments)
    twin.back()
    twin.arrive(len(twin.wire))
    assert twin.got == twin.due


# ── rooms ──


def test_rooms_count_at_the_time_of_an_event():
    """What was sent to a room before the socket joined it does not come; what was sent before it left does, though it left."""
    history, stays = History(EPOCH), Stays(0)
    seen = sent(history, "seen")
    sent(history, "before joining", ("a",))
    stays.join("a", history.top)
    sent(history, "in the room", ("a",))
    stays.leave("a", history.top, history.first)
    sent(history, "after leaving", ("a",))
    stays.join("a", history.top)
    sent(history, "again", ("b", "a"))
    sent(history, "not for it", (), ("a",))
    assert told(history, stays, seen) == ["in the room", "again"]
    assert stays.rooms == ("a",)


def test_a_selection_is_judged_by_the_rooms_of_now():
    """As `hub.Selection` means it: any of the rooms, none of those left out, no rooms is everybody."""
    stays = Stays(0)
    stays.join("a", 3)
    assert stays.selects((), ())
    assert stays.selects(("b", "a"), ("c",))
    assert not stays.selects(("b",), ())
    assert not stays.selects((), ("a",))


def visit(history, stays, room):
    """Be in a room for one event; returns its offset."""
    stays.join(room, history.top)
    offset = sent(history, f"in {room}")
    stays.leave(room, history.top, history.first)
    return offset


def test_of_a_socket_that_moves_without_end_the_last_stays_are_known():
    """Its past is bounded: whoever is behind that gets a new session instead of half of what it missed."""
    history, stays = History(EPOCH), Stays(0)
    first = sent(history, "first")
    for number in range(MAX_PAST + 1):
        stays.join(f"room {number}", history.top)
        # Nothing was sent meanwhile: nothing to remember.
        stays.leave(f"room {number}", history.top, history.first)
    second = visit(history, stays, "room 0")
    for number in range(1, MAX_PAST):
        visit(history, stays, f"room {number}")
    assert len(told(history, stays, first)) == MAX_PAST
    visit(history, stays, "one more")
    assert told(history, stays, first) is Outcome.TRIMMED
    assert len(told(history, stays, second)) == MAX_PAST


def test_a_stay_is_forgotten_with_the_events_of_its_time():
    """A socket that moves all its life takes no more memory than one that moved as often as there are events to come back to."""
    history, stays = History(EPOCH), Stays(0)
    last = None
    for number in range(10 * MAX_PAST):
        last = visit(history, stays, f"room {number}")
        if history.top - history.first == 9:
            history.drop_oldest()
    assert len(stays._past) <= 10
    assert stays.known_from == 0
    visit(history, stays, "one more")
    assert told(history, stays, last) == ["in one more"]


# ── offsets ──


@pytest.mark.parametrize("offset", [None, "other123.0", "other123.99999"])
def test_who_has_received_nothing_is_at_its_beginning(offset):
    """No offset, or one that is left from an earlier session with another history: all since it connected was missed."""
    history = History(EPOCH)
    sent(history, "before it connected")
    stays = Stays(history.top)
    sent(history, "one")
    sent(history, "two")
    assert told(history, stays, offset) == ["one", "two"]


@pytest.mark.parametrize(
    "offset",
    [
        "",
        "text",
        7,
        ["epoch123.1"],
        "epoch123",
        "epoch123.",
        "epoch123.-1",
        "epoch123.1.1",
        "epoch123.²",
        "epoch123. 1",
        "epoch123.3",
        "short.1",
        "epoch123." + "1" * 1_000_000,
        b"epoch123.1",
    ],
)
def test_nonsense_is_no_offset(offset):
    """Whatever a client may send: a bad offset, never an error; numbers that do not exist yet, too."""
    history = History(EPOCH)
    sent(history, "one")
    sent(history, "two")
    assert told(history, Stays(0), offset) is Outcome.BAD_OFFSET


def test_a_socket_gets_nothing_from_before_its_time():
    """A client that names an older offset of the same history starts where its socket did."""
    history = History(EPOCH)
    old = sent(history, "old")
    sent(history, "before it connected")
    stays = Stays(history.top)
    sent(history, "new")
    assert told(history, stays, old) == ["new"]


# ── bounds ──


def test_what_is_dropped_cannot_be_sent():
    """At the edge it is complete; one event further it is not recovered, rather than partly."""
    history = History(EPOCH)
    offsets = [sent(history, f"event {number}", at=number) for number in range(5)]
    history.drop_oldest()
    assert history.drop_oldest().what == "event 1"
    assert (history.first, history.top, history.oldest.number) == (3, 5, 3)
    assert told(history, Stays(0), offsets[1]) == ["event 2", "event 3", "event 4"]
    assert told(history, Stays(0), offsets[0]) is Outcome.TRIMMED
    assert told(history, Stays(1), None) is Outcome.TRIMMED
    while history.first <= history.top:
        history.drop_oldest()
    assert told(history, Stays(0), offsets[4]) == []
    assert told(history, Stays(0), offsets[3]) is Outcome.TRIMMED


def test_a_quiet_client_misses_nothing_that_was_dropped_before_it_was_last_heard():
    """Events that are gone were sent to others, long before the connection broke: a client far behind still recovers."""
    history = History(EPOCH)
    last = sent(history, "the last that it got", at=1)
    for number in range(10):
        sent(history, f"for others {number}", ("others",), at=10)
    sent(history, "for it", at=20)
    while history.oldest.at < 20:
        history.drop_oldest()
    assert told(history, Stays(0), last, certain_until=10) == ["for it"]
    assert told(history, Stays(0), last, certain_until=9.9) is Outcome.TRIMMED


def test_too_much_at_once_is_not_sent():
    """At the limit of bytes it is; one more, and the client starts anew. What is not for it does not count."""
    history = History(EPOCH)
    sent(history, "one", size=60)
    sent(history, "for others", ("others",), size=1000)
    sent(history, "two", size=40)
    assert told(history, Stays(0), None, most_bytes=100) == ["one", "two"]
    assert told(history, Stays(0), None, most_bytes=99) is Outcome.TOO_MUCH
