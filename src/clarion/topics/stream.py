"""A log as its readers see it: positions, entries, and what someone who comes back may be told.

An `offset` counts the entries of a log from 1 without a gap, an `epoch` names one life of the log, and a `mark` is a
running sum over the log up to an entry: equal marks mean equal prefixes. Epoch and offset alone would let a log that
lost its tail and grew again be mistaken for the old one (Centrifugo's positions, sharpened). Nothing here waits, stores
or knows who subscribes.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

# mark(n) = (mark(n-1) + r) mod 2**32, r random per append: what one append adds says nothing about another's.
MARK_MODULUS = 1 << 32

Reason = Literal["too_old", "epoch_changed", "diverged", "too_many"]
"""Why a log cannot be continued from a position, so that a snapshot is due.

too_old: what was missed is no longer kept · epoch_changed: the log was lost and began anew · diverged: this log never had
that position · too_many: the snapshot is cheaper than all that was missed.
"""


class Position(Struct, frozen=True):
    """How far someone knows a log: up to `offset` and including it; offset 0 is before the first entry."""

    epoch: Annotated[str, Meta(max_length=32)]
    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    mark: Annotated[int, Meta(ge=0, lt=MARK_MODULUS)]


class Entry(Struct, frozen=True, omit_defaults=True):
    """One change in a log.

    Args:
        offset: Its number; the first has 1.
        mark: The running sum up to it.
        prior: The mark before it, so that the edge of a trimmed log can be checked.
        event: What happened.
        data: A JSON value; with a key, the item's new value, or of an `append` what it grows by.
        key: Of the item of a map; None: an entry of a stream.
        tags: What subscribers may filter by; of a removal, those that the item had.
        was: The tags that the item had before, if they were others: who filters by them must hear that it left.
        at_ms: When it was appended (ms since 1970); 0: not known.
        patch: A merge patch (RFC 7396) that makes `data` of the value before; only while it is announced, never in a log.
    """

    offset: int
    mark: int
    prior: int
    event: str
    data: Any
    key: str | None = None
    tags: Mapping[str, str] | None = None
    was: Mapping[str, str] | None = None
    at_ms: int = 0
    patch: dict[str, Any] | None = None


class Verdict(Enum):
    """How an entry relates to what a reader knows."""

    NEXT = "next"
    OLD = "old"
    GAP = "gap"
    DIVERGED = "diverged"


def judge(position: Position, entry: Entry) -> Verdict:
    """Say whether an entry is the next one for a reader at a position of the same epoch."""
    if entry.offset == position.offset + 1:
        return Verdict.NEXT if entry.prior == position.mark else Verdict.DIVERGED
    if entry.offset > position.offset:
        return Verdict.GAP
    if entry.offset == position.offset and entry.mark != position.mark:
        return Verdict.DIVERGED
    return Verdict.OLD


def after(position: Position, entry: Entry) -> Position:
    """Where a reader stands who has taken the entry."""
    return Position(position.epoch, entry.offset, entry.mark)


class Followed(Struct, frozen=True):
    """What a reader takes of a run of entries, where it stands then, and what stopped it: NEXT if nothing did."""

    taken: list[Entry]
    position: Position
    verdict: Verdict


def follow(position: Position, entries: Iterable[Entry]) -> Followed:
    """Take entries in their order, dropping those already known, up to the first that does not fit."""
    taken: list[Entry] = []
    for entry in entries:
        verdict = judge(position, entry)
        if verdict is Verdict.OLD:
            continue
        if verdict is not Verdict.NEXT:
            return Followed(taken, position, verdict)
        taken.append(entry)
        position = after(position, entry)
    return Followed(taken, position, Verdict.NEXT)


class Recovered(Struct, frozen=True):
    """The entries that were missed, all of them."""

    entries: list[Entry]
    position: Position


class Refused(Struct, frozen=True):
    """The log cannot be continued from there."""

    reason: Reason


def recover(
    since: Position, top: Position, entries: Sequence[Entry], limit: int, *, is_cut: bool = False
) -> Recovered | Refused:
    """Decide what someone gets who knew a log up to `since`: everything that was missed, or a reason why not. Never a part.

    Args:
        since: What they say they know.
        top: The newest position of the log.
        entries: What the log still has behind `since.offset`, in order, read together with `top`; may be cut after `limit`.
        limit: More missed entries than this are not sent one by one.
        is_cut: Behind these entries there are others, of too many bytes to be sent.

    Source: Centrifugo, "History and recovery"; the mark makes it exact where a log lost its tail.
    """
    if since.epoch != top.epoch:
        return Refused("epoch_changed")
    missed = top.offset - since.offset
    if missed < 0 or (missed == 0 and since.mark != top.mark):
        return Refused("diverged")
    if missed > limit:
        return Refused("too_many")
    followed = follow(since, entries)
    if followed.verdict is Verdict.DIVERGED:
        return Refused("diverged")
    if is_cut and followed.verdict is Verdict.NEXT:
        return Refused("too_many")
    # A gap, or a log that ends below its top, has lost entries: kept no longer, whatever the cause.
    if followed.position != top:
        return Refused("too_old" if followed.position.offset < top.offset else "diverged")
    return Recovered(followed.taken, top)


def compare(before: Position, now: Position, top: Position) -> Literal["ok", "behind", "diverged"]:
    """Compare a live reader with its log.

    Args:
        before: Where the reader stood when the log was asked: the answer cannot be behind that.
        now: Where it stands when the answer has come.
        top: The answer.
    """
    if top.epoch != before.epoch or top.offset < before.offset:
        return "diverged"
    if top.offset == before.offset and top.mark != before.mark:
        return "diverged"
    return "behind" if now.offset < top.offset else "ok"
