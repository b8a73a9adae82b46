"""What subscribers of an inbox are told: the log's entries, composed from what is stored of them. Pure.

Every publication says how many messages are `unread` after it, and how many of these are `unseen`:

    added         message                                  it is the newest one
    changed       id, read_at, archived_at, seen_at        of one message
                  pinned_at, snoozed_until, clicked_at     where there is such a time
                  done                                     where a button was pressed: its id, and when
                  message                                  whole, where it comes back into the list
                  entered                                  the message that its leaving lets into the window, whole
    all_read      upto, read_at                            every message up to that `seq` which is not archived
    all_archived  upto, archived_at                        every message up to that `seq`
    preferences   revision                                 of none: the user's preferences have changed
    seen          ids, seen_at                             of some messages
    all_seen      upto, seen_at                            every message up to that `seq` which was not seen, nor read, nor archived
    some_read     upto, category?, tag?, read_at           every message of a category, or with a tag, up to that `seq`
    some_seen     upto, category?, tag?, seen_at           likewise, what was not seen, nor read, nor archived
    removed       ids                                      of some messages: they are kept no longer
                  entered                                  as above, where one was removed

A message that was put off (`snoozed_until`) is out of sight like an archived one. When its time comes it is `added` again: unread, and
with a new `seq` the newest.

The log does not repeat what messages say: an entry names the one that it carries, and keeps of that what it was at the time.
"""

from collections.abc import Sequence
from typing import Any, Literal, assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from clarion.clock import maybe_datetime
from clarion.notifications.messages import Message

Event = Literal[
    "added",
    "changed",
    "all_read",
    "all_archived",
    "seen",
    "all_seen",
    "some_read",
    "some_seen",
    "removed",
    "preferences",
]
Action = Literal[
    "read", "unread", "archive", "unarchive", "seen", "pin", "unpin", "unsnooze", "clicked"
]
ActionForAll = Literal["read", "archive", "seen"]


class State(Struct, frozen=True):
    """What a person did with a message (ms since 1970)."""

    read_ms: int | None
    archived_ms: int | None
    seen_ms: int | None = None
    pinned_ms: int | None = None
    snooze_ms: int | None = None
    """Until when it is put off; never together with `archived_ms`."""
    clicked_ms: int | None = None
    done: str = ""
    """The button that was pressed."""
    done_ms: int | None = None
    put_off_ms: int | None = None
    """When it was put off last."""
    back_ms: int | None = None
    """When it came back from that."""

    @property
    def is_hidden(self) -> bool:
        """Whether it is not in the list: put away, or put off."""
        return self.archived_ms is not None or self.snooze_ms is not None

    @property
    def is_archived(self) -> bool:
        """Whether it is put away."""
        return self.archived_ms is not None

    @property
    def counts(self) -> bool:
        """Whether it is one of the unread messages."""
        return self.read_ms is None and not self.is_hidden

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
            return replace(state, read_ms=now_ms, seen_ms=_first(state.seen_ms, now_ms))
        case "unread":
            # Who has read it has seen it, and goes on to have seen it.
            return replace(state, read_ms=None, seen_ms=_first(state.seen_ms, state.read_ms))
        case "archive":
            return (
                state if state.is_archived else replace(state, archived_ms=now_ms, snooze_ms=None)
            )
        case "unarchive":
            return replace(state, archived_ms=None)
        case "seen":
            seen_ms = _first(_first(state.seen_ms, state.read_ms), now_ms)
            return replace(state, seen_ms=seen_ms)
        case "pin":
            return replace(state, pinned_ms=_first(state.pinned_ms, now_ms))
        case "unpin":
            return replace(state, pinned_ms=None)
        case "unsnooze":
            return state if state.snooze_ms is None else _back(state, now_ms)
        case "clicked":
            # Who follows it has read it.
            return replace(act(state, "read", now_ms), clicked_ms=_first(state.clicked_ms, now_ms))
        case _:
            assert_never(action)


def press(state: State, button: str, now_ms: int) -> State:
    """The state after a button was pressed, which is to follow the message; the same one if one was pressed before."""
    if state.done:
        return state
    return replace(act(state, "clicked", now_ms), done=button, done_ms=now_ms)


def snooze(state: State, until_ms: int, now_ms: int) -> State:
    """The state of a message that is put off until a time; from the archive it comes back then, too."""
    if state.snooze_ms == until_ms:
        return state
    return replace(state, archived_ms=None, snooze_ms=until_ms, put_off_ms=now_ms, back_ms=None)


def woken(state: State, now_ms: int) -> State:
    """The state of a message whose time has come: as if it were new, but that it stays pinned, and was clicked once."""
    return replace(_back(state, now_ms), read_ms=None, seen_ms=None)


def taken_over(new: State, earlier: State) -> State:
    """The state of a message that takes an earlier one's place quietly: where that was, as read and seen; its buttons and link are its own."""
    return replace(earlier, clicked_ms=new.clicked_ms, done=new.done, done_ms=new.done_ms)


def _back(state: State, now_ms: int) -> State:
    return replace(state, snooze_ms=None, back_ms=now_ms)


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def seen_facts(ids: Sequence[str], now_ms: int) -> str:
    """What the log keeps of some messages that were on the screen."""
    return _encode({"ids": ids, "seen_at": maybe_datetime(now_ms)})


def removed_facts(ids: Sequence[str], entered: State | None = None) -> str:
    """What the log keeps of some messages that are kept no longer; `entered`: of the one that their leaving lets in."""
    return _encode({"ids": ids} if entered is None else {"ids": ids, "entered": _times(entered)})


def woken_facts(state: State) -> str:
    """What the log keeps of a message that was put off and is added again."""
    return _encode({"message": _times(state)})


def changed_facts(
    id: str, state: State, *, came_back: bool, entered: State | None, seq: int | None = None
) -> str:
    """What the log keeps of the change of one message, beside the message that it carries; `seq`: where that stands."""
    place = {} if seq is None else {"seq": seq}
    facts = {"id": id, **_times(state)}
    if came_back:
        facts["message"] = {**place, **_times(state)}
    if entered is not None:
        facts["entered"] = {**place, **_times(entered)}
    return _encode(facts)


def all_facts(
    action: ActionForAll, upto: int, now_ms: int, category: str = "", tag: str = ""
) -> str:
    """What the log keeps of a change of all messages, or of all of a category, or with a tag."""
    member = {"read": "read_at", "archive": "archived_at", "seen": "seen_at"}[action]
    of = {name: value for name, value in (("category", category), ("tag", tag)) if value}
    return _encode({"upto": upto, **of, member: maybe_datetime(now_ms)})


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
    rare = {
        "pinned_at": maybe_datetime(state.pinned_ms),
        "snoozed_until": maybe_datetime(state.snooze_ms),
        "clicked_at": maybe_datetime(state.clicked_ms),
    }
    return {
        "read_at": maybe_datetime(state.read_ms),
        "archived_at": maybe_datetime(state.archived_ms),
        "seen_at": maybe_datetime(state.seen_ms),
        **{member: time for member, time in rare.items() if time is not None},
        **(
            {"done": {"action": state.done, "at": maybe_datetime(state.done_ms)}}
            if state.done
            else {}
        ),
    }


def _encode(facts: dict[str, Any]) -> str:
    return msgspec.json.encode(facts).decode()
