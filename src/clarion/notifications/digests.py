"""Digests: when one closes, the first of its runs goes on with what all have brought."""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import ClarionError, NotFound
from clarion.jobs.turns import Turns, first_ms, take
from clarion.notifications.answers import digest_facts
from clarion.notifications.deciding import asked_of
from clarion.notifications.going import Going, held_of, merged, record_of
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.evaluate import why_muted
from clarion.notifications.runs import LEASE_S, SLICE, Runs
from clarion.notifications.workflows.moves import Closed, Record
from clarion.storage import batches as batch_sql
from clarion.storage import runs as sql
from clarion.storage.store import Store, Tx
from clarion.telemetry import get_logger

_log = get_logger(__name__)

TRIES: Final = 5  # to close one that changes meanwhile


class Digest(Struct, frozen=True):
    """A digest that is open."""

    id: str
    step: str
    key: str
    """Whatever the step's `key` came to; empty: it has none."""
    size: int
    """How many are in it, those that were called off among them."""
    opened_at: datetime
    closes_at: datetime
    """As far as is known: with `sliding` each that comes puts it off."""


class DigestPage(Struct, frozen=True):
    """Digests by id; `next` is the cursor of what follows."""

    items: list[Digest]
    next: str | None


class _Changed(Exception):
    """Somebody has joined a digest, or was called off, since its runs were read."""


class Digests:
    """Closes digests.

    Args:
        store: Where they are.
        runs: Carries on those that go on.
        book: Knows what people want.
        clock: The time.
        node: Names this process in leases.
    """

    def __init__(self, store: Store, runs: Runs, book: Book, *, clock: Clock, node: str) -> None:
        self._store, self._runs, self._clock, self._node = store, runs, clock, node
        self._book = book
        self._turns = Turns()

    # ── for people who look ──
    async def open_of(
        self, tenant: str, workflow: str, user: str, *, after: str, limit: int
    ) -> DigestPage:
        """A recipient's open digests of a workflow."""
        rows = await self._store.fetch(
            batch_sql.OPEN_OF,
            tenant=tenant,
            workflow=workflow,
            usr=user,
            after=after,
            most=limit + 1,
        )
        items = [
            Digest(
                row.id,
                row.step,
                row.batch_key,
                row.size,
                as_datetime(row.opened_ms),
                as_datetime(row.run_ms),
            )
            for row in rows[:limit]
        ]
        return DigestPage(items, items[-1].id if len(rows) > limit else None)

    async def release(self, tenant: str, id: str) -> None:
        """Let a digest close now, whatever it waits for.

        Raises:
            NotFound: None of this id is open.
        """
        async with self._store.transaction() as tx:
            found = await tx.execute(
                batch_sql.CLOSE_NOW, tenant=tenant, id=id, now_ms=self._clock.now_ms()
            )
        if not found:
            raise NotFound("there is no such digest: it may have closed")

    # ── closing ──
    async def due_ms(self) -> int | None:
        """When the next digest closes; None: none is open."""
        return first_ms(await self._store.fetch(batch_sql.WAITING))

    async def close(self, limit: int = SLICE) -> int:
        """Close digests whose time has come: of each the first run goes on, with what all have brought. Returns how many."""
        claimed = await take(
            self._store,
            self._turns,
            await self._store.fetch(batch_sql.WAITING),
            batch_sql.CLAIM,
            now_ms=self._clock.now_ms(),
            lease_s=LEASE_S,
            node=self._node,
            limit=limit,
        )
        for batch in claimed:
            try:
                await self._close(batch)
            except ClarionError as exc:
                # Its lease ends, and it is closed then: nobody can say who is there, perhaps. The others do not wait for that.
                _log.warning("digest could not be closed yet", batch=batch.id, code=exc.code)
        return len(claimed)

    async def _close(self, batch: batch_sql.ClaimedBatch) -> None:
        for _ in range(TRIES):
            try:
                await self._close_as_read(batch)
            except _Changed:
                continue  # it is read anew
            return
        _log.warning("digest changes all the time", batch=batch.id)  # its lease ends

    async def _close_as_read(self, batch: batch_sql.ClaimedBatch) -> None:
        items = await self._store.fetch(batch_sql.ITEMS, tenant=batch.tenant, batch=batch.id)
        goings = await self._members(batch, items)
        await self._book.give(goings)
        now_ms = self._clock.now_ms()
        muted = {
            each.id: why_muted(asked_of(each, "", None), each.wishes, now_ms) for each in goings
        }
        kept = [
            each
            for each in goings
            if not muted[each.id] and _is_wanted(each, batch.step, each.facts())
        ]
        carrier = (kept or goings)[0] if goings else None
        if carrier is not None:
            carrier.event = Closed(digest_facts([(each.payload, each.actor) for each in kept]))
            if not kept:
                carrier = None
        carried = [] if carrier is None else [carrier]
        rest = [each for each in goings if each is not carrier]
        into = "nothing was left of it" if carrier is None else f"went on with {carrier.id}"

        async def within(tx: Tx) -> Container[str]:
            closed = await tx.execute(
                batch_sql.CLOSE, tenant=batch.tenant, id=batch.id, token=batch.token
            )
            if not closed:
                return ()
            if not await self._is_as_read(tx, batch, goings):
                raise _Changed
            if rest:
                await tx.apply(sql.SETTLE, [merged(each) for each in rest])
                records = [
                    record_of(each, Record(batch.step, "passed", muted[each.id] or into), now_ms)
                    for each in rest
                ]
                await tx.apply(sql.ADD_RECORDS, records)
            return {each.id for each in carried}

        await self._runs.carry(carried, within)

    async def _is_as_read(
        self, tx: Tx, batch: batch_sql.ClaimedBatch, goings: Sequence[Going]
    ) -> bool:
        """Whether nobody has joined it or was called off since; from here on nobody does, or is."""
        held = await tx.apply(sql.HOLD, [held_of(each) for each in goings])
        [there] = await tx.fetch(batch_sql.COUNT, tenant=batch.tenant, batch=batch.id)
        return len(held) == there.count == len(goings)

    async def _members(
        self, batch: batch_sql.ClaimedBatch, items: Sequence[batch_sql.Item]
    ) -> list[Going]:
        claimed = [sql.ClaimedRun(batch.tenant, each.run, each.token, 0) for each in items]
        return await self._runs.load(claimed)


def _is_wanted(going: Going, step: str, facts: Mapping[str, Any]) -> bool:
    """Whether a digest keeps what this run has brought, now that it closes."""
    keep = going.workflow.steps[going.workflow.index(step)].extra.get("keep")
    return keep is None or keep({**going.state.left, **facts})[0]
