"""Recovery decisions: everything that was missed, or the reason why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.ids import Ids
from clarion.topics.stream import (
    MARK_MODULUS,
    Entry,
    Position,
    Recovered,
    Refused,
    Verdict,
    after,
    compare,
    follow,
    judge,
    recover,
)


def drawn(seed: int, n: int) -> list[int]:
    """Steps as a log draws them, so that two logs have one mark only by chance: sums of small numbers would often meet."""
    ids = Ids.seeded(seed)
    return [ids.mark() for _ in range(n)]


Steps = st.builds(drawn, st.integers(0, 1000), st.integers(0, 30))


def grown(steps: list[int], log: list[Entry] | None = None) -> list[Entry]:
    """A log to which entries were appended that add `steps` to its mark."""
    entries = list(log or ())
    for step in steps:
        prior = entries[-1].mark if entries else 0
        mark = (prior + step) % MARK_MODULUS
        entries.append(Entry(len(entries) + 1, mark, prior, "e", step))
    return entries


def position(log: list[Entry], offset: int, epoch: str = "a") -> Position:
    return Position(epoch, offset, log[offset - 1].mark if offset else 0)


def test_what_was_missed_is_recovered_whole_and_in_order() -> None:
    """Someone who knows 2 of 5 entries gets the other three."""
    log = grown([1, 2, 3, 4, 5])
    found = recover(position(log, 2), position(log, 5), log[2:], 10)
    assert found == Recovered(log[2:], position(log, 5))


def test_who_is_up_to_date_recovers_nothing() -> None:
    log = grown([1, 2])
    assert recover(position(log, 2), position(log, 2), [], 10) == Recovered([], position(log, 2))


def test_an_empty_log_continues_from_its_beginning() -> None:
    """Offset 0 with mark 0 is before the first entry of any log of that epoch."""
    log = grown([7])
    start = Position("a", 0, 0)
    assert recover(start, start, [], 10) == Recovered([], start)
    assert recover(start, position(log, 1), log, 10) == Recovered(log, position(log, 1))


def test_another_epoch_is_told() -> None:
    log = grown([1, 2])
    assert recover(position(log, 1, "b"), position(log, 2), log[1:], 10) == Refused("epoch_changed")


def test_a_trimmed_log_is_too_old() -> None:
    """The entry behind the position is kept no longer."""
    log = grown([1, 2, 3, 4])
    assert recover(position(log, 1), position(log, 4), log[2:], 10) == Refused("too_old")
    assert recover(position(log, 1), position(log, 4), [], 10) == Refused("too_old")


def test_a_hole_is_too_old() -> None:
    """Entries that were removed by age from the middle are missed as much as those from the start."""
    log = grown([1, 2, 3, 4])
    assert recover(position(log, 0), position(log, 4), [log[0], *log[2:]], 10) == Refused("too_old")


def test_a_trimmed_edge_is_checked() -> None:
    """Only the entry behind the position is left to tell that this is another log: its `prior` does."""
    log, other = grown([1, 2, 3]), grown([1, 9, 3])
    assert recover(position(log, 2), position(other, 3), other[2:], 10) == Refused("diverged")


def test_too_many_are_not_sent_one_by_one() -> None:
    log = grown([1] * 5)
    assert recover(position(log, 2), position(log, 5), log[2:4], 2) == Refused("too_many")


def test_too_many_bytes_are_not_sent_one_by_one() -> None:
    """What was cut short is no loss, unless something else is."""
    log = grown([1] * 5)
    since, top = position(log, 1), position(log, 5)
    assert recover(since, top, log[1:3], 9, is_cut=True) == Refused("too_many")
    assert recover(since, top, log[2:3], 9, is_cut=True) == Refused("too_old")
    assert recover(since, top, log[1:3], 9) == Refused("too_old")
    assert isinstance(recover(position(log, 3), position(log, 5), log[3:], 2), Recovered)


def test_a_log_that_lost_its_tail_is_found_out() -> None:
    """Behind the top: offsets that this log never gave."""
    log = grown([1, 2, 3])
    assert recover(position(log, 3), position(log, 2), [], 10) == Refused("diverged")


def test_a_log_that_regrew_to_the_same_length_is_found_out() -> None:
    """Same epoch, same offset, other content: only the mark tells (Redis loses its last second, then goes on)."""
    log = grown([1, 2, 3])
    other = grown([8], log[:2])
    assert recover(position(log, 3), position(other, 3), [], 10) == Refused("diverged")


def test_a_log_that_regrew_further_is_found_out() -> None:
    log = grown([1, 2, 3])
    other = grown([8, 9], log[:2])
    assert recover(position(log, 3), position(other, 4), other[3:], 10) == Refused("diverged")


def test_entries_that_do_not_lead_to_the_top_are_not_believed() -> None:
    """The top says another mark than the entries that lead to it."""
    log = grown([1, 2])
    wrong = Position("a", 2, log[1].mark + 1)
    assert recover(position(log, 0), wrong, log, 10) == Refused("diverged")


def test_entries_are_judged_against_a_position() -> None:
    log = grown([1, 2, 3])
    at = position(log, 1)
    assert judge(at, log[1]) is Verdict.NEXT
    assert judge(at, log[2]) is Verdict.GAP
    assert judge(at, log[0]) is Verdict.OLD
    assert judge(position(log, 3), log[0]) is Verdict.OLD
    assert judge(Position("a", 1, 99), log[0]) is Verdict.DIVERGED
    assert judge(Position("a", 1, 99), log[1]) is Verdict.DIVERGED
    assert after(at, log[1]) == position(log, 2)


def test_following_drops_what_is_known_and_stops_at_a_gap() -> None:
    log = grown([1, 2, 3, 4])
    found = follow(position(log, 1), [log[0], log[1], log[1], log[3]])
    assert found.taken == [log[1]]
    assert found.position == position(log, 2)
    assert found.verdict is Verdict.GAP


def test_a_reader_is_compared_with_its_log() -> None:
    """What arrived while the log was asked is no divergence; a top that lies behind the question is."""
    log, other = grown([1, 2, 3]), grown([1, 9, 3])
    at = [position(log, offset) for offset in range(4)]
    assert compare(at[2], at[2], at[2]) == "ok"
    assert compare(at[2], at[3], at[2]) == "ok"
    assert compare(at[1], at[3], at[2]) == "ok"
    assert compare(at[1], at[1], at[2]) == "behind"
    assert compare(at[2], at[2], at[1]) == "diverged"
    assert compare(at[2], at[2], position(other, 2)) == "diverged"
    assert compare(at[2], at[3], position(log, 3, "b")) == "diverged"


@given(Steps, st.data())
def test_recovery_is_whole_or_refused(steps: list[int], data: st.DataObject) -> None:
    """Whatever the log has lost at its end or its start, and however it grew again: `recovered` is complete and true."""
    log = grown(steps)
    known = data.draw(st.integers(0, len(log)))
    kept = data.draw(st.integers(0, len(log)))
    now = grown(data.draw(Steps), log[:kept])
    first = data.draw(st.integers(0, len(now)))
    limit = data.draw(st.integers(1, 40))
    since, top = position(log, known), position(now, len(now))
    entries = [entry for entry in now[first:] if entry.offset > known][:limit]
    found = recover(since, top, entries, limit)
    same_past = now[:known] == log[:known]
    if isinstance(found, Recovered):
        assert same_past
        assert log[:known] + found.entries == now
    elif same_past and first <= known <= len(now) and len(now) - known <= limit:
        pytest.fail(f"refused though everything is there: {found}")
