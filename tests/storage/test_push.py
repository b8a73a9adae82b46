"""The statements of push devices obey the joining law, and what a device reports never goes back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import addresses, outgoing, push
from tests.support.law import assert_law

_tenants, _ids, _times = st.sampled_from(["t", "u"]), st.sampled_from("abc"), st.integers(0, 9)

ADDRESSES = [
    (
        addresses.PUT,
        [
            addresses.NewAddress(t, i, "ann", "push" if i != "c" else "chat", f"at {i}", "", "", 5)
            for t in "tu"
            for i in "abc"
        ],
    ),
    (addresses.FAILED, [addresses.Failed("t", "a", "no")] * 3),
]
OUTGOING = [
    (
        outgoing.ADD,
        [
            outgoing.NewOutgoing(
                t, i, "m", "r", "g", "w", "", "s", "ann", "push" if i != "c" else "email", "x", "{}", 5, 1
            )
            for t in "tu"
            for i in "abc"
        ],
    )
]  # fmt: skip


def calls(row: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(row, max_size=3), max_size=4)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(push.Stale, _tenants, _ids, _times)))
def test_forgetting_devices_that_are_gone(given: list[list[object]]) -> None:
    """Only push devices, and none that was registered later."""
    assert_law(push.REMOVE_STALE, given, given=ADDRESSES)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(push.Refused, _tenants, _ids, st.integers(1, 5))))
def test_forgetting_devices_that_refuse(given: list[list[object]]) -> None:
    """Only push devices, and none that was refused less often."""
    assert_law(push.REMOVE_REFUSED, given, given=ADDRESSES)


@settings(max_examples=40, deadline=None)
@given(calls(st.builds(push.Reported, _tenants, _ids, _times, st.none() | _times)))
def test_reports_of_devices(given: list[list[object]]) -> None:
    """The first of each kind counts, in whatever order they come."""
    assert_law(push.REPORTED, given, given=OUTGOING)
