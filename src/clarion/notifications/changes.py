"""What subscribers of an inbox are told: the log's entries, composed from what is stored of them. Pure.

Every publication says how many messages are `unread` after it:

    added         message                                  it is the newest one
    changed       id, read_at, archived_at                 of one message
                  message                                  whole, where it comes back from the archive
                  entered                                  the message that its leaving lets into the window, whole
    all_read      upto, read_at                            every message up to that `seq` which is not archived
    all_archived  upto, archived_at                        every message up to that `seq`
    preferences   revision                                 of none: the user's preferences have changed

The log does not repeat what messages say: an entry names the one that it carries, and keeps of that what it was at the time.
"""

from typing import Any, Literal, assert_never

import msgspec
from msgspec import Struct

from clarion.notifications.messages import Message, maybe_datetime

Event = Literal["added", "changed", "all_read", "all_archived", "preferences"]
Action = Literal["read", "unread", "archive", "unarchive"]
ActionForAll = Literal["read", "archive"]


class State(Struct, frozen=True):
    """What a person did with a message (ms since 1970)."""

    read_ms: int | None
    archived_ms: int | None

    @property
    def is_archived(self) -> bool:
        """Whether it is put away."""
        return self.archived_ms is not None

    @property
    def counts(self) -> bool:
        """Whether it is one of the unread messages."""
        return self.read_ms is None and self.archived_ms is None


def act(state: State, action: Action, now_ms: int) -> State:
    """The state after an action; the same one if it changes nothing, so that what was read first stays read then."""
    match action:
        case "read":
            return state if state.read_ms is not None else State(now_ms, state.archived_ms)
        case "unread":
            return State(None, state.archived_ms)
        case "archive":
            return state if state.archived_ms is not None else State(state.read_ms, now_ms)
        case "unarchive":
            return State(state.read_ms, None)
        case _:
            assert_never(action)


def changed_facts(id: str, state: State, *, came_back: bool, entered: State | None) -> str:
    """What the log keeps of the change of one message, beside the message that it carries."""
    facts = {"id": id, **_times(state)}
    if came_back:
        facts["message"] = _times(state)
    if entered is not None:
        facts["entered"] = _times(entered)
    return _encode(facts)


def all_facts(action: ActionForAll, upto: int, now_ms: int) -> str:
    """What the log keeps of a change of all messages."""
    member = "read_at" if action == "read" else "archived_at"
    return _encode({"upto": upto, member: maybe_datetime(now_ms)})


def data_of(facts: str, carried: Message | None, unread: int) -> dict[str, Any]:
    """An entry's data as subscribers get it: what the log keeps, and the message that it carries."""
    data: dict[str, Any] = msgspec.json.decode(facts) if facts else {"message": {}}
    for member in ("message", "entered"):
        if member in data:
            assert carried is not None, "an entry that carries a message was read without it"
            data[member] = {**wire(carried), **data[member]}
    return {**data, "unread": unread}


def wire(message: Message) -> dict[str, Any]:
    """A message in plain values: times as text, as RFC 3339 has them."""
    return msgspec.to_builtins(message)  # type: ignore[no-any-return]  # a struct becomes a dict


def _times(state: State) -> dict[str, Any]:
    return {
        "read_at": maybe_datetime(state.read_ms),
        "archived_at": maybe_datetime(state.archived_ms),
    }


def _encode(facts: dict[str, Any]) -> str:
    return msgspec.json.encode(facts).decode()
