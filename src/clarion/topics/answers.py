"""What a client is told when it has subscribed: where it stands now, and what brings it there."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clarion.topics.filters import Matches
from clarion.topics.kinds import Durability, Kind, Snapshot, Topic
from clarion.topics.live import publication, wanted
from clarion.topics.stream import Entry, Position, Reason, Recovered


class LogInfo(Struct, frozen=True):
    """How much of its log a topic keeps: publications, and seconds."""

    size: int
    age_s: int


class Subscribed(Struct, frozen=True, rename={"durability": "class"}):
    """The answer to `subscribe`. It has `publications` if it recovered, else the `snapshot`, and what was asked for by `rewind`."""

    topic: str
    epoch: str
    offset: int
    mark: int
    durability: Durability
    recovered: bool
    log: LogInfo
    reason: Reason | UnsetType = UNSET
    snapshot: Any = UNSET
    publications: Sequence[dict[str, Any]] | UnsetType = UNSET

    @property
    def position(self) -> Position:
        """Where the client stands with it."""
        return Position(self.epoch, self.offset, self.mark)


def recovered(
    kind: Kind, topic: Topic, since: int, found: Recovered, matches: Matches | None
) -> Subscribed:
    """Everything that was missed behind the offset `since`."""
    missed = shown(topic, since, found.entries, matches)
    return _subscribed(kind, topic, found.position, recovered=True, publications=missed)


def anew(
    kind: Kind, topic: Topic, found: Snapshot, reason: Reason | None, matches: Matches | None
) -> Subscribed:
    """The whole state; `reason` says why it is not just what was missed, None: that was not asked for."""
    return _subscribed(
        kind,
        topic,
        found.position,
        recovered=False,
        reason=UNSET if reason is None else reason,
        snapshot=filtered(found.state, matches) if kind.shape == "map" else found.state,
    )


def rewound(
    answer: Subscribed, topic: Topic, entries: Sequence[Entry], matches: Matches | None
) -> Subscribed:
    """The answer, with entries that came before its position."""
    first = entries[0].offset - 1 if entries else answer.offset
    return msgspec.structs.replace(answer, publications=shown(topic, first, entries, matches))


def shown(
    topic: Topic, told: int, entries: Sequence[Entry], matches: Matches | None
) -> list[dict[str, Any]]:
    """Entries as a client gets them who was told the offset `told` last."""
    found = []
    for entry in entries:
        kept = entry if matches is None else wanted(entry, matches)
        if kept is not None:
            found.append(publication(topic.wire, kept, told))
            told = entry.offset
    return found


def filtered(page: dict[str, Any], matches: Matches | None) -> dict[str, Any]:
    """A page of a map's state (`stores.page_of`) with the items that a filter takes."""
    if matches is None:
        return page
    return {**page, "items": [item for item in page["items"] if matches(item.get("tags", {}))]}


def _subscribed(
    kind: Kind, topic: Topic, at: Position, *, recovered: bool, **more: Any
) -> Subscribed:
    log = LogInfo(kind.log_size, kind.log_age_s)
    return Subscribed(
        topic.wire, at.epoch, at.offset, at.mark, kind.durability, recovered, log, **more
    )
