"""Statements that change too many rows for one transaction: slice by slice, so that others write in between."""

from collections.abc import AsyncIterator
from typing import Any

from clarion.storage.store import Param, Sql, Store


async def in_slices(
    store: Store, statement: Sql[Any], n: int, **params: Param
) -> AsyncIterator[int]:
    """Run a statement again and again, each time in a transaction of its own, until it changes fewer rows than it may.

    Args:
        store: The database.
        statement: Changes at most `:n` rows, and not the same ones again.
        n: Rows of a slice.
        params: Its other parameters.

    Yields:
        After each transaction, how many rows it changed.
    """
    count = n
    while count == n:
        async with store.transaction() as tx:
            count = await tx.execute(statement, **params, n=n)
        yield count


async def total(counts: AsyncIterator[int]) -> int:
    """Let all slices be done, without a rest in between; returns how many rows that were."""
    return sum([count async for count in counts])
