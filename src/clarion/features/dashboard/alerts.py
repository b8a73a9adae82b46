"""Alerts: a number that passes a threshold is told once, and again only after it was back where the alert is over.

Whenever a widget has changed, its numbers are compared with what the item says of its alerts; where the two contradict each other, the row in
the database decides, and a job beside it hands the trigger on: both are one commit, so a crossing is neither lost nor told twice, whatever dies, and what
fires still does after a restart. The trigger's key names the crossing.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import NotFound, PeerError, ServerError
from clarion.features.dashboard.board import Boards
from clarion.features.dashboard.definition import KIND, Alert, Widget, alerts_of
from clarion.features.dashboard.widgets import ALERTS, number_of
from clarion.ids import digest
from clarion.jobs import Job, Queue
from clarion.storage import Store
from clarion.storage import dashboard_alerts as sql
from clarion.storage.jobs import ENQUEUE
from clarion.telemetry import dashboard_alerts, get_logger, spawn
from clarion.topics.kinds import Topic
from clarion.topics.triggers import Trigger, Triggers

_log = get_logger(__name__)

JOB: Final = "dashboard_alert"
AGAIN_S: Final = 1.0  # until it is looked again, where the store was away
Side = Literal["broken", "between", "over"]


class Crossing(Struct, frozen=True):
    """What a job hands on: one crossing."""

    dashboard: str
    widget: str
    alert: str
    since_ms: int
    number: float


def side(alert: Alert, number: float) -> Side:
    """Where a number is: beyond the threshold, back where the alert is over, or in between, where all stays as it is."""
    sign = -1 if alert.above is None else 1
    if sign * number > sign * alert.threshold:
        return "broken"
    return "over" if sign * number <= sign * alert.over else "between"


def contradicts(alert: Alert, number: float, known: Mapping[str, Any] | None) -> bool:
    """Whether a number says something else of an alert than what is known of it (`{state, since}`; None: it is over)."""
    where = side(alert, number)
    if known is None:
        return where == "broken"
    return where == "over" or (where == "between" and known["state"] == "pending")


class Alerts:
    """The alerts of every tenant's dashboards.

    Args:
        store: Keeps what has become of them.
        boards: Have the numbers, and show what has become of alerts.
        queue: Keeps what is to be handed on.
        triggers: Takes it.
        clock: When.
    """

    def __init__(
        self, store: Store, boards: Boards, queue: Queue, triggers: Triggers, clock: Clock
    ) -> None:
        self._store = store
        self._boards = boards
        self._queue = queue
        self._triggers = triggers
        self._clock = clock
        # Widgets that have changed, until they were looked at.
        self._changed: dict[tuple[Topic, str], None] = {}
        self._judging: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Look no more: after a start the next number is compared."""
        self._changed.clear()
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.gather(self._judging, return_exceptions=True)

    def changed(self, topic: Topic, widget: Widget) -> None:
        """A widget has changed."""
        if not alerts_of(widget):
            return
        self._changed[topic, widget.id] = None
        if self._judging is None:
            self._judging = spawn(self._judge_all(), name="dashboards: alerts")

    async def hand(self, job: Job) -> None:
        """Tell of a crossing: the handler of `JOB`.

        Raises:
            ServerError: Not now.
        """
        said: Crossing = job.read(Crossing)
        topic = Topic(job.tenant, KIND, said.dashboard)
        where = {"tenant": job.tenant, "dashboard": said.dashboard, "widget": said.widget, "alert": said.alert}  # fmt: skip
        async with self._store.transaction() as tx:
            rows = await tx.fetch(sql.HOLD, **where)
            # Its wait was called off, another crossing has come since, or nobody wants to know any more.
            if not rows or rows[0].since_ms != said.since_ms:
                return
            if rows[0].state == "pending":
                await tx.execute(sql.CHANGE, **where, state="firing", since_ms=said.since_ms)
        if rows[0].state != "ok":
            about = {said.alert: {"state": "firing", "since": said.since_ms}}
            await self._show(topic, said.widget, about)
        try:
            found = (await self._boards.definition(topic)).find(said.widget)
            for alert in [] if found is None else alerts_of(found):
                if alert.id == said.alert:
                    await self._triggers.hand(_trigger(topic, said, alert))
        except PeerError as exc:
            dashboard_alerts.labels("refused").inc()
            _log.warning("an alert cannot be handed on", error=exc.code, alert=said.alert)
        else:
            dashboard_alerts.labels("handed").inc()

    # ── judging ──
    async def _judge_all(self) -> None:
        try:
            while self._changed:
                topic, id = next(iter(self._changed))
                del self._changed[topic, id]
                try:
                    await self._judge(topic, id)
                except PeerError as exc:
                    _log.info("alerts not judged", error=exc.code)
                except ServerError as exc:
                    _log.warning("alerts cannot be judged now", error=exc.code)
                    self._changed.setdefault((topic, id))
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._judging = None

    async def _judge(self, topic: Topic, id: str) -> None:
        found = await self._boards.look(topic, id)
        if found is None:
            return
        widget, state = found
        known = state.get(ALERTS)
        told: dict[str, Any] = {}
        for alert in alerts_of(widget):
            number = number_of(widget, state, alert.of)
            if number is None:
                continue
            # Nobody has looked since the start: the row knows.
            if known is None or contradicts(alert, number, known.get(alert.id)):
                told[alert.id] = await self._decide(topic, id, alert, number)
        if told:
            await self._show(topic, id, told)

    async def _decide(
        self, topic: Topic, widget: str, alert: Alert, number: float
    ) -> dict[str, Any] | None:
        """What becomes of an alert by a number: `{state, since}`, None where it is over."""
        where = {"tenant": topic.tenant, "dashboard": topic.name, "widget": widget, "alert": alert.id}  # fmt: skip
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            rows = await tx.fetch(sql.HOLD, **where)
            if not rows:
                raise NotFound("there is no such alert")
            row = rows[0]
            after = _after(row.state, side(alert, number), alert)
            if after == row.state:
                return _about(row.state, row.since_ms)
            # It rises, so that each crossing has a name of its own, whatever clocks say; a wait that is called off gives its name up.
            since_ms = max(now_ms, row.since_ms + 1) if row.state != "firing" else row.since_ms
            await tx.execute(sql.CHANGE, **where, state=after, since_ms=since_ms)
            if row.state == "ok":
                crossing = Crossing(topic.name, widget, alert.id, since_ms, number)
                job = self._queue.job(
                    JOB,
                    crossing,
                    tenant=topic.tenant,
                    id=_key(crossing),
                    run_ms=since_ms + int(alert.for_s * 1000),
                )
                await tx.apply(ENQUEUE, [job])
        self._queue.notify()
        return _about(after, since_ms)

    async def _show(self, topic: Topic, widget: str, about: Mapping[str, Any]) -> None:
        """Show viewers what has become of alerts."""
        try:
            await self._boards.give(topic, widget, ALERTS, about, "")
        except NotFound:
            return  # it is gone meanwhile, or begins anew: nothing to be shown


def _after(state: str, where: Side, alert: Alert) -> str:
    if state == "ok":
        return "ok" if where != "broken" else "pending" if alert.for_s else "firing"
    if state == "pending":
        return "pending" if where == "broken" else "ok"
    return "ok" if where == "over" else "firing"


def _about(state: str, since_ms: int) -> dict[str, Any] | None:
    return None if state == "ok" else {"state": state, "since": since_ms}


def _key(crossing: Crossing) -> str:
    name = digest(f"{crossing.dashboard}/{crossing.widget}/{crossing.alert}")[:32]
    return f"dashboard-{name}-{crossing.since_ms}"


def example_of(topic: Topic, widget: Widget, alert: Alert) -> Trigger:
    """What an alert would hand on."""
    return _trigger(topic, Crossing(topic.name, widget.id, alert.id, 0, alert.threshold), alert)


def _trigger(topic: Topic, said: Crossing, alert: Alert) -> Trigger:
    about = {
        "id": said.dashboard,
        "widget": said.widget,
        "alert": said.alert,
        "since": said.since_ms,
        "number": said.number,
    }
    return Trigger(topic.tenant, KIND, _key(said), alert.trigger, about)
