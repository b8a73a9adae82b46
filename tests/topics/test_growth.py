"""Columns that grow: two appends are one, and a client makes of them what the server does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clarion.client import following
from clarion.topics.growth import grown, growth, joined

WHOLE = {"t": [1, 2, 3], "v": [[10, 20, 30], [None, 5, 6]], "at": 3, "odd": True}
lengths = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8
)


def test_columns_lose_at_both_ends_what_goes_and_get_what_comes() -> None:
    """What is no array takes its member's place; null takes the member away; what was given stays as it is."""
    by = growth({"t": [4, 5], "v": [[40, 50], [7, None]], "at": 5, "odd": None}, pop=1, drop=2)
    after = {"t": [4, 5], "v": [[40, 50], [7, None]], "at": 5}
    assert grown(WHOLE, by) == after
    assert WHOLE["t"] == [1, 2, 3]
    assert growth({"t": []}) == {"add": {"t": []}}
    assert grown(None, {"add": {"t": [1], "v": [[2]]}}) == {"t": [1], "v": [[2]]}


@given(lengths)
def test_appends_in_a_row_are_one_append(steps: list[tuple[int, int, int]]) -> None:
    """Any columns, any numbers that come and go: joined they do what they do one after the other, here and in a client."""
    values: Any = WHOLE
    whole: Any = None
    number = 10
    for come, pop, drop in steps:
        pop = min(pop, len(values["t"]))
        drop = min(drop, len(values["t"]) - pop + come)
        new = list(range(number, number + come))
        number += come
        by = growth({"t": new, "v": [new, [-n for n in new]], "at": number}, pop, drop)
        values = grown(values, by)
        whole = by if whole is None else joined(whole, by)
        assert grown(WHOLE, whole) == values
    add, pop, drop = whole["add"], whole.get("pop", 0), whole.get("drop", 0)
    assert following.grown(WHOLE, add, pop, drop) == values
