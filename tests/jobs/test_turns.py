"""Whose turn it is: counted in rows, over any claims."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.jobs.turns import Turns
from clarion.storage.jobs import Waiting

CRITICAL, HIGH, NORMAL, LOW = range(4)


def claims(turns: Turns, due: list[Waiting], limits: list[int]) -> Counter[tuple[str, int]]:
    """Rows that so many claims take, where there is no end of them."""
    found: Counter[tuple[str, int]] = Counter()
    for limit in limits:
        for line, n in turns.share(due, limit):
            turns.took(line, n)
            found[line.tenant, line.priority] += n
        turns.go_on(due)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sets(st.integers(0, 3), min_size=1), min_size=1),
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
)
def test_every_tenant_gets_as_much_as_any_other(
    levels: dict[str, set[int]], limits: list[int]
) -> None:
    """Whatever priorities they say, and however few are taken at a time: no two differ by more than one claim's last row."""
    due = [Waiting(level, tenant, 5) for tenant, some in levels.items() for level in some]
    found = claims(Turns(), due, limits)
    assert found.total() == sum(limits)
    each: Counter[str] = Counter()
    for (tenant, _), n in found.items():
        each[tenant] += n
    counts = [each[tenant] for tenant in levels]
    assert max(counts) - min(counts) <= 1


def test_what_is_urgent_goes_first_and_what_is_not_still_goes() -> None:
    """Each level gets four times what the one below it gets, as long as it has something."""
    due = [Waiting(level, "t", 5) for level in (LOW, NORMAL, HIGH, CRITICAL)]
    found = claims(Turns(), due, [17] * 200)
    assert [round(found["t", level] / 40) for level in range(4)] == [64, 16, 4, 1]


def test_one_urgent_row_is_next_whatever_was_done_before() -> None:
    """After a thousand of a bulk send, one slot at a time, the first that is free is for it; of another tenant likewise."""
    for urgent in (Waiting(NORMAL, "t", 9), Waiting(NORMAL, "u", 9), Waiting(CRITICAL, "v", 9)):
        turns, bulk = Turns(), Waiting(LOW, "t", 1)
        claims(turns, [bulk], [1] * 1_000)
        assert turns.share([bulk, urgent], 1) == [(urgent, 1)]


def test_nobody_saves_up_turns() -> None:
    """Who wanted nothing for a while has no more than its share when it comes back."""
    turns = Turns()
    a, b = Waiting(NORMAL, "a", 1), Waiting(NORMAL, "b", 1)
    claims(turns, [a, b], [10])
    claims(turns, [a], [1_000])
    assert claims(turns, [a, b], [10] * 10) == {("a", NORMAL): 50, ("b", NORMAL): 50}


def test_what_was_not_there_is_not_counted() -> None:
    """A tenant that was given a hundred and had one may have its share again at once."""
    turns = Turns()
    a, b = Waiting(NORMAL, "a", 1), Waiting(NORMAL, "b", 1)
    for _ in range(10):
        for line, n in turns.share([a, b], 200):
            turns.took(line, n if line is a else 1)
        turns.go_on([a, b])
    assert dict(turns.share([a, b], 10))[b] == 10


def test_nothing_is_known_of_those_who_are_gone() -> None:
    """Ten thousand tenants that each did something leave nothing behind once the others have gone on."""
    turns = Turns()
    for n in range(10_000):
        claims(turns, [Waiting(NORMAL, f"t{n}", 1), Waiting(NORMAL, "a", 1)], [2])
    assert len(turns._tenants.ends) < 10
    assert len(turns._levels) < 10
