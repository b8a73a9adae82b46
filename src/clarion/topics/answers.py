"""What a client is told when it has subscribed: where it stands now, and what brings it there."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clarion.topics.kinds import Durability, Kind, Snapshot, Topic
from clarion.topics.live import Publication
from clarion.topics.stream import Position, Reason, Recovered

# A recovery larger than this is replaced by a snapshot: an ack must fit into a socket's queue (limits.egress_hard_bytes).
RECOVERY_BYTES = 1 << 20


class LogInfo(Struct, frozen=True):
    """How much of its log a topic keeps: publications, and seconds."""

    size: int
    age_s: int


class Subscribed(Struct, frozen=True, rename={"durability": "class"}):
    """The answer to `subscribe`. It has `publications` if it recovered, else the `snapshot`."""

    topic: str
    epoch: str
    offset: int
    mark: int
    durability: Durability
    recovered: bool
    log: LogInfo
    reason: Reason | UnsetType = UNSET
    snapshot: Any = UNSET
    publications: Sequence[Publication] | UnsetType = UNSET

    @property
    def position(self) -> Position:
        """Where the client stands with it."""
        return Position(self.epoch, self.offset, self.mark)


def recovered(kind: Kind, topic: Topic, found: Recovered) -> Subscribed | None:
    """Everything that was missed; None if it is more than fits."""
    missed = [Publication.of(topic.wire, entry) for entry in found.entries]
    if len(msgspec.json.encode(missed)) > RECOVERY_BYTES:
        return None
    at = found.position
    log = LogInfo(kind.log_size, kind.log_age_s)
    return Subscribed(
        topic.wire, at.epoch, at.offset, at.mark, kind.durability, True, log, publications=missed
    )


def anew(kind: Kind, topic: Topic, found: Snapshot, reason: Reason | None) -> Subscribed:
    """The whole state; `reason` says why it is not just what was missed, None: that was not asked for."""
    at = found.position
    log = LogInfo(kind.log_size, kind.log_age_s)
    return Subscribed(
        topic.wire,
        at.epoch,
        at.offset,
        at.mark,
        kind.durability,
        False,
        log,
        reason=UNSET if reason is None else reason,
        snapshot=found.state,
    )
