"""Widgets as values: what each is given, what viewers are told of it, and what is refused."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import Invalid
from clarion.features.dashboard import (
    Bar,
    Column,
    Gauge,
    Line,
    Note,
    Series,
    Stat,
    Status,
    Table,
    Widget,
)
from clarion.features.dashboard.definition import Definition, check
from clarion.features.dashboard.widgets import Bounds, State, apply, fitted, points_of, shown
from clarion.topics.growth import grown

NOW = 1_790_000_000_000
BOUNDS = Bounds(rows=3, points={"raw": 20, "10s": 30, "1m": 40})
CHART = Series(id="c", lines=[Line("a"), Line("b")], window_s=60)
WIDGETS: list[Widget] = [
    Stat(id="s", trend_s=60),
    Gauge(id="g"),
    CHART,
    Bar(id="b"),
    Table(id="t", columns=[Column("name"), Column("n")]),
    Note(id="n"),
    Status(id="h"),
]
numbers = st.integers(-9, 9) | st.floats(-1, 1)
names = st.sampled_from(["x", "y", "a longer name"])
columns = st.integers(0, 4).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 3_000), min_size=n, max_size=n),
        st.lists(st.lists(st.none() | numbers, min_size=n, max_size=n), min_size=2, max_size=2),
    )
)
rows = st.dictionaries(
    st.sampled_from("pqr"),
    st.fixed_dictionaries({}, optional={"name": st.none() | st.text("ab"), "n": numbers}),
)
states = st.dictionaries(names, st.sampled_from(["ok", "warn", "error", "unknown"]))


def take(widget: Widget, state: State | None, event: str, data: Any, **more: Any) -> Any:
    more = {"now_ms": NOW, "bounds": BOUNDS, **more}
    return apply(widget, state, event, data, **more)


@given(st.data(), st.sampled_from(WIDGETS))
def test_what_viewers_are_told_makes_of_what_they_had_what_they_would_get_afresh(
    data: st.DataObject, widget: Widget
) -> None:
    """For every type of widget and every row of publications: differences applied to an old state equal the state fetched afresh."""
    state: State | None = None
    seen: Any = None
    now = NOW
    for _ in range(data.draw(st.integers(1, 12))):
        event = data.draw(st.sampled_from(["set", "append", "increment", "pulled", "stale"]))
        now += data.draw(st.integers(0, 30_000))
        match widget, event:
            case _, "stale":
                since = data.draw(st.none() | st.just(now))
                given_data: Any = {"since": since, "code": data.draw(st.sampled_from("ab"))}
            case Series(), "pulled" if (
                state is not None and "t" in state and data.draw(st.booleans())
            ):
                # As a source of a window gives it: some go, the newest are others.
                drop = data.draw(st.integers(0, len(state["t"])))
                rest = {name: state[name] for name in ("t", "v")}
                given_data = {"t": rest["t"][drop:], "v": [column[drop:] for column in rest["v"]]}
                if given_data["t"]:
                    given_data["v"][0][-1] = data.draw(numbers)
            case Series(), "set" | "append" | "pulled":
                ahead, v = data.draw(columns)
                times = [now + sum(ahead[: i + 1]) for i in range(len(ahead))]
                given_data = {"t": times, "v": v}
                now = times[-1] if times else now
            case Stat() | Gauge(), _:
                given_data = data.draw(numbers)
            case Bar(), _:
                given_data = data.draw(st.dictionaries(names, numbers))
            case Table(), _:
                given_data = data.draw(rows)
            case Note(), _:
                given_data = data.draw(st.text("ab"))
            case _:
                given_data = data.draw(states)
        try:
            step = take(
                widget,
                state,
                event,
                given_data,
                now_ms=now,
                id=data.draw(st.sampled_from(["", "i", "j"])),
            )
        except Invalid:
            continue
        if step.is_duplicate:
            assert step.state is state
            continue
        state = step.state
        seen = shown(state) if step.difference is None else grown(seen, step.difference)
        assert seen == shown(state)


def test_a_number_has_a_trend_and_can_be_counted_up() -> None:
    """A stat keeps what it was, in some sixty steps; the same id adds once."""
    widget = Stat(id="s", trend_s=60)
    state = take(widget, None, "set", 5).state
    for second in range(1, 100):
        state = take(
            widget, state, "increment", 2, now_ms=NOW + second * 1_000, id=f"i{second}"
        ).state
    assert state["value"] == 203
    assert state["v"][0][-1] == 203
    assert len(state["t"]) == 61
    again = take(widget, state, "increment", 2, now_ms=NOW + 100_000, id="i99")
    assert again.is_duplicate
    late = take(widget, state, "increment", None, now_ms=NOW + 400_000, id="i99")
    assert (late.state["value"], late.is_duplicate) == (204, False)
    assert len(late.state["_"]["ids"]) == 1
    assert take(widget, state, "set", 1, now_ms=NOW).state["at"] == NOW + 99_000


def test_a_chart_shows_its_window_and_keeps_more() -> None:
    """What is shown are steps of the window; raw points and those of 10 s and 1 min are kept, each no more than its bound."""
    state = None
    for second in range(600):
        at = NOW + second * 1_000
        state = take(CHART, state, "append", {"t": [at], "v": [[second], [None]]}, now_ms=at).state
    assert state is not None
    assert (state["step_ms"], state["t"][-1]) == (200, NOW + 599_000)
    assert state["t"][0] == NOW + 539_000
    assert set(state["v"][1]) == {None}
    assert [len(points_of(state, name)[0]) for name in ("raw", "10s", "1m")] == [20, 30, 11]
    assert points_of(state, "10s")[1][0][-1] == pytest.approx(594.5)
    same = {"t": [NOW + 598_000, NOW + 599_000], "v": [[598, 599], [None, None]]}
    late = NOW + 600_000
    assert take(CHART, state, "append", same, now_ms=late).is_duplicate
    for wrong in ({"t": [NOW + 599_000], "v": [[0], [0]]}, {"t": [NOW], "v": [[0], [0]]}):
        with pytest.raises(Invalid, match="out of order"):
            take(CHART, state, "append", wrong, now_ms=late)


def test_points_of_now_need_no_time() -> None:
    """Several of one moment are one behind the other; the same id again adds none, and another does."""
    state = None
    for n in range(3):
        state = take(CHART, state, "append", {"v": [[n], [n]]}, id=f"i{n}").state
    assert state is not None
    assert points_of(state, "raw") == ([NOW, NOW + 1, NOW + 2], [[0, 1, 2], [0, 1, 2]])
    assert take(CHART, state, "append", {"v": [[2], [2]]}, id="i2").is_duplicate
    assert not take(CHART, state, "append", {"v": [[2], [2]]}, id="i3").is_duplicate


def test_another_window_shows_what_was_kept() -> None:
    """The newest points as they were given, before them those of 10 s, before them those of a minute; nothing shown twice."""
    state = None
    for second in range(1_200):
        at = NOW + second * 1_000
        state = take(CHART, state, "append", {"t": [at], "v": [[second], [1]]}, now_ms=at).state
    assert state is not None
    wide = Series(id="c", lines=[Line("a"), Line("other")], window_s=1_200)
    found = fitted(wide, CHART, state)
    assert found is not None
    assert found["step_ms"] == 5_000
    assert found["t"] == sorted({*found["t"]})
    assert found["t"][0] < NOW + 120_000
    assert found["v"][0] == sorted(found["v"][0])
    assert fitted(CHART, wide, found) is not None
    after = take(
        wide, found, "append", {"t": [NOW + 1_200_000], "v": [[1_200], [1]]}, now_ms=NOW + 1_200_000
    )
    assert grown(shown(found), after.difference) == shown(after.state)


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        (CHART, Series(id="c", lines=[Line("a")], window_s=60), False),
        (CHART, Gauge(id="c"), False),
        (CHART, CHART, True),
        (Gauge(id="g"), Gauge(id="g", max=5), True),
        (Table(id="t", columns=[Column("a")]), Table(id="t", columns=[Column("b")]), False),
    ],
)
def test_a_widget_keeps_what_it_has_if_that_still_fits(
    before: Widget, after: Widget, stays: bool
) -> None:
    given_data = {"set": 1} if isinstance(before, Gauge) else None
    data: Any = 1 if given_data else {"v": [[1], [2]]} if before is CHART else {}
    state = take(before, None, "set", data).state
    assert (fitted(after, before, state) is not None) is stays


def test_a_stat_with_another_trend_keeps_its_points() -> None:
    state = take(Stat(id="s", trend_s=60), None, "set", 3).state
    found = fitted(Stat(id="s", trend_s=600), Stat(id="s", trend_s=60), state)
    assert found is not None
    assert found["v"] == [[3]]


def test_states_say_since_when() -> None:
    """A state that is set again as it was keeps its time; an unchanged text is not sent again."""
    widget = Status(id="h")
    state = take(widget, None, "set", {"db": "ok", "web": {"state": "warn", "text": "slow"}}).state
    step = take(widget, state, "set", {"db": "ok", "web": "error"}, now_ms=NOW + 5)
    assert step.state["items"]["db"]["since"] == NOW
    assert step.state["items"]["web"] == {"state": "error", "text": "", "since": NOW + 5}
    assert step.difference["add"]["items"].keys() == {"web"}


BAD: list[tuple[Widget, str, Any, str]] = [
    (WIDGETS[0], "set", "5", "/data"),
    (WIDGETS[0], "set", True, "/data"),
    (WIDGETS[0], "set", None, "/data"),
    (WIDGETS[0], "set", math.nan, "/data"),
    (WIDGETS[0], "set", math.inf, "/data"),
    (WIDGETS[0], "set", 10**400, "/data"),
    (WIDGETS[0], "set", 1.7e308, "/data"),
    (WIDGETS[0], "append", 5, "/event"),
    (WIDGETS[6], "increment", 5, "/event"),
    (CHART, "increment", 5, "/event"),
    (CHART, "append", 5, "/data"),
    (CHART, "append", {"t": [NOW], "v": [[1]]}, "/data/v"),
    (CHART, "append", {"t": [NOW], "v": [[1], [2, 3]]}, "/data/v/1"),
    (CHART, "append", {"t": [NOW], "v": [[1], ["2"]]}, "/data/v/1/0"),
    (CHART, "append", {"t": [NOW], "v": [[1], [math.nan]]}, "/data/v/1/0"),
    (CHART, "append", {"t": [NOW, NOW], "v": [[1, 2], [2, 3]]}, "/data/t/1"),
    (CHART, "append", {"t": [NOW, NOW - 1], "v": [[1, 2], [2, 3]]}, "/data/t/1"),
    (CHART, "append", {"t": [NOW // 1000], "v": [[1], [2]]}, "/data/t/0"),
    (CHART, "append", {"t": [NOW * 1000], "v": [[1], [2]]}, "/data/t/0"),
    (CHART, "append", {"t": [NOW + 61_000], "v": [[1], [2]]}, "/data/t/0"),
    (CHART, "append", {"t": [NOW + 0.5], "v": [[1], [2]]}, "/data/t/0"),
    (CHART, "append", {"t": NOW, "v": [[1], [2]]}, "/data/t"),
    (CHART, "append", {"t": [*range(NOW - 2_000, NOW)], "v": [[], []]}, "/data/t"),
    (CHART, "append", {"t": [NOW], "v": [[1], [2]], "w": 1}, "/data/w"),
    (CHART, "append", {"t": [], "v": [[1], [2]]}, "/data/v/0"),
    (WIDGETS[3], "set", [1], "/data"),
    (WIDGETS[3], "set", {"": 1}, "/data"),
    (WIDGETS[3], "set", {str(n): n for n in range(101)}, "/data"),
    (WIDGETS[3], "set", {"a/b": "x"}, "/data/a~1b"),
    (WIDGETS[4], "set", {"r": 5}, "/data/r"),
    (WIDGETS[4], "set", {"r": {"other": 5}}, "/data/r/other"),
    (WIDGETS[4], "set", {"r": {"n": []}}, "/data/r/n"),
    (WIDGETS[4], "set", {"r": {"n": "x" * 1_001}}, "/data/r/n"),
    (WIDGETS[4], "set", {str(n): {} for n in range(4)}, "/data"),
    (WIDGETS[5], "set", "x" * 10_001, "/data"),
    (WIDGETS[5], "set", 5, "/data"),
    (WIDGETS[6], "set", {"db": "fine"}, "/data/db"),
    (WIDGETS[6], "set", {"db": {"state": "ok", "html": ""}}, "/data/db/html"),
    (WIDGETS[6], "set", {"db": 1}, "/data/db"),
]


@pytest.mark.parametrize(("widget", "event", "data", "pointer"), BAD)
def test_what_cannot_be_is_refused_with_its_place(
    widget: Widget, event: str, data: Any, pointer: str
) -> None:
    """No numbers, times of another unit or order, other columns, too many of anything: `invalid`, and where."""
    with pytest.raises(Invalid) as caught:
        take(widget, None, event, data)
    assert caught.value.faults[0].pointer == pointer


anything = st.recursive(
    st.none() | st.booleans() | numbers | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["t", "v", "x", "state"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.sampled_from(WIDGETS), st.lists(st.tuples(st.sampled_from(["set", "append", "increment", "pulled", "vote"]), anything), max_size=4))  # fmt: skip
def test_whatever_is_given_is_refused_or_can_be_shown(
    widget: Widget, given: list[tuple[str, Any]]
) -> None:
    """Any JSON, for any widget, by any event: a state that has a JSON of its own, or `invalid`, and then it stays as it was."""
    state: State | None = None
    refused: list[str] = []
    for event, data in given:
        before = None if state is None else msgspec.json.encode(state)
        try:
            step = take(widget, state, event, data)
        except Invalid as exc:
            refused.append(exc.faults[0].pointer)
            assert before == (None if state is None else msgspec.json.encode(state))
        else:
            state = step.state
            assert b"null" not in msgspec.json.encode({**state, "v": 0, "rows": 0, "_": 0})
    assert all(pointer.startswith(("/data", "/event")) for pointer in refused)


def test_sums_stay_numbers_and_bars_few() -> None:
    state = take(Bar(id="b"), None, "set", {str(n): 2**53 for n in range(100)}).state
    for data, pointer in (({"0": 2**53}, "/data/0"), ({"new": 1}, "/data")):
        with pytest.raises(Invalid) as caught:
            take(Bar(id="b"), state, "increment", data)
        assert caught.value.faults[0].pointer == pointer


def test_a_definition_is_checked_as_a_whole() -> None:
    """Two of one id, the key of the definition itself, a place beyond the grid, a gauge without room, a sort by nothing; too many."""
    wrong = Definition(
        "x",
        [
            Gauge(id="a", min=1, max=1),
            Note(id="a"),
            Note(id="definition"),
            Table(id="t", columns=[Column("n"), Column("n")], sort="-m"),
        ],
    )
    with pytest.raises(Invalid) as caught:
        check(wrong, 10)
    assert [fault.pointer for fault in caught.value.faults] == [
        "/widgets/0/max", "/widgets/1/id", "/widgets/2/id", "/widgets/3/columns", "/widgets/3/sort",
    ]  # fmt: skip
    with pytest.raises(Invalid, match="dashboard"):
        check(wrong, 3)
