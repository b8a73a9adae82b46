"""What subscribers of an inbox are told: the log's entries, composed from what is stored of them. Pure.

Every publication says how many messages are `unread` after it, and how many of these are `unseen`:

    added         message                                  it is the newest one
    changed       id, read_at, archived_at, seen_at        of one message
                  message                                  whole, where it comes back from the archive
                  entered                                  the message that its leaving lets into the window, whole
    all_read      upto, read_at                            every message up to that `seq` which is not archived
    all_archived  upto, archived_at                        every message up to that `seq`
    preferences   revision                                 of none: the user's preferences have changed
    seen          ids, seen_at                             of some messages
    all_seen      upto, seen_at                            every message up to that `seq` which was not seen, nor read, nor archived
    removed       ids                                      of some messages: they are kept no longer

The log does not repeat what messages say: an entry names the one that it carries, and keeps of that what it was at the time.
"""

from collections.abc import Sequence
from typing import Any, Literal, assert_never

import msgspec
from msgspec import Struct

from clarion.notifications.messages import Message, maybe_datetime

Event = Literal[
    "added", "changed", "all_read", "all_archived", "seen", "all_seen", "removed", "preferences"
]
Action = Literal["read", "unread", "archive", "unarchive", "seen"]
ActionForAll = Literal["read", "archive", "seen"]


class State(Struct, frozen=True):
    """What a person did with a message (ms since 1970)."""

    read_ms: int | None
    archived_ms: int | None
    seen_ms: int | None = None

    @property
    def is_archived(self) -> bool:
        """Whether it is put away."""
        return self.archived_ms is not None

    @property
    def counts(self) -> bool:
        """Whether it is one of the unread messages."""
        return self.read_ms is None and self.archived_ms is None

    @property
    def is_unseen(self) -> bool:
        """Whether it is one of the unread messages that nobody has had on the screen."""
        return self.counts and self.seen_ms is None


def act(state: State, action: Action, now_ms: int) -> State:
    """The state after an action; the same one if it changes nothing, so that what was read first stays read then."""
    match action:
        case "read":
            if state.read_ms is not None:
                return state
            return State(now_ms, state.archived_ms, _first(state.seen_ms, now_ms))
        case "unread":
            # Who has read it has seen it, and goes on to have seen it.
            return State(None, state.archived_ms, _first(state.seen_ms, state.read_ms))
        case "archive":
            return state if state.is_archived else State(state.read_ms, now_ms, state.seen_ms)
        case "unarchive":
            return State(state.read_ms, None, state.seen_ms)
        case "seen":
            seen_ms = _first(_first(state.seen_ms, state.read_ms), now_ms)
            return State(state.read_ms, state.archived_ms, seen_ms)
        case _:
            assert_never(action)


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def seen_facts(ids: Sequence[str], now_ms: int) -> str:
    """What the log keeps of some messages that were on the screen."""
    return _encode({"ids": ids, "seen_at": maybe_datetime(now_ms)})


def removed_facts(ids: Sequence[str]) -> str:
    """What the log keeps of some messages that are kept no longer."""
    return _encode({"ids": ids})


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
    member = {"read": "read_at", "archive": "archived_at", "seen": "seen_at"}[action]
    return _encode({"upto": upto, member: maybe_datetime(now_ms)})


def data_of(facts: str, carried: Message | None, unread: int, unseen: int) -> dict[str, Any]:
    """An entry's data as subscribers get it: what the log keeps, and the message that it carries."""
    data: dict[str, Any] = msgspec.json.decode(facts) if facts else {"message": {}}
    for member in ("message", "entered"):
        if member in data:
            assert carried is not None, "an entry that carries a message was read without it"
            data[member] = {**wire(carried), **data[member]}
    return {**data, "unread": unread, "unseen": unseen}


def wire(message: Message) -> dict[str, Any]:
    """A message in plain values: times as text, as RFC 3339 has them."""
    return msgspec.to_builtins(message)  # type: ignore[no-any-return]  # a struct becomes a dict


def _times(state: State) -> dict[str, Any]:
    return {
        "read_at": maybe_datetime(state.read_ms),
        "archived_at": maybe_datetime(state.archived_ms),
        "seen_at": maybe_datetime(state.seen_ms),
    }


def _encode(facts: dict[str, Any]) -> str:
    return msgspec.json.encode(facts).decode()
