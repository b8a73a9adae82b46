"""Parking: what was claimed of a trigger that is paused stands still until that is resumed."""

from collections.abc import Sequence
from typing import Protocol

from clarion.clock import Clock
from clarion.storage import triggers as sql
from clarion.storage.sends import PARKED_MS
from clarion.storage.store import Sql, Store


class Row(Protocol):
    """A run or a message that was claimed."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def token(self) -> int | None: ...  # noqa: D102


async def park(
    store: Store, clock: Clock, tenant: str, trigger: str, statement: Sql[None], rows: Sequence[Row]
) -> None:
    """Give rows of a trigger back, until it is resumed; at once, if it was resumed meanwhile.

    Args:
        store: Where they are.
        clock: The time.
        tenant: Whose.
        trigger: Whose rows.
        statement: `storage.sends.PARK_RUN` or `PARK_MESSAGE`.
        rows: What was claimed.
    """
    async with store.transaction() as tx:
        # Held, so that who resumes it wakes these, too, or comes before.
        held = await tx.fetch(sql.HOLD, tenant=tenant, id=trigger)
        run_ms = PARKED_MS if held and held[0].hold else clock.now_ms()
        for row in rows:
            await tx.execute(statement, tenant=tenant, id=row.id, token=row.token, run_ms=run_ms)
