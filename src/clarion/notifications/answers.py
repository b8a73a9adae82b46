"""What a run needs before it can go on, and gets from the store or from outside: counts of throttles, places in digests, data.

Counts and places are taken in the transaction that writes the run, so that a run that is repeated is not counted twice; what came of it
stands in the run's state, and the run is due again at once. Data is fetched while nobody else waits for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from clarion.errors import ClarionError
from clarion.ids import Ids
from clarion.notifications.collecting import Comer, as_found, opened, place
from clarion.notifications.prepared import nothing, prepare
from clarion.notifications.rendering import Renderer, Unrenderable, Wish
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.definition import Digest, Http, Step, Throttle, Workflow
from clarion.notifications.workflows.moves import (
    Answered,
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
from clarion.outbound import Outbound
from clarion.storage import batches as sql
from clarion.storage.store import Tx

FETCH_S: Final = 15.0
FETCH_BYTES: Final = 256 * 1024
FETCH_TRIES: Final = 3
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


def wants_data(workflow: Workflow, state: State) -> bool:
    """Whether a run waits for something to be fetched."""
    return state.is_blocked and isinstance(workflow.steps[state.at].act, Http)


class Fetched(Struct, frozen=True):
    """What a fetch gave: an event, or None: it is to be tried again."""

    event: Answered | None
    error: str


class Fetcher:
    """Fetches data for later steps.

    Args:
        outbound: The guarded door to the outside.
        renderer: Fills in the URL, the headers and the body.
    """

    def __init__(self, outbound: Outbound, renderer: Renderer) -> None:
        self._outbound, self._renderer = outbound, renderer

    async def fetch(self, step: Step, facts: Mapping[str, Any], *, is_last: bool) -> Fetched:
        """Call out once.

        Args:
            step: Says where to.
            facts: For its templates.
            is_last: After this, what failed is final.
        """
        assert isinstance(step.act, Http)
        act = step.act
        try:
            given = await self._render(act, facts)
            body = b"" if given["body"] is None else msgspec.json.encode(given["body"])
            answer = await self._outbound.request(
                act.method,
                given["url"],
                headers={"content-type": "application/json", **given["headers"]}
                if body
                else given["headers"],
                body=body,
                deadline_s=FETCH_S,
                max_bytes=FETCH_BYTES,
            )
        except Unrenderable as exc:
            return Fetched(Answered({}, str(exc)), str(exc))
        except ClarionError as exc:
            return self._failed({}, f"{exc.code}: {exc}", is_last=is_last or exc.retry == "never")
        facts_then = {"status": answer.status, "body": _json(answer.body)}
        if answer.status < 300:
            return Fetched(Answered(facts_then), "")
        is_final = is_last or (answer.status < 500 and answer.status != 429)
        return self._failed(facts_then, f"answered {answer.status}", is_last=is_final)

    async def _render(self, act: Http, facts: Mapping[str, Any]) -> dict[str, Any]:
        content = {"url": act.url, "headers": act.headers or {}, "body": act.body}
        [given] = await self._renderer.render([Wish(prepare(content, nothing, 0), facts)])
        if isinstance(given, Unrenderable):
            raise given
        return given

    def _failed(self, facts: Mapping[str, Any], error: str, *, is_last: bool) -> Fetched:
        return Fetched(Answered(facts, error) if is_last else None, error)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return None


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
