"""The statements of presence: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import presence as sql
from tests.support.law import assert_law

_tenants, _ids, _times = st.sampled_from(["t", "u"]), st.sampled_from("abc"), st.integers(0, 9)
_seen = st.builds(sql.Seen, _tenants, _ids, _times, _times)
_pairs = st.builds(sql.Pair, _tenants, _ids, _ids)
_users = st.builds(sql.User, _tenants, _ids)
SEEN = [sql.Seen("t", "a", 5, 5), sql.Seen("u", "b", 5, 5)]
PAIRS = [sql.Pair("t", "a", "b"), sql.Pair("u", "b", "c")]


def calls(row: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(row, max_size=4), max_size=4)


@settings(max_examples=40, deadline=None)
@given(calls(_seen))
def test_the_latest_time_wins(rows: list[list[object]]) -> None:
    assert_law(sql.SEE, rows, given=[(sql.SEE, SEEN)])


@settings(max_examples=40, deadline=None)
@given(calls(_users), calls(_pairs))
def test_everybody_is_answered_of_their_own(
    users: list[list[object]], pairs: list[list[object]]
) -> None:
    assert_law(sql.PEOPLE, users, given=[(sql.SEE, SEEN)])
    assert_law(sql.KNOWN, pairs, given=[(sql.ADD, PAIRS)])


@settings(max_examples=40, deadline=None)
@given(calls(_pairs))
def test_contacts_are_added_and_removed(rows: list[list[object]]) -> None:
    assert_law(sql.ADD, rows, given=[(sql.ADD, PAIRS)])
    assert_law(sql.REMOVE, rows, given=[(sql.ADD, PAIRS)])
