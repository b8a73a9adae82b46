"""The statements of email: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import message_events, suppressions
from tests.storage.test_workflows import OUTGOING, calls
from tests.support.law import assert_law

_tenants, _ids, _times = st.sampled_from("tu"), st.sampled_from("abcx"), st.integers(0, 9)
_STATES = st.sampled_from([("", 0), ("delivered", 20), ("bounced", 30)])


def _event(
    tenant: str, id: str, kind: str, at_ms: int, state: tuple[str, int], read: int, clicked: int
) -> message_events.NewEvent:
    return message_events.NewEvent(tenant, id, kind, at_ms, f"{kind} {at_ms}", *state, read, clicked)  # fmt: skip


_EVENTS = st.builds(
    _event,
    _tenants,
    _ids,
    st.sampled_from(["opened", "clicked"]),
    _times,
    _STATES,
    st.integers(0, 1),
    st.integers(0, 1),
)


@settings(max_examples=60, deadline=None)
@given(calls(_EVENTS))
def test_telling_of_messages(rows: list[list[object]]) -> None:
    """A life cycle goes forward whatever the order; each kind of event has one row, with its first and last time."""
    assert_law(message_events.TELL, rows, given=OUTGOING)


@settings(max_examples=40, deadline=None)
@given(
    calls(
        st.builds(
            suppressions.NewSuppression,
            _tenants,
            st.sampled_from(["email", "sms"]),
            _ids,
            st.sampled_from(["bounce", "manual"]),
            _ids,
            _ids,
            _times,
        )
    )
)
def test_suppressing(rows: list[list[object]]) -> None:
    """The first reason stays."""
    assert_law(suppressions.ADD, rows)


@settings(max_examples=30, deadline=None)
@given(calls(st.builds(suppressions.Written, _tenants, st.just("email"), _ids)))
def test_looking_for_suppressions(rows: list[list[object]]) -> None:
    """Each caller is told of its own addresses."""
    there = [suppressions.NewSuppression("t", "email", "a", "bounce", "", "", 1)]
    assert_law(suppressions.LOOK, rows, given=[(suppressions.ADD, there)])
