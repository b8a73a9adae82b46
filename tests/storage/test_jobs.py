"""The statements of jobs: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage.jobs import ENQUEUE, EXTEND, FINISH, SETTLE, Held, NewJob, Settlement
from tests.support.law import assert_law

_tenants, _ids = st.sampled_from(["t", "u"]), st.sampled_from("abc")
# A caller has only tokens that it was given by a claim: the present one, or an old one. Never the next.
_tokens, _times = st.sampled_from([0, -1]), st.integers(0, 9)
_new = st.builds(
    NewJob,
    _tenants,
    _ids,
    st.sampled_from(["k", ""]),  # the empty kind is refused
    st.sampled_from(["1", "2"]),
    _times,
    st.just(3),
    _times,
)
_held = st.builds(Held, _tenants, _ids, _tokens, _times)
_settlements = st.builds(
    Settlement, _tenants, _ids, _tokens, st.none() | _times, _times, st.none() | st.just("e")
)
STORED = [(ENQUEUE, [NewJob(t, i, "k", "{}", 5, 3, 5) for t in "tu" for i in "abc"])]


def calls(row: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(row, max_size=4), max_size=4)


@settings(max_examples=40, deadline=None)
@given(calls(_new))
def test_enqueueing(rows: list[list[object]]) -> None:
    """The first of several jobs with one id is the one that is kept, joined or not."""
    assert_law(ENQUEUE, rows)


@settings(max_examples=40, deadline=None)
@given(calls(_held))
def test_finishing(rows: list[list[object]]) -> None:
    """Finishing twice is finishing once."""
    assert_law(FINISH, rows, given=STORED)


@settings(max_examples=40, deadline=None)
@given(calls(_held))
def test_extending(rows: list[list[object]]) -> None:
    """Each caller hears which of its rows it still holds; the last word on one row counts."""
    assert_law(EXTEND, rows, given=STORED)


@settings(max_examples=60, deadline=None)
@given(calls(_settlements))
def test_settling(rows: list[list[object]]) -> None:
    """Of several settlements under one token the first counts, joined or not."""
    assert_law(SETTLE, rows, given=STORED)
