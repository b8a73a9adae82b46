"""What a run needs before it can go on, and gets from the store: counts of throttles, places in digests.

They are taken in the transaction that writes the run, so that a run that is repeated is not counted twice; what came of it stands in the
run's state, and the run is due again at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from clarion.ids import Ids
from clarion.notifications.collecting import Comer, as_found, opened, place
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.definition import Digest, Throttle, Workflow
from clarion.notifications.workflows.moves import (
    Closed,
    Collect,
    Count,
    Counted,
    Due,
    Event,
    Next,
    Spend,
    State,
)
from clarion.storage import batches as sql
from clarion.storage.store import Tx

ITEMS: Final = 50  # of a digest that templates are given: its run keeps them, and nobody reads more


class Asking(Protocol):
    """A run that asks: what the transaction writes of it may still be changed."""

    state: State
    status: str
    run_ms: int | None

    @property
    def tenant(self) -> str: ...  # noqa: D102
    @property
    def run(self) -> str: ...  # noqa: D102
    @property
    def usr(self) -> str: ...  # noqa: D102
    @property
    def workflow(self) -> Workflow: ...  # noqa: D102
    @property
    def priority(self) -> int: ...  # noqa: D102
    @property
    def next(self) -> Next: ...  # noqa: D102


async def take_places(tx: Tx, asking: Sequence[Asking], ids: Ids, now_ms: int) -> None:
    """Count in those that come to a throttle, and put into digests those that come to one."""
    counting = [each for each in asking if isinstance(each.next, Count)]
    if counting:
        hits: list[sql.Hits] = await tx.apply(sql.HIT, [_hit(each, now_ms) for each in counting])
        for hit in hits:
            _leave(counting[hit.n - 1], {"hits": hit.hits}, now_ms)
    await _spend(tx, [each for each in asking if isinstance(each.next, Spend)], now_ms)
    collecting = [each for each in asking if isinstance(each.next, Collect)]
    if not collecting:
        return
    comers = [_comer(each, ids, now_ms) for each in collecting]
    batches = [opened(each) for each in comers]
    found: list[sql.Opened] = await tx.apply(sql.OPEN, batches)
    placed = place(comers, [as_found(*each) for each in zip(batches, found, strict=True)])
    await tx.apply(sql.KEEP, placed.batches)
    if placed.items:
        await tx.apply(sql.ADD_ITEMS, placed.items)
    for each, batch in zip(collecting, placed.places, strict=True):
        if batch.lead == each.run:
            _leave(each, {"batch": batch.id, "is_lead": True}, now_ms)
        else:
            _leave(each, {**_left(each), "batch": batch.id}, None)
            each.status = "collected"


async def _spend(tx: Tx, asking: Sequence[Asking], now_ms: int) -> None:
    """Count messages in at the caps that hold for them."""
    rows: list[tuple[Asking, str, sql.Hit]] = []
    for each in asking:
        assert isinstance(each.next, Spend), "it asks to be counted"
        rows += [
            (each, key, sql.Hit(each.tenant, f"{each.usr}:{key}", now_ms + span_ms, now_ms))
            for key, span_ms in each.next.spans.items()
        ]
    if not rows:
        return
    hits: list[sql.Hits] = await tx.apply(sql.HIT, [row for _, _, row in rows])
    for hit in hits:
        each, key, _ = rows[hit.n - 1]
        left = _left(each)
        counted = {**left.get("counted", {}), key: [hit.hits, hit.ends_ms]}
        _leave(each, {**left, "counted": counted}, now_ms)


def event_of(workflow: Workflow, state: State, payload: Mapping[str, Any], actor: str) -> Event:
    """What has come for a run that is due."""
    if not state.is_blocked:
        return Due()
    step = workflow.steps[state.at]
    left = state.left.get(step.id, {})
    match step.act:
        case Throttle(limit=limit) if "hits" in left:
            return Counted(left["hits"] <= limit, left["hits"])
        case Digest() if left.get("is_lead"):
            return Closed(digest_facts([(payload, actor)]))
        case _:
            return Due()


def digest_facts(items: Sequence[tuple[Mapping[str, Any], str]]) -> dict[str, Any]:
    """What later steps know of a digest: `count`, `items` (the first payloads, in the order in which they came), `actors` (each once)."""
    actors = list(dict.fromkeys(actor for _, actor in items if actor))
    shown = [payload for payload, _ in items[:ITEMS]]
    return {"count": len(items), "items": shown, "actors": actors[:ITEMS]}


def _left(each: Asking) -> Mapping[str, Any]:
    return each.state.left.get(each.workflow.steps[each.state.at].id, {})


def _leave(each: Asking, left: Mapping[str, Any], run_ms: int | None) -> None:
    step = each.workflow.steps[each.state.at]
    each.state = State(each.state.at, {**each.state.left, step.id: left}, True)
    each.run_ms = run_ms


def _hit(each: Asking, now_ms: int) -> sql.Hit:
    act = each.workflow.steps[each.state.at].act
    assert isinstance(act, Throttle) and isinstance(each.next, Count), "it asks to be counted"  # noqa: PT018
    ends_ms = now_ms + durations.seconds(act.per) * 1000
    return sql.Hit(each.tenant, f"{each.usr}:{each.next.key}", ends_ms, now_ms)


def _comer(each: Asking, ids: Ids, now_ms: int) -> Comer:
    step = each.workflow.steps[each.state.at]
    assert isinstance(each.next, Collect), "it asks for a place"
    # What is over a cap is collected as a plain digest is.
    act = step.act if isinstance(step.act, Digest) else Digest()
    look_back_ms = 0 if act.look_back is None else durations.seconds(act.look_back) * 1000
    return Comer(
        tenant=each.tenant,
        run=each.run,
        batch=ids.ordered(now_ms),
        workflow=each.workflow.key,
        step=step.id,
        usr=each.usr,
        key=each.next.key,
        lead="unless followed" if look_back_ms else "always" if act.lead else "no",
        alone_ms=now_ms + look_back_ms if look_back_ms else each.next.closes_ms,
        closes_ms=each.next.closes_ms,
        max_ms=each.next.max_ms,
        is_sliding=act.sliding,
        limit=act.limit,
        now_ms=now_ms,
        priority=each.priority,
    )
