"""The statements of addresses: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import addresses
from tests.support.law import assert_law

_tenants, _ids, _users = (
    st.sampled_from("tu"),
    st.sampled_from("abc"),
    st.sampled_from(["ann", "ben"]),
)
_times, _texts = st.integers(1, 9), st.sampled_from(["", "x"])
GIVEN = [
    (
        addresses.PUT,
        [addresses.NewAddress(t, i, "ann", "push", i, "", "", 1) for t in "tu" for i in "ab"],
    )
]


def calls(row: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(row, max_size=3), max_size=4)


@settings(max_examples=30, deadline=None)
@given(
    calls(
        st.builds(
            addresses.NewAddress,
            _tenants,
            _ids,
            _users,
            st.just("push"),
            st.just("x"),
            _texts,
            _texts,
            _times,
        )
    )
)
def test_putting(rows: list[list[object]]) -> None:
    """Of several who put one address it is the last one's."""
    assert_law(addresses.PUT, rows, given=GIVEN)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(addresses.Removed, _tenants, _ids, st.sampled_from(["", "ann", "ben"]))))
def test_removing(rows: list[list[object]]) -> None:
    """What is removed twice is gone once."""
    assert_law(addresses.REMOVE, rows, given=GIVEN)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(addresses.Worked, _tenants, _ids, _times)))
def test_working(rows: list[list[object]]) -> None:
    """The newest time counts."""
    failed = (
        addresses.FAILED,
        [addresses.Failed("t", "a", "gone"), addresses.Failed("t", "a", "late")],
    )
    assert_law(addresses.WORKED, rows, given=[*GIVEN, failed])


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(addresses.Failed, _tenants, _ids, _texts)))
def test_failing(rows: list[list[object]]) -> None:
    """Each failure counts, and the last one's words are kept."""
    assert_law(addresses.FAILED, rows, given=GIVEN)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(addresses.Named, _tenants, _users)))
def test_reading(rows: list[list[object]]) -> None:
    """Each caller is told of its own users."""
    assert_law(addresses.OF_USERS, rows, given=GIVEN)
