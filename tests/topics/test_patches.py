"""Merge patches: what they say is what changed, or there is none."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.client.following import patched
from clarion.topics.patches import merge_patch

Json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text("ab", max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)


@given(Json, Json)
def test_a_patch_makes_the_new_value_of_the_old_and_is_smaller(before: Any, after: Any) -> None:
    patch = merge_patch(before, after)
    if patch is not None:
        assert msgspec.json.encode(patched(before, patch), order="sorted") == msgspec.json.encode(
            after, order="sorted"
        )
        assert len(msgspec.json.encode(patch)) < len(msgspec.json.encode(after))


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": 1, "b": "long enough"}, {"b": "long enough"}, {"a": None}),
        ({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"x": 1, "y": 3}, "b": 1}, {"a": {"y": 3}}),
        ({"a": [1, 2], "b": 0, "c": 1}, {"a": [1], "b": 0, "c": 1}, {"a": [1]}),
        ({"a": 1, "b": 2}, {"a": True, "b": 2}, {"a": True}),
        # None is worth it or possible here.
        ({"a": 1}, {"a": 2}, None),
        ({"a": 1, "b": 2}, {"a": None, "b": 2}, None),
        ({"a": 1, "b": 22222}, {"a": {"x": None}, "b": 22222}, None),
        (None, {"a": 1}, None),
        ([1, 2, 3], [1, 2], None),
        ({"a": 1}, 5, None),
    ],
)
def test_these_patches(before: Any, after: Any, patch: Any) -> None:
    """Members that went are null; where a member becomes null, or the patch is no smaller, there is none."""
    assert merge_patch(before, after) == patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_applied_as_the_rfc_says(target: Any, patch: Any, result: Any) -> None:
    """RFC 7396, appendix A, all fifteen."""
    assert patched(target, patch) == result
