"""Queries: what may be asked, what is refused by name, and that what means the same is the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import Invalid
from clarion.features.search.query import CLAUSES, digest, parse
from tests.features.search.strategies import FIELDS, queries


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"text": "red  SHOE"}, {"text": "shoe red red"}),
        ({"where": {"state": "open"}}, {"where": {"state": ["open", "open"]}}),
        ({"where": {"state": ["a", "b"]}}, {"where": {"state": ["b", "a"]}}),
        ({"where": {"price": 1, "ok": True}}, {"where": {"ok": True, "price": 1.0}}),
        (
            {"where": {"any": [{"price": 1}, {"ok": True}]}},
            {"where": {"any": [{"ok": True}, {"price": 1}, {"ok": True}]}},
        ),
        ({"where": {"any": [{"price": 1}]}}, {"where": {"price": 1}}),
        (
            {"where": {"at": {"gte": "2026-01-01T00:00:00Z"}}},
            {"where": {"at": {"gte": "2026-01-01T02:00:00+02:00"}}},
        ),
        ({}, {"text": " ", "where": {}, "limit": 20}),
    ],
)
def test_what_means_the_same_has_the_same_digest(one: Any, other: Any) -> None:
    """Identical queries are shared by however many ask them."""
    assert parse(one, FIELDS) == parse(other, FIELDS)
    assert digest(parse(one, FIELDS), "tags") == digest(parse(other, FIELDS), "tags")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"where": {"price": {"gt": 1}}}, {"where": {"price": {"gte": 1}}}),
        ({"where": {"state": "1"}}, {"where": {"price": 1}}),
        ({"where": {"ok": True}}, {"where": {"ok": {"exists": True}}}),
        ({"limit": 1}, {"limit": 2}),
        ({"sort": ["price"]}, {"sort": ["-price"]}),
        ({"text": "red shoe"}, {"text": '"red shoe"'}),
    ],
)
def test_what_means_something_else_has_another(one: Any, other: Any) -> None:
    assert digest(parse(one, FIELDS)) != digest(parse(other, FIELDS))


def test_whoever_may_see_something_else_has_another() -> None:
    """A digest covers what else decides about results: two callers of different rights never share."""
    query = parse({}, FIELDS)
    assert (
        len({digest(query), digest(query, "a"), digest(query, "b"), digest(query, "a", "b")}) == 4
    )


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        (None, ""),
        ([], ""),
        ({"text": 5}, "/text"),
        ({"text": "x" * 1_001}, "/text"),
        ({"text": '"'}, "/text"),
        ({"more": 1}, "/more"),
        ({"limit": 0}, "/limit"),
        ({"limit": 101}, "/limit"),
        ({"sort": ["nothing"]}, "/sort/0"),
        ({"sort": ["title"]}, "/sort/0"),
        ({"sort": ["price", "price", "price", "price"]}, "/sort"),
        ({"where": []}, "/where"),
        ({"where": {"nothing": 1}}, "/where/nothing"),
        ({"where": {"a/b": 1}}, "/where/a~1b"),
        ({"where": {"title": "x"}}, "/where/title"),
        ({"where": {"state": 1}}, "/where/state"),
        ({"where": {"state": "x" * 513}}, "/where/state"),
        ({"where": {"state": []}}, "/where/state"),
        ({"where": {"state": "a\0"}}, "/where/state"),
        ({"where": {"state": {"not": "\ud800"}}}, "/where/state/not"),
        ({"text": '"' + "a " * 65 + '"'}, "/text"),
        ({"where": {"state": {}}}, "/where/state"),
        ({"where": {"state": {"gt": "a"}}}, "/where/state"),
        ({"where": {"ok": 1}}, "/where/ok"),
        ({"where": {"price": "1"}}, "/where/price"),
        ({"where": {"price": True}}, "/where/price"),
        ({"where": {"price": 10**400}}, "/where/price"),
        ({"where": {"price": {"gt": 1, "gte": 1}}}, "/where/price"),
        ({"where": {"price": {"like": 1}}}, "/where/price/like"),
        ({"where": {"price": {"exists": 1}}}, "/where/price/exists"),
        ({"where": {"at": "yesterday"}}, "/where/at"),
        ({"where": {"at": 5}}, "/where/at"),
        ({"where": {"at": {"lt": "2026-01-01T00:00:00"}}}, "/where/at/lt"),
        ({"where": {"any": []}}, "/where/any"),
        ({"where": {"any": [{}]}}, "/where/any/0"),
        ({"where": {"not": {}}}, "/where/not"),
        ({"where": {"not": {"not": {"not": {"not": {"ok": True}}}}}}, "/where/not/not/not/not"),
        ({"where": {"state": [str(i) for i in range(CLAUSES + 1)]}}, "/where/state"),
    ],
)
def test_what_is_no_query_is_refused_and_the_fault_points_at_it(given: Any, pointer: str) -> None:
    """Among it what would cost too much: too many conditions, nested too deep, endless numbers."""
    with pytest.raises(Invalid) as refused:
        parse(given, FIELDS)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_text_is_for_collections_that_have_some() -> None:
    with pytest.raises(Invalid):
        parse({"text": "red"}, {"state": "keyword"})


@given(queries)
def test_a_query_is_read_the_same_whatever_the_order_of_its_members(given: dict[str, Any]) -> None:
    turned = dict(reversed(given.items()))
    if "where" in turned:
        turned["where"] = dict(reversed(turned["where"].items()))
    assert parse(given, FIELDS) == parse(turned, FIELDS)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["text", "where", "any", "not", "state", "price", "gt", "at", "sort", "\ud800"]), inner),
)  # fmt: skip


@given(Json)
def test_whatever_is_given_is_a_query_or_named_as_none(given: Any) -> None:
    try:
        parse(given, FIELDS)
    except Invalid:
        return
