"""Rows that are too many for one transaction go slice by slice."""

from pathlib import Path

from clarion.clock import SystemClock
from clarion.storage import blocks, open_store
from clarion.storage.slices import in_slices, total


async def test_a_slice_has_so_many_rows_and_the_last_one_fewer(tmp_path: Path) -> None:
    """Five rows in slices of two: 2, 2, 1; and of what is not too old nothing goes."""
    store = await open_store(data_dir=tmp_path, clock=SystemClock())
    try:
        for n, until_ms in enumerate([1, 2, 3, 4, 5, 60]):
            of = {"tenant": "default", "id": f"u{n}", "reason": ""}
            async with store.transaction() as tx:
                await tx.fetch(blocks.PUT, **of, until_ms=until_ms, now_ms=0)
        slices = in_slices(store, blocks.PURGE, 2, now_ms=50)
        assert [count async for count in slices] == [2, 2, 1]
        assert await total(in_slices(store, blocks.PURGE, 2, now_ms=50)) == 0
        assert await total(in_slices(store, blocks.PURGE, 1, now_ms=60)) == 1
    finally:
        await store.close()
