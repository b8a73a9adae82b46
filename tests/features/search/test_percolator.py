"""Standing queries: the ones that a document matches are found, all and no others, without comparing them all."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.errors import TooMany
from clarion.features.search.document import prepare
from clarion.features.search.intervals import Intervals
from clarion.features.search.matching import compile_query
from clarion.features.search.percolator import Percolator
from clarion.features.search.query import parse
from tests.features.search.strategies import CASES, FIELDS, documents, queries


@pytest.mark.parametrize(("query", "taken", "not_taken"), CASES)
def test_a_query_takes_what_it_says(query: Any, taken: list[Any], not_taken: list[Any]) -> None:
    """Words in any text field, a phrase in one; values whole, of a list any; ranges; what is not there is not."""
    matches = compile_query(parse(query, FIELDS))
    assert [data for data in taken if not matches(prepare("d", data, FIELDS))] == []
    assert [data for data in not_taken if matches(prepare("d", data, FIELDS))] == []


@given(st.lists(queries, max_size=12), st.lists(documents, min_size=1, max_size=4), st.data())
def test_the_queries_that_match_are_found_all_and_no_others(
    asked: list[Any], given: list[Any], data: st.DataObject
) -> None:
    """Whatever is filed under whatever, also when some have been taken away."""
    percolator, standing = Percolator(), {}
    for number, query in enumerate(asked):
        standing[str(number)] = parse(query, FIELDS)
        percolator.add(str(number), standing[str(number)])
    if standing:
        for gone in data.draw(st.sets(st.sampled_from(sorted(standing)))):
            percolator.remove(gone)
            del standing[gone]
    assert len(percolator) == len(standing)
    for each in given:
        document = prepare("d", each, FIELDS)
        wanted = {name for name, query in standing.items() if compile_query(query)(document)}
        assert set(asyncio.run(percolator.matching(document))) == wanted
        assert all(percolator.matches(name, document) == (name in wanted) for name in standing)
    for name in list(standing):
        percolator.remove(name)
    assert percolator.candidates(prepare("d", given[0], FIELDS)) == {}


async def test_only_queries_that_may_match_are_compared() -> None:
    """Filed under the rarest thing that each requires: a common value is no burden to those who also ask for something rare."""
    percolator = Percolator()
    for number in range(1_000):
        where = {"state": "open", "price": {"gte": number, "lt": number + 2}}
        percolator.add(f"word {number}", parse({"text": f"word{number}", "where": where}, FIELDS))
        percolator.add(f"range {number}", parse({"where": {"price": where["price"]}}, FIELDS))
    document = prepare("d", {"title": "word7", "state": "open", "price": 500}, FIELDS)
    assert sorted(percolator.candidates(document)) == [
        "range 498", "range 499", "range 500", "word 7",
    ]  # fmt: skip
    assert sorted(await percolator.matching(document)) == ["range 499", "range 500"]


def test_so_many_queries_may_ask_for_nothing_in_particular() -> None:
    """Each of them costs every change; one more is refused by name."""
    percolator = Percolator(unselective=2)
    everything = parse({"where": {"not": {"ok": True}}}, FIELDS)
    percolator.add("a", everything)
    percolator.add("b", everything)
    with pytest.raises(TooMany, match="nothing in particular"):
        percolator.add("c", everything)
    assert len(percolator) == 2
    percolator.remove("a")
    percolator.add("c", everything)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False), st.integers(0, 400))
def test_intervals_are_found_by_the_points_in_them(chance: Any, steps: int) -> None:
    """Through additions, removals and returns under the same name."""
    intervals, there = Intervals(), dict[str, tuple[float, float]]()
    for step in range(steps):
        name = str(chance.randrange(150))
        if name in there:
            intervals.remove(name)
            del there[name]
        else:
            low, high = chance.randrange(50), chance.randrange(60)
            there[name] = (low, high)
            intervals.add(name, low, high)
        if step % 20 == 0:
            point = chance.randrange(60)
            wanted = sorted(each for each, (low, high) in there.items() if low <= point <= high)
            assert sorted(intervals.containing(point)) == wanted
    assert len(intervals) == len(there)
