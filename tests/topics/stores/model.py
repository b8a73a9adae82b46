"""What a topic is, in as few words as possible: written without the code that it judges.

A model has every entry that its topic ever had in this life, and the state after each of them; a store must never say anything
else. A new epoch is a new model.
"""

from typing import Any

import msgspec

from clarion.topics.changes import Change
from clarion.topics.stores import Keep
from clarion.topics.stream import Entry

REMEMBERED_MS = 300_000


class Thing(msgspec.Struct):
    """What a key has; one that is gone has only its version."""

    data: Any
    offset: int
    version: int
    expires_ms: int | None
    is_gone: bool = False


class Model:
    """One life of a topic."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.log: list[tuple[str, str | None, Any]] = []
        self.times: list[int] = []
        self.states: list[dict[str, Any]] = [{}]
        self.things: dict[str, Thing] = {}
        self._ids: dict[str, tuple[int, int]] = {}

    @property
    def top(self) -> int:
        """The newest offset."""
        return len(self.log)

    def would_overflow(self, changes: list[Change]) -> bool:
        """Whether a call may ask for more keys than there is room for."""
        new = {c.key for c in changes if c.key is not None and c.event != "remove"} - set(
            self.things
        )
        return bool(new) and len(self.things) + len(new) > self.keep.keys

    def change(self, change: Change, now_ms: int) -> tuple[str | None, int]:
        """Why a change is not made, and the offset that its caller is told."""
        if change.id in self._ids and self._ids[change.id][0] >= now_ms - REMEMBERED_MS:
            return "duplicate", self._ids[change.id][1]
        if change.key is not None:
            self.end(change.key, now_ms)
            if not self._allows(change, self.things.get(change.key)):
                return "guard", self.top
        self._write(change.event, change.key, change.data, now_ms)
        if change.key is not None:
            self._keep_thing(change, change.key, now_ms)
        if change.id:
            self._ids[change.id] = now_ms, self.top
        return None, self.top

    def due(self, now_ms: int) -> set[str]:
        """Keys of things whose time is over."""
        return {
            key
            for key, thing in self.things.items()
            if thing.expires_ms is not None and thing.expires_ms <= now_ms
        }

    def end(self, key: str, now_ms: int) -> None:
        """Remove what is under a key, if its time is over."""
        if key in self.due(now_ms) and not self.things.pop(key).is_gone:
            self._write("remove", key, {"reason": "expired"}, now_ms)

    def is_kept(self, offset: int, now_ms: int) -> bool:
        """Whether an entry must still be readable."""
        is_young = self.times[offset - 1] >= now_ms - self.keep.age_s * 1000
        return is_young and offset > self.top - self.keep.size

    def has(self, entry: Entry) -> bool:
        """Whether this entry is the one that the log has at its offset."""
        is_there = 1 <= entry.offset <= self.top
        return is_there and (entry.event, entry.key, entry.data) == self.log[entry.offset - 1]

    def _write(self, event: str, key: str | None, data: Any, now_ms: int) -> None:
        self.log.append((event, key, data))
        self.times.append(now_ms)
        state = dict(self.states[-1])
        if key is not None and event == "remove":
            state.pop(key, None)
        elif key is not None:
            state[key] = data
        self.states.append(state)

    def _keep_thing(self, change: Change, key: str, now_ms: int) -> None:
        self.things.pop(key, None)
        if change.event != "remove":
            self.things[key] = Thing(change.data, self.top, change.version, change.expires_ms)
        elif change.version:
            until_ms = now_ms + int(self.keep.age_s * 1000)
            self.things[key] = Thing(None, self.top, change.version, until_ms, is_gone=True)

    def _allows(self, change: Change, thing: Thing | None) -> bool:
        is_there = thing is not None and not thing.is_gone
        match change.guard.kind:
            case "absent":
                return not is_there
            case "present":
                return is_there
            case "at":
                return thing is not None and is_there and thing.offset == change.guard.value
            case "newer":
                return thing is None or thing.version < change.guard.value
            case _:
                return True
