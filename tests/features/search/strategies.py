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
