"""Data that runs wait for: fetched from outside, while nobody else waits for it.

So many at a time as `limits.fetches` lets; a run that finds no room comes again soon, and that is no attempt. What fails is tried again with
growing pauses, and after the last time the run goes on with what is known: the step says what went wrong.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import ClarionError, ProtocolError
from clarion.ids import Ids
from clarion.notifications.deciding import pause_ms
from clarion.notifications.going import Going, settlement, unchanged
from clarion.notifications.prepared import nothing, prepare
from clarion.notifications.rendering import Renderer, Unrenderable, Wish
from clarion.notifications.workflows.definition import Http, Step, Workflow
from clarion.notifications.workflows.moves import Answered, State
from clarion.outbound import Outbound
from clarion.protocol import jsontext
from clarion.settings import Limits
from clarion.storage import runs as sql
from clarion.storage.store import Store
from clarion.telemetry import get_logger, limit_exceeded, spawn

_log = get_logger(__name__)

FETCH_S: Final = 15.0
FETCH_BYTES: Final = 256 * 1024
FETCH_TRIES: Final = 3
FULL_S: Final = 3.0  # until a run that found no room to fetch comes again, at most


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
    """What a body says; None: no JSON, or none that could be kept with the run and read again."""
    try:
        found = jsontext.read(body.decode(), jsontext.MAX_DEPTH, FETCH_BYTES)
        msgspec.json.encode(found)  # half of a surrogate pair cannot be written
    except (ProtocolError, UnicodeError):
        return None
    return found


class Fetching:
    """Fetches for runs, several at a time.

    Args:
        store: Where runs are put back.
        fetcher: Calls out.
        limits: `fetches`.
        carry: Carries runs on with what was fetched.
        on_waiting: Called when there are runs that wait.
        clock: The time.
        ids: Jitter.
    """

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        limits: Limits,
        carry: Callable[[Sequence[Going]], Awaitable[None]],
        on_waiting: Callable[[], None],
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._fetcher, self._limits = store, fetcher, limits
        self._carry, self._on_waiting = carry, on_waiting
        self._clock, self._ids = clock, ids
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def begin(self, goings: Sequence[Going]) -> None:
        """Fetch for as many as there is room for; the others come again."""
        free = max(0, self._limits.fetches - len(self._tasks))
        for going in goings[:free]:
            task = spawn(self._fetch(going), name="workflow-fetch")
            self._tasks[task] = None
            task.add_done_callback(self._tasks.pop)
        if late := goings[free:]:
            limit_exceeded.labels("fetches").inc(len(late))
            await self._store.apply(sql.SETTLE, [self._put_back(each) for each in late])

    async def done(self) -> None:
        """Wait until nothing is being fetched."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _put_back(self, going: Going) -> sql.RunSettlement:
        """Nobody was asked, so this was no attempt; spread, so that those who were put back together do not return together."""
        run_ms = self._clock.now_ms() + int(self._ids.uniform(0.5, FULL_S) * 1000)
        back = unchanged(going, run_ms, f"limits.fetches = {self._limits.fetches}")
        back.attempts = going.attempts - 1
        return settlement(back)

    async def _fetch(self, going: Going) -> None:
        step = going.workflow.steps[going.state.at]
        facts = {**going.state.left, **going.facts()}
        try:
            got = await self._fetcher.fetch(step, facts, is_last=going.attempts >= FETCH_TRIES)
            if got.event is not None:
                going.event = got.event
                await self._carry([going])
                return
            row = settlement(
                unchanged(going, self._clock.now_ms() + pause_ms(going, self._ids), got.error)
            )
            await self._store.apply(sql.SETTLE, [row])
            self._on_waiting()
        except ClarionError as exc:
            # Nothing is lost: its lease ends, and somebody fetches again.
            _log.warning("run cannot go on yet", run=going.id, code=exc.code)
