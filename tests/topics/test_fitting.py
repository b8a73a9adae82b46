"""Entries are read in steps, and what comes of it is what one reading would have given."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.topics import fitting
from clarion.topics.fitting import read_newest, read_oldest
from clarion.topics.kinds import Read
from clarion.topics.stream import Entry, Position
from tests.topics.fakes import OPEN, MemoryLog


class Log(MemoryLog):
    """A log of entries of given sizes, that counts what it reads."""

    def __init__(self, sizes: list[int], trimmed: int = 0) -> None:
        super().__init__()
        self.append(OPEN, *range(len(sizes)))
        self.entries[OPEN] = [
            msgspec.structs.replace(entry, data="x" * size)
            for entry, size in zip(self.entries[OPEN], sizes, strict=True)
        ]
        self.trimmed[OPEN] = trimmed
        self.count = 0

    async def read(self, topic: object, after: int, limit: int) -> Read:
        found = await super().read(OPEN, after, limit)
        self.count += len(found.entries)
        return found


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "ANSWER_BYTES", 1_000)
    monkeypatch.setattr(fitting, "STEP", 3)


def size_of(entries: list[Entry]) -> int:
    return sum(len(msgspec.json.encode(entry)) for entry in entries)


def newest_that_fit(entries: list[Entry]) -> list[Entry]:
    while len(entries) > 1 and size_of(entries) > 1_000:
        entries = entries[1:]
    return entries


SIZES = st.lists(st.sampled_from([1, 10, 100, 400, 2_000]), min_size=1, max_size=40)


@given(SIZES, st.integers(0, 40), st.integers(0, 40), st.integers(1, 40))
async def test_the_oldest_that_fit(sizes: list[int], trimmed: int, after: int, limit: int) -> None:
    """All, or those that fit and the news that there are more; of one that is too large, that one."""
    log = Log(sizes, min(trimmed, len(sizes)))
    wanted = (await log.read(OPEN, after, limit)).entries
    read, is_cut = await read_oldest(log, OPEN, after, limit)
    assert read.top == log.position(OPEN)
    assert read.entries == wanted[: len(read.entries)]
    assert is_cut == (len(read.entries) < len(wanted))
    assert len(read.entries) < 2 or size_of(read.entries) <= 1_000
    assert not is_cut or size_of(wanted[: len(read.entries) + 1]) > 1_000


@given(SIZES, st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
async def test_the_newest_that_fit(sizes: list[int], trimmed: int, after: int, newer: int) -> None:
    """Up to a position, in a row, whatever was appended since; and nothing of another epoch."""
    log = Log(sizes, min(trimmed, len(sizes)))
    top = log.position(OPEN)
    log.append(OPEN, *range(newer))
    wanted = log.entries[OPEN][max(after, log.trimmed[OPEN]) : top.offset]
    assert list(await read_newest(log, OPEN, after, top)) == newest_that_fit(wanted)
    if after < top.offset:
        elsewhere = Position("other", top.offset, top.mark)
        assert list(await read_newest(log, OPEN, after, elsewhere)) == []


async def test_little_more_is_read_than_fits() -> None:
    """A thousand large publications are not read to show two of them; small ones are read in two steps."""
    large, small = Log([400] * 1_000), Log([1] * 12)
    for log in (large, small):
        await read_oldest(log, OPEN, 0, 1_000)
        await read_newest(log, OPEN, 0, log.position(OPEN))
    assert large.count <= 12
    assert small.reads <= 6
