"""The window of a standing query: events applied to an old state lead to the state of today."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clarion.features.search.shelf import shown as shown_as
from clarion.features.search.window import SPARE, Row, Window
from tests.support.subscribers import results_after

LIMIT = 3


def row_of(place: Any, id: str, data: Any, version: int, offset: int) -> Row:
    return Row(place, id, shown_as(id, data, version, offset))


changes = st.lists(
    st.tuples(st.integers(0, 11), st.none() | st.integers(0, 8), st.integers(0, 1)), max_size=60
)


def window_of(documents: dict[str, Row]) -> tuple[list[Row], int]:
    rows = sorted(documents.values(), key=lambda row: row.place)
    return rows[: LIMIT + SPARE], len(rows)


def shown(documents: dict[str, Row]) -> dict[str, Any]:
    return Window(LIMIT, *window_of(documents)).state


@given(changes, changes, st.integers(0, 3))
def test_events_lead_to_the_state_of_today(before: Any, after: Any, spare: int) -> None:
    """Whatever enters, moves, changes and leaves; also with so few to spare that the window is fetched anew, later than it was needed."""
    documents = dict[str, Row]()
    for number, place, data in before:
        _change(documents, number, place, data, 0)
    rows, total = window_of(documents)
    window = Window(LIMIT, rows[: LIMIT + spare], total)
    state, missed = window.state, None
    for offset, (number, place, data) in enumerate(after, 1):
        was = documents.get(str(number))
        _change(documents, number, place, data, offset)
        if missed is None:
            told, told_total = window.seen, window.total
            now = documents.get(str(number))
            events = window.apply(str(number), was and was.place, now)
            if events is None:
                missed = told, told_total
        if missed is not None:
            if offset % 3:
                continue
            rows, total = window_of(documents)
            events = window.replace(rows[: LIMIT + spare], total, *missed)
            missed = None
        assert events is not None
        state = results_after(state, events, LIMIT)
        assert state == shown(documents) == window.state


def test_one_step_is_told_as_one() -> None:
    """A document that moves does not make the others move; whoever follows where one leaves is told as well."""
    rows = [row_of((n, str(n)), str(n), {"n": n}, 0, 1) for n in range(5)]
    window = Window(LIMIT, rows, 5)
    moved = row_of((1.5, "0"), "0", {"n": 1.5}, 0, 2)
    [(event, data)] = window.apply("0", (0, "0"), moved) or []
    assert (event, data["id"], data["at"], data["more"]) == ("moved", "0", 1, True)
    left, entered = window.apply("0", moved.place, None) or []
    assert (left[0], left[1]["id"]) == ("left", "0")
    assert (entered[0], entered[1]["id"], entered[1]["at"]) == ("entered", "3", 2)
    assert window.apply("9", None, row_of((9, "9"), "9", {}, 0, 3)) == [
        ("counted", {"more": True, "counts": {"total": 5}})
    ]


def _change(
    documents: dict[str, Row], number: int, place: int | None, data: int, offset: int
) -> None:
    if place is None:
        documents.pop(str(number), None)
    else:
        id = str(number)
        documents[id] = row_of((place, id), id, {"data": data}, 0, offset)
