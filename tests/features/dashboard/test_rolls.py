"""Rolls: whatever comes in whatever pieces, what is kept is the same; and fewer points look like all of them."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.features.dashboard.downsampling import fewer, lttb
from clarion.features.dashboard.rolls import Number, Roll, Rule, empty, extended, step_of
from clarion.topics.growth import grown, growth

NONE: Number = None
steps = st.lists(st.tuples(st.integers(1, 900), st.none() | st.integers(-50, 50)), max_size=60)
rules = st.builds(
    Rule,
    st.sampled_from([0, 100, 1_000]),
    st.sampled_from([500, 5_000, 10**9]),
    st.integers(1, 40),
    st.sampled_from(["avg", "min", "max", "sum", "last"]),
)


def naive(t: list[int], v: list[Number], rule: Rule) -> tuple[list[int], list[Number]]:
    """What a roll is, in as few words as possible."""
    buckets: dict[int, list[Number]] = {}
    for at, value in zip(t, v, strict=True):
        buckets.setdefault(at - at % rule.step_ms if rule.step_ms else at, []).append(value)
    kept = [at for at in buckets if at >= max(buckets) - rule.window_ms][-rule.most :]
    how = {
        "avg": lambda n: sum(n) / len(n),
        "min": min,
        "max": max,
        "sum": sum,
        "last": lambda n: n[-1],
    }
    values = []
    for at in kept:
        numbers = [number for number in buckets[at] if number is not None]
        values.append(how[rule.how](numbers) if numbers else None)
    return kept, values


@given(steps, rules, st.lists(st.integers(1, 9), min_size=1))
def test_a_roll_is_what_its_points_make_of_it_in_whatever_pieces_they_come(
    given_steps: list[tuple[int, int | None]], rule: Rule, sizes: list[int]
) -> None:
    """Points in steps, no more than are kept; and who applies what each piece has changed at the ends has the roll."""
    t, at = [], 1_700_000_000_000
    for ahead, _ in given_steps:
        at += ahead
        t.append(at)
    v: list[Number] = [value for _, value in given_steps]
    roll, told, begin, turn = empty(1), {"t": [], "v": [[]]}, 0, 0
    while begin < len(t):
        end = begin + sizes[turn % len(sizes)]
        roll, ends = extended(roll, t[begin:end], [v[begin:end]], rule)
        told = grown(told, growth({"t": ends.t, "v": ends.v}, ends.pop, ends.drop))
        begin, turn = end, turn + 1
    times, values = naive(t, v, rule) if t else ([], [])
    assert roll.t == told["t"] == times
    assert roll.v == told["v"]
    assert [
        mine is theirs or abs((mine or 0) - (theirs or 0)) < 1e-9
        for mine, theirs in zip(roll.v[0], values, strict=True)
    ] == [True] * len(times)


def test_no_points_change_nothing() -> None:
    roll = Roll([1], [[2.0]], [1])
    assert extended(roll, [], [[]], Rule(0, 10, 10))[0] is roll


def test_a_window_has_some_300_steps_that_people_can_read() -> None:
    assert [step_of(s * 1000, 300) for s in (10, 30, 60, 300, 900, 3_600, 86_400)] == [
        100, 100, 200, 1_000, 5_000, 15_000, 300_000,
    ]  # fmt: skip
    assert [step_of(86_400_000, most) for most in (10, 100, 1_000)] == [
        10_800_000,
        1_800_000,
        120_000,
    ]


@given(st.lists(st.none() | st.floats(-9, 9), min_size=1, max_size=200), st.integers(3, 50))
def test_fewer_points_are_some_of_them_in_order_with_both_ends(v: list[Number], most: int) -> None:
    places = lttb(range(len(v)), v, most)
    assert places == sorted({*places})
    assert len(places) <= max(most, 0) if len(v) > most else places == [*range(len(v))]
    assert (places[0], places[-1]) == (0, len(v) - 1)


def test_a_peak_stays_where_averages_would_lose_it() -> None:
    """One point among a thousand that sticks out is among the hundred that are left; of all lines the same times."""
    flat: list[Number] = [0.0] * 1_000
    peak, dip = [*flat], [*flat]
    peak[617], dip[300] = 5.0, NONE
    t, v = fewer(range(1_000), [peak, dip], 100)
    assert len(t) <= 100
    assert v[0][t.index(617)] == 5.0
    assert [len(column) for column in v] == [len(t)] * 2
    t, _ = fewer(range(1_000), [[n * k % 97 for n in range(1_000)] for k in range(1, 17)], 10)
    assert (t[0], t[-1], len(t)) == (0, 999, 10)
    assert len(fewer(range(1_000), [[*range(1_000)]] * 16, 20)[0]) <= 20
