"""Who is in which batch, however many come."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.notifications.collecting import Comer, Lead, opened, place
from clarion.storage.batches import Batch


def comer(n: int, lead: Lead, limit: int, *, is_sliding: bool = False) -> Comer:
    return Comer(
        "t", f"r{n}", f"b{n}", "w", "s", "ann", "", lead, 50, 90 + n, 95, is_sliding, limit, n, 2
    )


@given(
    st.lists(st.integers(2, 4), min_size=1, max_size=30),
    st.sampled_from(["no", "always", "unless followed"]),
    st.booleans(),
    st.integers(0, 4),
)
def test_batches_are_filled_in_turn(
    limits: list[int], lead: Lead, is_sliding: bool, size: int
) -> None:
    """Nobody is left out or twice in, only the last is open, and none has more than the limit of who came last into it."""
    comers = [comer(n, lead, limit, is_sliding=is_sliding) for n, limit in enumerate(limits)]
    first = Batch("t", "b", "w", "s", "ann", "", "open", "", size, 0, 95, 90)
    placed = place(comers, [first] * len(comers))
    by_id = {batch.id: batch for batch in placed.batches}
    ahead = {batch.lead for batch in placed.batches if batch.lead}
    assert [item.run for item in placed.items] == [
        each.run for each in comers if each.run not in ahead
    ]
    for comer_, batch in zip(comers, placed.places, strict=True):
        assert batch == by_id[batch.id]
        if comer_.run not in ahead:
            [mine] = [item for item in placed.items if item.run == comer_.run]
            assert (mine.batch, mine.place <= comer_.limit) == (batch.id, True)
    for batch in placed.batches:
        places = [item.place for item in placed.items if item.batch == batch.id]
        before = size if batch.id == "b" else 0
        assert places == list(range(before + 1, batch.size + 1))
    assert all(batch.state == "closed" for batch in placed.batches[:-1])


def test_a_full_batch_is_due_at_once_and_another_is_open() -> None:
    """It says when it was full; who comes after it may lead the next."""
    comers = [comer(n, "always", 2) for n in range(4)]
    placed = place(comers, [opened(comers[0])] * 4)
    assert [(each.lead, each.state, each.size, each.run_ms) for each in placed.batches] == [
        ("r0", "closed", 2, 2),
        ("r3", "open", 0, 50),
    ]
