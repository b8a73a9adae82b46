"""Who comes to a digest, and in which batch they are: decided with values, while the transaction holds the batches that are open.

A batch takes as many as its limit says; the next to come opens another. So however many come in one moment, none is too large.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from clarion.storage.batches import Batch, NewItem, Opened

Lead = Literal["no", "always", "unless followed"]


class Comer(Struct, frozen=True):
    """A run that comes to a digest.

    `batch` is the id of the one that it opens, if it does. With `lead` whoever opens it goes on at once and is not in it: `alone_ms` is
    when it closes if nobody follows; `unless followed`: it is open until the follower's `closes_ms` once somebody does.
    """

    tenant: str
    run: str
    batch: str
    workflow: str
    step: str
    usr: str
    key: str
    lead: Lead
    alone_ms: int
    closes_ms: int
    max_ms: int
    is_sliding: bool
    limit: int
    now_ms: int
    priority: int


class Placed(Struct, frozen=True):
    """Where everybody is: each comer's batch, all batches as they are then, in the order of their opening, and who is new in them."""

    places: list[Batch]
    batches: list[Batch]
    items: list[NewItem]


def opened(comer: Comer) -> Batch:
    """The batch that somebody opens, before anybody is in it."""
    leads = comer.lead != "no"
    return Batch(
        comer.tenant,
        comer.batch,
        comer.workflow,
        comer.step,
        comer.usr,
        comer.key,
        "open",
        comer.run if leads else "",
        0,
        comer.now_ms,
        comer.max_ms,
        comer.alone_ms if leads else comer.closes_ms,
        comer.priority,
    )


def as_found(mine: Batch, found: Opened) -> Batch:
    """The batch that is open for somebody, who would have opened `mine`."""
    return msgspec.structs.replace(
        mine,
        id=found.id,
        lead=found.lead,
        size=found.size,
        opened_ms=found.opened_ms,
        max_ms=found.max_ms,
        run_ms=found.run_ms,
        priority=found.priority,
    )


def place(comers: Sequence[Comer], batches: Sequence[Batch]) -> Placed:
    """Put each comer, in their order, into the batch that is open for them then; `batches` are those that are when the first comes."""
    latest = {batch.id: batch for batch in batches}
    following: dict[str, str] = {}
    """Batch that was open at first → the one that is open now."""
    places: list[str] = []
    items: list[NewItem] = []
    for comer, first in zip(comers, batches, strict=True):
        batch = latest[following.get(first.id, first.id)]
        if batch.state == "closed" or batch.size >= comer.limit:
            latest[batch.id] = _full(batch, comer.now_ms)
            batch = opened(comer)
            following[first.id] = batch.id
        if batch.lead != comer.run:
            batch = _joined(batch, comer)
            items.append(NewItem(batch.tenant, batch.id, batch.size, comer.run, comer.now_ms))
        latest[batch.id] = batch
        places.append(batch.id)
    return Placed([latest[id] for id in places], list(latest.values()), items)


def _joined(batch: Batch, comer: Comer) -> Batch:
    """The batch with one more in it."""
    run_ms = batch.run_ms
    if comer.lead == "unless followed" and not batch.size:
        run_ms = comer.closes_ms
    elif comer.is_sliding:
        run_ms = min(comer.closes_ms, batch.max_ms)
    batch = msgspec.structs.replace(batch, size=batch.size + 1, run_ms=run_ms)
    return _full(batch, comer.now_ms) if batch.size >= comer.limit else batch


def _full(batch: Batch, now_ms: int) -> Batch:
    return msgspec.structs.replace(batch, state="closed", run_ms=min(batch.run_ms, now_ms))
