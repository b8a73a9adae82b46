"""Filters: what they take, what is no filter, and what one may cost."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import Invalid
from clarion.topics.filters import CLAUSES, compile_filter


@pytest.mark.parametrize(
    ("filter", "taken", "not_taken"),
    [
        ({"team": "red"}, [{"team": "red"}], [{}, {"team": "blue"}, {"other": "red"}]),
        ({"team": ["red", "blue"]}, [{"team": "red"}, {"team": "blue"}], [{}, {"team": "green"}]),
        ({"level": {"not": "debug"}}, [{}, {"level": "info"}], [{"level": "debug"}]),
        ({"level": {"not": ["debug", "info"]}}, [{}, {"level": "error"}], [{"level": "info"}]),
        ({"name": {"starts": "ab"}}, [{"name": "ab"}, {"name": "abc"}], [{}, {"name": "a"}]),
        ({"name": {"starts": ""}}, [{"name": ""}], [{}]),
        (
            {"team": "red", "level": "error"},
            [{"team": "red", "level": "error"}],
            [{"team": "red"}, {"level": "error"}],
        ),
        (
            {"any": [{"team": "red"}, {"level": "error"}]},
            [{"team": "red"}, {"level": "error"}],
            [{}, {"team": "blue"}],
        ),
        (
            {"team": "red", "any": [{"a": "1"}, {"any": [{"b": "1"}]}]},
            [{"team": "red", "b": "1"}],
            [{"team": "red"}, {"a": "1"}],
        ),
    ],
)
def test_a_filter_takes_what_it_says(
    filter: Any, taken: list[Mapping[str, str]], not_taken: list[Mapping[str, str]]
) -> None:
    matches = compile_filter(filter)
    assert [tags for tags in taken if not matches(tags)] == []
    assert [tags for tags in not_taken if matches(tags)] == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        (None, "/filter"),
        ({}, "/filter"),
        ("team", "/filter"),
        ({"team": 1}, "/filter/team"),
        ({"team": []}, "/filter/team"),
        ({"team": ["red", 1]}, "/filter/team"),
        ({"team": {}}, "/filter/team"),
        ({"team": {"not": None}}, "/filter/team/not"),
        ({"team": {"like": "a*"}}, "/filter/team"),
        ({"team": {"starts": 1}}, "/filter/team"),
        ({"team": {"starts": "a", "not": "b"}}, "/filter/team"),
        ({"any": {}}, "/filter/any"),
        ({"any": []}, "/filter/any"),
        ({"any": [{"team": "red"}, {}]}, "/filter/any/1"),
        ({"any": [{"any": [{"any": [{"any": [{"a": "1"}]}]}]}]}, "/filter/any/0/any/0/any/0/any/0"),
        ({"team": ["x"] * (CLAUSES + 1)}, "/filter/team"),
        ({"t" * 256: "x"}, "/filter"),
        ({"team": ["x", "x" * 129]}, "/filter/team"),
        ({"team": {"not": "x" * 129}}, "/filter/team/not"),
        ({"team": {"starts": "x" * 129}}, "/filter/team"),
        ({str(i): "x" for i in range(CLAUSES + 1)}, f"/filter/{CLAUSES}"),
        ({str(i): {"starts": "x"} for i in range(CLAUSES + 1)}, f"/filter/{CLAUSES}"),
    ],
)
def test_what_is_no_filter_is_refused_and_the_fault_points_at_it(given: Any, pointer: str) -> None:
    """Among it what would cost too much: too many conditions, nested too deep, texts that no tag has: each subscription would keep a megabyte."""
    with pytest.raises(Invalid) as refused:
        compile_filter(given)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["any", "not", "starts", "a"]), inner, max_size=3),
)  # fmt: skip


@given(Json, st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3))
def test_whatever_is_given_is_a_filter_or_named_as_none(filter: Any, tags: dict[str, str]) -> None:
    try:
        matches = compile_filter(filter)
    except Invalid:
        return
    assert matches(tags) in {True, False}
