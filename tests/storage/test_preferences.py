"""The statements of preferences and caps: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import batches, preferences
from tests.support.law import assert_law

_tenants, _ids = st.sampled_from("tu"), st.sampled_from("abc")
HITS = [(batches.HIT, [batches.Hit(t, i, 9, 1) for t in "tu" for i in "abb"])]


def calls(row: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(row, max_size=3), max_size=4)


@settings(max_examples=40, deadline=None)
@given(calls(st.builds(preferences.Whose, _tenants, _ids)))
def test_reading_many(rows: list[list[object]]) -> None:
    """Each caller gets its own people's documents."""
    assert_law(preferences.OF, rows)


@settings(max_examples=40, deadline=None)
@given(calls(st.builds(preferences.Since, _tenants, _ids, st.integers(0, 9))))
def test_asking_what_has_changed(rows: list[list[object]]) -> None:
    """Each caller is told of its own people."""
    assert_law(preferences.CHANGED, rows)


@settings(max_examples=40, deadline=None)
@given(calls(st.builds(batches.Unhit, _tenants, _ids)))
def test_taking_back_what_was_counted(rows: list[list[object]]) -> None:
    """Each hit that is taken back is one less."""
    assert_law(batches.UNHIT, rows, given=HITS)
