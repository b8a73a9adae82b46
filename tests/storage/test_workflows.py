"""The statements of workflows: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import (
    batches,
    captures,
    events,
    inbox,
    inbox_retention,
    jobs,
    outgoing,
    run_retention,
    runs,
    subscribers,
    triggers,
)
from tests.support.law import assert_law

_tenants, _ids, _texts = (
    st.sampled_from(["t", "u"]),
    st.sampled_from("abc"),
    st.sampled_from(["", "x"]),
)
_times, _tokens = st.integers(0, 9), st.sampled_from([0, -1])

RUNS = [
    (
        runs.ADD_RUNS,
        [
            runs.NewRun(t, i, f"of {i}", "ann", "w", 1, "{}", "running", "", 5, 1)
            for t in "tu"
            for i in "abc"
        ],
    )
]
OUTGOING = [
    (
        outgoing.ADD,
        [
            outgoing.NewOutgoing(
                t, i, "m", "r", "g", "w", "", "s", "ann", "email", "a@b", "{}", 5, 1
            )
            for t in "tu"
            for i in "abc"
        ],
    )
]


def calls(row: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(row, max_size=3), max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(_tenants, st.sampled_from(["", "k", "l"]), st.sampled_from("12")), max_size=6
    )
)
def test_accepting_triggers(given: list[tuple[str, str, str]]) -> None:
    """Of calls with one key the first is accepted, and the others are told what it was."""
    rows = [
        [
            triggers.NewTrigger(
                tenant,
                "app",
                f"g{n}",
                "w",
                1,
                "",
                "{}",
                "{}",
                "",
                n,
                n,
                3,
                key,
                digest,
                f"answer {n}",
            )
        ]
        for n, (tenant, key, digest) in enumerate(given)
    ]
    assert_law(triggers.ACCEPT_TRIGGER, rows)


ACCEPTED = [
    (
        triggers.ACCEPT_TRIGGER,
        [
            triggers.NewTrigger(t, "app", i, "w", 1, "", "{}", "{}", "", 1, 9, 3)
            for t in "tu"
            for i in "ab"
        ],
    )
]


def test_accepting_triggers_without_a_key() -> None:
    """What was there before is refused with those that came beside it, the others are taken."""
    rows = [
        [triggers.NewTrigger("t", "app", i, "w", 1, "", "{}", "{}", "", 1, 9, 3)] for i in "cadc"
    ]
    assert_law(triggers.PUT_TRIGGER, rows, given=ACCEPTED)


@settings(max_examples=40, deadline=None)
@given(calls(st.builds(triggers.Planned, _tenants, _ids, st.just(2))))
def test_planning_triggers_whole(rows: list[list[object]]) -> None:
    """Each answers by itself, those that nobody has triggered too."""
    assert_law(triggers.PLAN_WHOLE, rows, given=ACCEPTED)


@settings(max_examples=40, deadline=None)
@given(
    calls(
        st.builds(
            runs.NewRun,
            _tenants,
            _ids,
            _ids,
            _ids,
            st.just("w"),
            st.just(1),
            st.just("{}"),
            st.just("running"),
            _texts,
            st.none() | _times,
            _times,
        )
    )
)
def test_adding_runs(rows: list[list[object]]) -> None:
    """One run for a recipient of a trigger, the first."""
    assert_law(runs.ADD_RUNS, rows)


@settings(max_examples=40, deadline=None)
@given(
    calls(
        st.builds(
            runs.RunSettlement,
            _tenants,
            _ids,
            _tokens,
            st.just("{}"),
            st.sampled_from(["running", "done"]),
            _texts,
            st.none() | _times,
            _times,
            st.none() | _texts,
        )
    )
)
def test_settling_runs(rows: list[list[object]]) -> None:
    """Of several settlements under one token the first counts."""
    assert_law(runs.SETTLE, rows, given=RUNS)


@settings(max_examples=40, deadline=None)
@given(
    calls(st.builds(runs.NewRecord, _tenants, _ids, _ids, st.just("sent"), _texts, _texts, _times))
)
def test_recording(rows: list[list[object]]) -> None:
    """Records of a run are numbered in the order in which they were written."""
    assert_law(runs.ADD_RECORDS, rows)


@settings(max_examples=40, deadline=None)
@given(
    calls(
        st.builds(
            outgoing.Handed,
            _tenants,
            _ids,
            _tokens,
            st.sampled_from(["sent", "queued", "failed"]),
            _times,
            _texts,
            st.none() | _times,
            _texts,
            _texts,
            _texts,
            _texts,
            _times,
            _times,
            _times,
            _times,
            st.none() | _times,
            st.none() | _times,
        )
    )
)
def test_handing_over(rows: list[list[object]]) -> None:
    """The first of one token settles the message; the first of one number is the attempt."""
    assert_law(outgoing.HANDED, rows, given=OUTGOING)


@settings(max_examples=20, deadline=None)
@given(
    calls(
        st.builds(
            outgoing.NewAttempt,
            _tenants,
            _ids,
            _times,
            _times,
            _texts,
            _texts,
            _texts,
            _times,
            _times,
        )
    )
)
def test_attempts_at_several_providers(rows: list[list[object]]) -> None:
    """Each provider that was asked within an attempt is a row; written twice, it is there once."""
    assert_law(outgoing.ADD_ATTEMPTS, rows)


@settings(max_examples=20, deadline=None)
@given(calls(st.builds(captures.CaptureRow, _tenants, _ids, *[_texts] * 7, _times)))
def test_keeping_instead_of_sending(rows: list[list[object]]) -> None:
    """One with an id that exists changes nothing."""
    assert_law(captures.ADD, rows)


@settings(max_examples=20, deadline=None)
@given(calls(st.builds(outgoing.CalledOff, _tenants, st.sampled_from(["m", "x"]), _times)))
def test_calling_off(rows: list[list[object]]) -> None:
    """What no provider has is cancelled, once; the first time counts."""
    assert_law(outgoing.CALL_OFF, rows, given=OUTGOING)


@settings(max_examples=20, deadline=None)
@given(
    calls(st.builds(jobs.Settlement, _tenants, _ids, _tokens, _times, _times, st.none() | _texts))
)
def test_putting_back(rows: list[list[object]]) -> None:
    """A message that nobody was asked to take is due later; only its holder puts it back."""
    assert_law(outgoing.PUT_BACK, rows, given=OUTGOING)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.tuples(_tenants, _ids, st.integers(0, 2**32 - 1)), max_size=3), max_size=4)
)
def test_delivering(given: list[list[tuple[str, str, int]]]) -> None:
    """Offsets without a gap in every inbox, and marks that go on, joined or not."""
    rows = [
        [
            outgoing.Delivery(tenant, usr, f"m{call}.{n}", "c", mark, call)
            for n, (tenant, usr, mark) in enumerate(some)
        ]
        for call, some in enumerate(given)
    ]
    content = [
        outgoing.NewContent(t, "c", "s", "hello", "", "", "", 1, 1, "g", "w", "") for t in "tu"
    ]
    assert_law(outgoing.DELIVER, rows, given=[(outgoing.ADD_CONTENT, content)])


@settings(max_examples=40, deadline=None)
@given(
    calls(
        st.builds(
            subscribers.Described,
            _tenants,
            _ids,
            _texts,
            _texts,
            _texts,
            _texts,
            _texts,
            _texts,
            st.just(1),
        )
    )
)
def test_describing(rows: list[list[object]]) -> None:
    """What is said last counts, and what nobody says stays."""
    assert_law(subscribers.DESCRIBE, rows)


def _batch(n: int, key: str, state: str = "open", size: int = 0) -> batches.Batch:
    return batches.Batch("t", f"b{n}", "w", "s", "ann", key, state, "", size, 5, 95, 90)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("kl"), max_size=6))
def test_opening(keys: list[str]) -> None:
    """Of those that come in one moment the first opens a batch, and all are told of it."""
    assert_law(batches.OPEN, [[_batch(n, key)] for n, key in enumerate(keys)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=6))
def test_keeping(rows: list[tuple[int, int]]) -> None:
    """What is said of a batch last counts; one that is full makes room for the next."""
    given_rows = [[_batch(n, "k", "closed" if n else "open", size)] for n, size in rows]
    assert_law(batches.KEEP, given_rows, given=[(batches.OPEN, [_batch(0, "k")])])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=6, unique=True))
def test_adding_items(places: list[int]) -> None:
    """Each has a place of its own."""
    assert_law(batches.ADD_ITEMS, [[batches.NewItem("t", "b", n, f"r{n}", 5)] for n in places])


@settings(max_examples=40, deadline=None)
@given(calls(st.builds(batches.Hit, _tenants, _ids, st.just(9), st.just(5))))
def test_counting(rows: list[list[object]]) -> None:
    """Each that comes to a throttle in one moment has a number of its own."""
    assert_law(batches.HIT, rows)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(run_retention.Old, _tenants, _ids)))
def test_forgetting(rows: list[list[object]]) -> None:
    """Runs and messages go with all that hangs on them; twice is once."""
    assert_law(run_retention.FORGET_RUNS, rows, given=RUNS)
    assert_law(run_retention.FORGET_OUTGOING, rows, given=OUTGOING)


AWAITED = [
    (
        runs.ADD_RUNS,
        [
            runs.NewRun("t", i, f"of {i}", "ann", "w", 1, "{}", "running", f"event:a:{i}", 50, 1)
            for i in "abc"
        ],
    )
]


@settings(max_examples=40, deadline=None)
@given(
    calls(
        st.tuples(
            _tenants, st.sampled_from("123456"), _ids, st.sampled_from("ab"), st.integers(0, 120_000), _times
        )
    )
)  # fmt: skip
def test_tracking_events(given: list[list[tuple[str, str, str, str, int, int]]]) -> None:
    """Each id is counted once, whoever says it first; whoever waits is woken."""
    rows = [
        [
            events.NewEvent(t, id, usr, name, "{}", at, at + 1, n + 1, f"event:{name}:{usr}")
            for t, id, usr, name, at, _ in {(row[0], row[1]): row for row in call}.values()
        ]
        for n, call in enumerate(given)
    ]
    assert_law(events.TRACK, rows, given=AWAITED)


@settings(max_examples=20, deadline=None)
@given(calls(st.builds(events.WaitKey, _tenants, _ids.map(lambda i: f"event:a:{i}"), _times)))
def test_waking_for_events(given: list[list[object]]) -> None:
    assert_law(events.WAKE, given, given=AWAITED)


@settings(max_examples=20, deadline=None)
@given(
    calls(
        st.builds(
            events.Of, _tenants, st.sampled_from(["ann", "ben", ""]), st.just("a"), _times, _times, st.integers(1, 3)
        )
    )
)  # fmt: skip
def test_asking_for_events(given: list[list[object]]) -> None:
    rows = [
        events.NewEvent(t, str(n), "ann", "a", "{}", n, n, 0, "") for t in "tu" for n in range(5)
    ]
    assert_law(events.FIND, given, given=[(events.TRACK, rows)])
    assert_law(events.COUNT, given, given=[(events.TRACK, rows)])


@settings(max_examples=20, deadline=None)
@given(calls(st.builds(inbox.Whose, _tenants, st.sampled_from(["ann", "ben"]), st.integers(1, 3))))
def test_asking_for_unread_messages(given: list[list[object]]) -> None:
    said = [outgoing.NewContent("t", "n", "app", "Hi", "", "", "", 1, 1, "", "", "")]
    delivered = [outgoing.Delivery("t", "ann", str(n), "n", n, n) for n in range(5)]
    stored = [(outgoing.ADD_CONTENT, said), (outgoing.DELIVER, delivered)]
    assert_law(inbox.UNREAD, given, given=stored)


@settings(max_examples=20, deadline=None)
@given(calls(st.builds(events.Named, _tenants, st.sampled_from("0123456"))))
def test_forgetting_events(given: list[list[object]]) -> None:
    rows = [
        events.NewEvent(t, str(n), "ann", "a", "{}", n, n, 0, "") for t in "tu" for n in range(5)
    ]
    assert_law(events.FORGET_EVENTS, given, given=[(events.TRACK, rows)])


@settings(max_examples=8, deadline=None)
@given(
    calls(st.builds(inbox_retention.Old, _tenants, st.sampled_from(["ann", "ben"]), st.sampled_from("01234"), st.just("n"))),
    calls(
        st.builds(
            inbox_retention.Removal, _tenants, st.sampled_from(["ann", "ben"]), st.integers(1, 12), _times, _times,
            st.just("{}"), _times, _times, _times,
        )
    ),
)  # fmt: skip
def test_forgetting_messages(old: list[list[object]], told: list[list[object]]) -> None:
    """Whoever goes last takes with them what nobody else was told."""
    said = [outgoing.NewContent("t", "n", "app", "Hi", "", "", "", 1, 1, "", "", "")]
    delivered = [outgoing.Delivery("t", who, str(n), "n", n, 1) for n in range(2) for who in ("ann", "ben")]  # fmt: skip
    stored = [(outgoing.ADD_CONTENT, said), (outgoing.DELIVER, delivered)]
    assert_law(inbox_retention.FORGET, old, given=stored)
    assert_law(inbox_retention.STATES, old, given=stored)
    assert_law(inbox_retention.TELL, told, given=stored)
    owners = [[inbox_retention.Owner(each.tenant, each.usr) for each in call] for call in old]  # type: ignore[attr-defined]
    assert_law(inbox_retention.HOLD_HEADS, owners, given=stored)
