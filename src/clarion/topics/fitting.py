"""Entries of a log that fit into one answer. They are read in steps: a log of large publications is not read as a whole to show its end."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from clarion.topics.kinds import Log, Read, Topic
from clarion.topics.stream import Entry, Position

# Of entries, about: an ack must fit into a socket's queue (limits.egress_hard_bytes). A larger recovery is replaced by a snapshot.
ANSWER_BYTES = 1 << 20
STEP: Final = 32
"""Entries that are read first; how many follow is known from their size."""
_encode: Final = msgspec.json.Encoder().encode


def _fitting(entries: Iterable[Entry]) -> int:
    """How many of these entries, from the first on, fit into one answer; of several at least one."""
    count = size = 0
    for entry in entries:
        size += len(_encode(entry))
        if count and size > ANSWER_BYTES:
            break
        count += 1
    return count


async def read_oldest(log: Log, topic: Topic, after: int, limit: int) -> tuple[Read, bool]:
    """At most `limit` entries behind an offset, those that fit, and whether others were left out for that."""
    found: list[Entry] = []
    size, step = 0, STEP
    while True:
        asked = min(step, limit - len(found))
        read = await log.read(topic, after, asked)
        found += read.entries
        size += _size(read.entries)
        if size > ANSWER_BYTES and len(found) > 1:
            return Read(read.top, found[: _fitting(found)]), True
        if len(read.entries) < asked or len(found) == limit:
            return Read(read.top, found), False
        after, step = found[-1].offset, _step(len(found), size)


async def read_newest(log: Log, topic: Topic, after: int, top: Position) -> Sequence[Entry]:
    """The newest entries up to a position, all in a row, as far back as an offset and as they fit; none of another epoch."""
    found: list[Entry] = []
    upto, size, step = top.offset, 0, STEP
    while upto > after and size <= ANSWER_BYTES:
        begin = max(after, upto - step)
        read = await log.read(topic, begin, upto - begin)
        if read.top.epoch != top.epoch:
            return []
        some = [entry for entry in read.entries if entry.offset <= upto]
        found = [*some, *found]
        if len(some) < upto - begin:  # the others are kept no longer
            break
        size += _size(some)
        upto, step = begin, _step(len(found), size)
    return found[len(found) - _fitting(reversed(found)) :]


def _size(entries: Iterable[Entry]) -> int:
    return sum(len(_encode(entry)) for entry in entries)


def _step(count: int, size: int) -> int:
    """About how many more fit, where so many have that size."""
    return max(1, (ANSWER_BYTES - size) * count // size + 1) if size < ANSWER_BYTES else 1
