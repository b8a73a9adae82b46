"""Documents and queries of a small world, so that they often meet."""

from typing import Any

from hypothesis import strategies as st

FIELDS: dict[str, Any] = {
    "title": "text", "body": "text", "state": "keyword", "price": "number", "at": "time", "ok": "bool",
}  # fmt: skip

word = st.sampled_from(["red", "read", "blue", "shoe", "Rot", "été"])
text = st.lists(word, min_size=1, max_size=4).map(" ".join)
state = st.sampled_from(["open", "closed", "new"])
price = st.integers(0, 6)
time = st.integers(0, 6).map(lambda n: f"2026-01-0{n + 1}T00:00:00Z")

documents = st.fixed_dictionaries(
    {},
    optional={
        "title": text, "body": text, "state": state | st.lists(state, max_size=2), "price": price,
        "at": time, "ok": st.booleans(), "other": st.none(),
    },
)  # fmt: skip


def _range(value: Any) -> Any:
    low = st.fixed_dictionaries({}, optional={"gte": value}) | st.fixed_dictionaries({"gt": value})
    high = st.fixed_dictionaries({}, optional={"lte": value}) | st.fixed_dictionaries({"lt": value})
    return st.builds(lambda a, b: {**a, **b}, low, high).filter(bool)


simple = (
    st.fixed_dictionaries({"state": state | st.lists(state, min_size=1, max_size=2)})
    | st.fixed_dictionaries({"price": price | _range(price) | price.map(lambda n: {"not": n})})
    | st.fixed_dictionaries({"at": _range(time)})
    | st.fixed_dictionaries({"ok": st.booleans() | st.booleans().map(lambda b: {"exists": b})})
)
where = st.recursive(
    simple,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
        | inner.map(lambda part: {"not": part})
        | st.builds(lambda a, b: {**a, **b}, simple, inner)
    ),
    max_leaves=4,
)
query_text = st.lists(
    word | word.map(lambda w: w[:2] + "*") | text.map(lambda t: f'"{t}"'), min_size=1, max_size=2
).map(" ".join)
queries = st.fixed_dictionaries(
    {}, optional={"text": query_text, "where": where, "sort": st.just(["-price"])}
)

CASES: list[tuple[Any, list[Any], list[Any]]] = [
    ({}, [{}], []),
    ({"text": "red"}, [{"title": "Red"}, {"body": "réd"}], [{}, {"title": "reds"}, {"state": "red"}]),
    ({"text": "re*"}, [{"title": "a reading"}], [{"title": "are"}]),
    ({"text": '"red shoe"'}, [{"title": "a red shoe"}], [{"title": "red", "body": "shoe"}, {"title": "shoe red"}]),
    ({"text": '"a b a"'}, [{"title": "x a b a"}], [{"title": "a b b a"}]),
    ({"where": {"state": "open"}}, [{"state": "open"}, {"state": ["x", "open"]}], [{}, {"state": "Open"}]),
    ({"where": {"price": {"gt": 1, "lte": 3}}}, [{"price": 3}, {"price": 1.5}], [{"price": 1}, {"price": 4}, {}]),
    ({"where": {"price": {"not": 1}}}, [{}, {"price": 2}], [{"price": 1}]),
    ({"where": {"price": {"exists": False}}}, [{}], [{"price": 0}]),
    ({"where": {"ok": False}}, [{"ok": False}], [{}, {"ok": True}]),
    ({"where": {"not": {"state": "a", "ok": True}}}, [{"state": "a"}, {}], [{"state": "a", "ok": True}]),
    (
        {"where": {"at": {"gte": "2026-01-02T00:00:00Z"}}},
        [{"at": "2026-01-02T01:00:00+01:00"}],
        [{"at": "2026-01-01T23:59:59.999Z"}],
    ),
    ({"where": {"price": {"gte": 1, "lt": 3}}}, [{"price": 1}], [{"price": 3}, {"price": 0.5}]),
    ({"text": "\u2115"}, [{"title": "n"}], [{"title": "\u211d"}]),
    ({"text": "⑴"}, [{"title": "1"}], [{"title": "(2)"}]),
    ({"text": "日本"}, [{"title": "日本語"}], [{"title": "本日"}]),
    ({"text": '"red shoe"'}, [{"body": "a red shoe"}], [{"title": "red shoes"}, {"title": "ared shoe"}]),
    ({"where": {"any": [{"state": "a"}, {"ok": True}]}}, [{"state": "a"}, {"ok": True}], [{"state": "b"}, {"ok": False}]),
    ({"where": {"price": 0}}, [{"price": 0}, {"price": -0.0}], [{}, {"price": 1}]),
    ({"where": {"state": "100%"}}, [{"state": "100%"}], [{"state": "100x"}, {"state": ""}]),
    ({"text": "o'neill near* \\"}, [{"title": "O'Neill, nearby"}], [{"title": "o neill"}]),
]  # fmt: skip
"""Queries, what they take, and what they do not take."""
