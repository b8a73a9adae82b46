"""A short form of `make swap`."""

from pathlib import Path

from tests.swap.moving import ORDER, move


async def test_servers_of_node_are_replaced_and_put_back_without_a_loss(tmp_path: Path) -> None:
    """One at a time, under load: who was on them is the same socket on the next, and each acknowledged event came to each member of its room, once."""
    outcome = await move(tmp_path, 60, 60, 1, lambda _: None, settle_s=0.5, order=ORDER[:3])
    ours = outcome.missing, outcome.doubled["clarion"], outcome.not_recovered["clarion"]
    assert ours == (0, 0, 0), outcome
    assert all(outcome.by[kind] > 20 for kind in ("node", "clarion")), outcome
