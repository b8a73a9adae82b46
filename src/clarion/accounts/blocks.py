"""Blocking users: whoever is blocked is put out at once, and neither comes in nor calls, whatever their credential says."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from clarion.accounts.revocations import Revocations
from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime, maybe_datetime
from clarion.errors import NotFound
from clarion.storage import blocks as rows
from clarion.storage.slices import in_slices
from clarion.storage.store import Store
from clarion.telemetry import spawn

LONGEST_S = 10 * 366 * 86_400
_PURGED_AT_ONCE = 500  # rows


class NewBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long, and why."""

    for_s: (
        Annotated[
            float,
            Meta(gt=0, le=LONGEST_S, description="Seconds from now; null or absent: for ever"),
        ]
        | None
    ) = None
    reason: Annotated[
        str, Meta(max_length=255, description="For the people of the back office")
    ] = ""


class Block(Struct, frozen=True):
    """A user who may not come in. `until` is null: for ever."""

    user: str
    until: datetime | None
    reason: str
    blocked_at: datetime


class Blocks:
    """Who is blocked.

    Args:
        store: Where that is kept.
        revocations: Knows it at every check of a credential.
        clock: Time now.
    """

    def __init__(self, store: Store, revocations: Revocations, clock: Clock) -> None:
        self._store = store
        self._revocations = revocations
        self._clock = clock

    async def load(self) -> None:
        """Learn of who was blocked, or let in again, before this start or elsewhere."""
        self._revocations.blocks_are_read()
        stored: dict[tuple[str, str], int | None] = {}
        after_tenant = after_id = ""
        while True:
            page = await self._store.fetch(
                rows.ACTIVE,
                after_tenant=after_tenant,
                after_id=after_id,
                now_ms=self._clock.now_ms(),
            )
            stored |= {(row.tenant, row.id): row.until_ms for row in page}
            if not page:
                break
            after_tenant, after_id = page[-1].tenant, page[-1].id
        self._revocations.replace_blocks(stored)

    async def put(self, caller: Principal, user: str, new: NewBlock) -> Block:
        """Block a user of the caller's tenant, and end what they have opened; one who is blocked is from now on as given.

        Whether there is such a user is not asked: they may be the application's own.
        """
        now_ms = self._clock.now_ms()
        until_ms = None if new.for_s is None else now_ms + max(1, int(new.for_s * 1000))

        async def write() -> rows.BlockRow:
            async with self._store.transaction() as tx:
                [row] = await tx.fetch(
                    rows.PUT,
                    tenant=caller.tenant,
                    id=user,
                    until_ms=until_ms,
                    reason=new.reason,
                    now_ms=now_ms,
                )
            self._revocations.block(row.tenant, row.id, row.until_ms)
            return row

        # Not to be cancelled half-way: the rows would say that they are blocked, and their sockets would live on.
        return _block(await asyncio.shield(spawn(write(), name="block user")))

    async def find(self, caller: Principal, user: str) -> Block:
        """The block of a user of the caller's tenant.

        Raises:
            NotFound: They are not blocked.
        """
        found = await self._store.fetch(
            rows.FIND, tenant=caller.tenant, id=user, now_ms=self._clock.now_ms()
        )
        if not found:
            raise NotFound("this user is not blocked")
        return _block(found[0])

    async def remove(self, caller: Principal, user: str) -> None:
        """Let a user of the caller's tenant in again; nothing happens to one who is not blocked."""

        async def write() -> None:
            async with self._store.transaction() as tx:
                await tx.execute(rows.REMOVE, tenant=caller.tenant, id=user)
            self._revocations.unblock(caller.tenant, user)

        await asyncio.shield(spawn(write(), name="unblock user"))

    def purge(self) -> AsyncIterator[int]:
        """Forget blocks that are over, see `jobs.purging.Slices`."""
        return in_slices(self._store, rows.PURGE, _PURGED_AT_ONCE, now_ms=self._clock.now_ms())


def _block(row: rows.BlockRow) -> Block:
    until = maybe_datetime(row.until_ms)
    return Block(row.id, until, row.reason, as_datetime(row.created_ms))
