"""Planted bugs of workflows: of leases, cursors, digests, life cycles, and of who is told what."""

import contextlib
from typing import Any
from unittest.mock import patch

import msgspec

from clarion.errors import ClarionError
from clarion.notifications import answers, collecting
from clarion.notifications.digests import Digests
from clarion.notifications.lanes import Lane
from clarion.notifications.runs import Runs
from clarion.storage import batches as batch_sql
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as run_sql
from clarion.storage.store import Procedure, Sql
from tests.simulation.office import Office
from tests.simulation.sabotage.base import bug


@bug("workflows", since=6)
def held_without_token() -> Any:
    """Whoever has a run in hand writes what came of it, though its lease has passed on, or it was called off."""
    return patch.object(run_sql, "HOLD", _changed(run_sql.HOLD, " AND run.token = r.token", ""))


@bug("workflows", since=6)
def handed_without_token() -> Any:
    """What became of a message is written by whoever comes last: a late no follows a yes."""
    handed = _changed(sent_sql.HANDED, " AND outgoing.token = s.token", "")
    return patch.object(sent_sql, "HANDED", handed)


@bug("workflows", since=7)
def run_claimed_without_lease() -> Any:
    """A run in somebody's hands is still due; the fence hides it, at the price of doing the work twice."""
    text = run_sql.CLAIM.text.replace("run_ms = :until", "run_ms = :now")
    return patch.object(run_sql, "CLAIM", Sql(text, run_sql.CLAIM.result))


@bug("workflows")
def cursor_apart() -> Any:
    """How far a plan has come is committed before the runs that it speaks of."""
    carry = Runs.carry

    async def apart(self: Runs, goings: Any, within: Any = None) -> None:
        if within is not None:
            async with self._store.transaction() as tx:
                if not await within(tx):
                    return
        await carry(self, goings)

    return patch.object(Runs, "carry", apart)


@bug("workflows")
def index_dropped() -> Any:
    """That one digest is open at a time is not the database's to keep."""
    at_conflict = """
            ON CONFLICT (tenant, workflow, step, usr, batch_key) WHERE state = 'open' DO UPDATE SET lease_by = batch.lease_by"""
    opening = _changed(batch_sql.OPEN, at_conflict, "")
    make = Office.__init__

    def without(self: Office, *args: Any, **more: Any) -> None:
        make(self, *args, **more)
        self.db.execute("DROP INDEX batch_open")

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(batch_sql, "OPEN", opening))
    stack.enter_context(patch.object(Office, "__init__", without))
    return stack


@bug("workflows", since=10)
def digest_closed_as_read() -> Any:
    """Who joins a digest, or is called off, while it closes, is not looked for."""

    async def always(self: Digests, tx: Any, batch: Any, goings: Any) -> bool:
        return True

    return patch.object(Digests, "_is_as_read", always)


@bug("workflows")
def leader_collected() -> Any:
    """Who goes ahead of a digest is in it, too."""

    def all_in(comers: Any, batches: Any) -> Any:
        placed = collecting.place(comers, batches)
        items = [
            batch_sql.NewItem(batch.tenant, batch.id, 1_000 + batch.size, each.run, each.now_ms)
            for each, batch in zip(comers, placed.places, strict=True)
            if batch.lead == each.run
        ]
        return msgspec.structs.replace(placed, items=placed.items + items)

    return patch.object(answers, "place", all_in)


@bug("workflows", since=40)
def limit_overlooked() -> Any:
    """A digest that is full takes whoever comes in the same moment."""

    def all_in(comers: Any, batches: Any) -> Any:
        return collecting.place(
            [msgspec.structs.replace(each, limit=1_000) for each in comers], batches
        )

    return patch.object(answers, "place", all_in)


@bug("workflows", since=7)
def wake_lost() -> Any:
    """Who waits for a message is not woken when it is read: right in the end, and late."""

    async def nothing(self: Runs, tenant: str, user: str) -> None:
        return

    return patch.object(Runs, "wake", nothing)


@bug("workflows", since=67)
def tried_again_though_called_off() -> Any:
    """What a provider had when its trigger was called off is tried again."""
    handed = _changed(sent_sql.HANDED, "outgoing.cause <> ''", "outgoing.cause = '?'")
    return patch.object(sent_sql, "HANDED", handed)


@bug("workflows", since=175)
def old_lease_used() -> Any:
    """A message is sent under a lease however old."""
    return patch.object(Lane, "_outlasts", lambda self, until_ms: True)


@bug("workflows", since=120)
def answer_forgotten() -> Any:
    """What a provider said is lost if it cannot be written at once."""

    async def once(self: Lane, row: Any, until_ms: int) -> None:
        write = await self._attempt(row, until_ms)
        if write is not None:
            with contextlib.suppress(ClarionError):
                await write()

    return patch.object(Lane, "_hand", once)


def _changed(procedure: Procedure, old: str, new: str) -> Procedure:
    assert any(old in step.text for step in procedure.steps), f"nothing to sabotage in {procedure}"
    steps = tuple(Sql(step.text.replace(old, new), step.result) for step in procedure.steps)
    return msgspec.structs.replace(procedure, steps=steps)
