"""What actions do to a message, and how the log's entries are told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.clock import as_datetime, maybe_datetime
from clarion.notifications.changes import (
    Action,
    State,
    act,
    all_facts,
    changed_facts,
    data_of,
    wire,
)
from clarion.notifications.messages import Message

MESSAGE = Message(
    id="m",
    seq=7,
    notification_id="n",
    title="Hello",
    body="",
    data={"a": [1]},
    action_url=None,
    created_at=as_datetime(1_000),
)
UNREAD, READ = State(None, None), State(5, None)
PUT_AWAY = State(None, 6)


@pytest.mark.parametrize(
    ("before", "action", "then"),
    [
        (UNREAD, "read", State(9, None, 9)),
        (READ, "read", READ),
        (READ, "unread", State(None, None, 5)),
        (State(5, None, 4), "unread", State(None, None, 4)),
        (UNREAD, "seen", State(None, None, 9)),
        (State(None, None, 4), "seen", State(None, None, 4)),
        (READ, "seen", State(5, None, 5)),
        (State(None, None, 4), "archive", State(None, 9, 4)),
        (UNREAD, "unread", UNREAD),
        (UNREAD, "archive", State(None, 9)),
        (PUT_AWAY, "archive", PUT_AWAY),
        (PUT_AWAY, "unarchive", UNREAD),
        (READ, "unarchive", READ),
        (PUT_AWAY, "read", State(9, 6, 9)),
    ],
)
def test_actions(before: State, action: Action, then: State) -> None:
    """What was read first stays read then; what is put away does not count as unread."""
    assert act(before, action, 9) == then


@given(
    st.builds(
        State,
        st.none() | st.integers(0, 99),
        st.none() | st.integers(0, 99),
        st.none() | st.integers(0, 99),
    ),
    st.sampled_from(["read", "unread", "archive", "unarchive", "seen", "pin", "unpin", "clicked"]),
)
def test_an_action_twice_is_an_action_once(state: State, action: Action) -> None:
    once = act(state, action, 100)
    assert act(once, action, 200) == once


def test_only_unread_messages_in_the_inbox_count() -> None:
    assert [s.counts for s in (UNREAD, READ, PUT_AWAY, State(5, 6))] == [True, False, False, False]


def test_added_carries_the_message_as_it_was_added() -> None:
    assert data_of("", MESSAGE, 3, 2) == {
        "message": {
            "id": "m",
            "seq": 7,
            "notification_id": "n",
            "title": "Hello",
            "body": "",
            "data": {"a": [1]},
            "action_url": None,
            "created_at": "1970-01-01T00:00:01Z",
            "read_at": None,
            "archived_at": None,
            "seen_at": None,
        },
        "unread": 3,
        "unseen": 2,
    }


def test_changed_says_what_was_done_with_which_message() -> None:
    facts = changed_facts("m", State(1_000, None), came_back=False, entered=None)
    assert data_of(facts, None, 2, 1) == {
        "id": "m",
        "read_at": "1970-01-01T00:00:01Z",
        "archived_at": None,
        "seen_at": None,
        "unread": 2,
        "unseen": 1,
    }


def test_a_message_that_comes_back_is_whole_and_as_it_was_then() -> None:
    facts = changed_facts("m", State(1_000, None), came_back=True, entered=None)
    later = msgspec.structs.replace(MESSAGE, archived_at=as_datetime(9_000))
    data = data_of(facts, later, 2, 0)
    assert data["message"] == {**wire(MESSAGE), "read_at": "1970-01-01T00:00:01Z"}
    assert data["archived_at"] is None


def test_a_message_that_enters_the_window_is_whole() -> None:
    facts = changed_facts("gone", State(None, 9), came_back=False, entered=State(2_000, None))
    data = data_of(facts, MESSAGE, 2, 0)
    assert data["id"] == "gone"
    assert data["entered"] == {**wire(MESSAGE), "read_at": "1970-01-01T00:00:02Z"}
    assert "message" not in data


def test_all_at_once_is_one_entry() -> None:
    assert data_of(all_facts("read", 9, 1_000), None, 0, 0) == {
        "upto": 9,
        "read_at": "1970-01-01T00:00:01Z",
        "unread": 0,
        "unseen": 0,
    }
    assert data_of(all_facts("archive", 9, 1_000), None, 0, 0) == {
        "upto": 9,
        "archived_at": "1970-01-01T00:00:01Z",
        "unread": 0,
        "unseen": 0,
    }


def test_sockets_and_http_write_times_alike() -> None:
    """One message, two doors, the same text."""
    message = msgspec.structs.replace(MESSAGE, read_at=maybe_datetime(1_234))
    assert msgspec.json.decode(msgspec.json.encode(message)) == wire(message)
    assert maybe_datetime(None) is None
