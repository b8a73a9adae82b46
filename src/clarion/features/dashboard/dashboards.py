"""Dashboards as the doors and an application use them: what they show, and what their widgets are given.

await app.dashboards.put("sales", Definition("Sales", [Stat(id="visitors")]))
await app.dashboards.set("sales", "visitors", 42)
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.auth.principal import DEFAULT_TENANT, Principal
from clarion.clock import Clock
from clarion.errors import Fault, Invalid, NotFound, TooLarge
from clarion.features.dashboard.alerts import Alerts, example_of
from clarion.features.dashboard.board import Boards, Shown
from clarion.features.dashboard.definition import DEFINITION, KIND, Definition, Series, alerts_of
from clarion.features.dashboard.definitions import Dashboard, Definitions, Matches
from clarion.features.dashboard.downsampling import fewer
from clarion.features.dashboard.pulling import Pulling
from clarion.features.dashboard.rolls import Columns
from clarion.features.dashboard.sources import F, Sources
from clarion.features.dashboard.values import wrong
from clarion.features.dashboard.widgets import Bounds, Resolution, points_of
from clarion.ids import Ids
from clarion.jobs import Leases, Queue
from clarion.outbound import Outbound
from clarion.protocol.codes import CloseCode
from clarion.settings import Dashboards as Settings
from clarion.settings import Limits
from clarion.storage import Store
from clarion.telemetry import limit_exceeded
from clarion.topics import Call, Granted, Kind, Publish, Published, Topic, TopicEngine, Topics
from clarion.topics.arguments import check_name
from clarion.topics.triggers import Triggers

EVENTS: Final = ("set", "append", "increment")


def _whatever(_: Dashboard | None) -> None:
    """Expects nothing of what is there."""


class Dashboards:
    """All dashboards.

    Args:
        store: Where definitions are.
        topics: Where data are.
        engine: Ends subscriptions to dashboards that are gone.
        settings: How much is kept, and the tick.
        limits: `dashboard*`, `publication_bytes`.
        triggers: Takes what alerts want people to be told of.
        queue: Keeps it until it is taken.
        outbound: Asks the addresses that widgets are fetched from.
        node: Names this process in leases.
        clock: The time.
        ids: Spreads what would happen at once.
    """

    def __init__(
        self,
        store: Store,
        topics: Topics,
        engine: TopicEngine,
        settings: Settings,
        limits: Limits,
        *,
        triggers: Triggers,
        queue: Queue,
        outbound: Outbound,
        node: str,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._sources = Sources(
            outbound, timeout_s=settings.source_timeout_s, most_bytes=limits.publication_bytes
        )
        self._triggers = triggers
        self.definitions = Definitions(store, limits, clock, self._check)
        self._engine = engine
        self._limits = limits
        kept = topics.store()
        kind = Kind(
            name=KIND,
            rights={"subscribe": Granted(), "publish": Granted()},
            log=Shown(kept),
            durability="recoverable",
            log_size=settings.log_size,
            log_age_s=settings.log_age_s,
            shape="map",
            keys=limits.dashboard_widgets + 1,
            open=self._open,
            publish=self._publish,
            queues=True,
            watched=self._watched,
        )
        topics.kinds.add(kind)
        points: Mapping[Resolution, int] = {
            "raw": settings.points_raw, "10s": settings.points_10s, "1m": settings.points_1m,
        }  # fmt: skip
        self._boards = Boards(
            topics,
            kept,
            msgspec.structs.replace(kind, log=kept),
            self.definitions,
            Bounds(limits.dashboard_rows, points),
            conflate_s=settings.conflate_s,
            keep_s=settings.keep_s,
            clock=clock,
        )
        self._leases = Leases(store, clock, node=node)
        self._pulling = Pulling(
            self._boards,
            self.definitions,
            self._sources,
            self._leases,
            settings,
            clock=clock,
            ids=ids,
        )
        self._alerts = Alerts(store, self._boards, queue, triggers, clock)
        self._boards.on_change(self._alerts.changed)
        self.alert = self._alerts.hand
        """Tells of an alert: handles jobs of the kind `alerts.JOB`."""

    def start(self) -> None:
        """Begin to ask sources."""
        self._pulling.start()

    async def close(self) -> None:
        """Ask no more, and write what waits."""
        await self._pulling.close()
        await self._boards.close()
        await self._alerts.close()

    async def purge(self) -> AsyncIterator[int]:
        """Remove what nodes have left behind that are long gone. See `jobs.purging.Slices`."""
        yield await self._leases.forget()

    def source(self, name: str) -> Callable[[F], F]:
        """Make an async function known that widgets are fetched from (`"source": {"function": name}`); see `sources.Function`.

            @app.dashboards.source("orders_today")
            async def orders_today(asked):
                return await database.count_orders(asked.params["shop"])

        Raises:
            UsageError: The name is taken, or none; or the function is not async.
        """

        def add(function: F) -> F:
            self._sources.add(name, function)
            return function

        return add

    # ── what they show ──
    async def put(
        self,
        id: str,
        given: Definition,
        tenant: str = DEFAULT_TENANT,
        *,
        matches: Matches = _whatever,
    ) -> Dashboard:
        """Make a dashboard, or change one; whoever watches sees it at once, and widgets keep what they have if it is of the same kind.

        Raises:
            Invalid, TooLarge: It is no dashboard.
            TooMany: The tenant has `limits.dashboards`.
            Stale: It is not what `matches` expects.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        now, before = await self.definitions.put(tenant, id, given, matches)
        if before is None or now.version != before.version:
            if before is not None:
                await self._boards.redefine(_topic(tenant, id), now)
            self._pulling.look_at(_topic(tenant, id))
        return now

    async def find(self, id: str, tenant: str = DEFAULT_TENANT) -> Dashboard:
        """A dashboard.

        Raises:
            NotFound: There is none.
        """
        return await self.definitions.find(tenant, id)

    async def list(
        self, tenant: str = DEFAULT_TENANT, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[Dashboard], bool]:
        """Dashboards in the order of their ids, and whether there are more."""
        return await self.definitions.list(tenant, after, limit)

    async def remove(
        self, id: str, tenant: str = DEFAULT_TENANT, *, matches: Matches = _whatever
    ) -> None:
        """Remove a dashboard and what its widgets have; the subscriptions of this node end (3500), those of others see `definition` removed.

        Raises:
            NotFound: There is none.
            Stale: It is not what `matches` expects.
            Unavailable, OutcomeUnknown: Of the store.
        """
        await self.definitions.remove(tenant, id, matches)
        topic = _topic(tenant, id)
        await self._boards.forget(topic)
        self._engine.end_of_topic(topic, CloseCode.REVOKED)
        self._pulling.look_at(topic)

    async def erase(self, tenant: str, user: str, _at_ms: int) -> None:
        """Tell somebody of no alert any more, who is to be forgotten; an alert that tells nobody else is removed.

        Raises:
            StorageFull, Unavailable, OutcomeUnknown, Conflict: Not now.
        """
        for now in await self.definitions.forget(tenant, user):
            await self._boards.redefine(_topic(tenant, now.id), now)
            self._pulling.look_at(_topic(tenant, now.id))

    # ── what widgets are given ──
    async def set(self, id: str, widget: str, data: Any, tenant: str = DEFAULT_TENANT) -> Published:
        """Set what a widget shows; answered when it is in the topic.

        Raises:
            NotFound, Invalid, TooLarge: It cannot be given to that widget.
            Overloaded, Unavailable, Conflict: Not now.
        """
        return await self._give(_topic(tenant, id), Publish(key=widget, data=data))

    async def append(
        self, id: str, widget: str, data: Any, tenant: str = DEFAULT_TENANT
    ) -> Published:
        """Add points to a chart: `{t: [ms, …], v: [[…], …]}`, without `t`: one of now.

        Raises:
            NotFound, Invalid, TooLarge, Overloaded, Unavailable, Conflict: As `set`.
        """
        return await self._give(_topic(tenant, id), Publish(event="append", key=widget, data=data))

    async def increment(
        self, id: str, widget: str, by: Any = 1, tenant: str = DEFAULT_TENANT, *, once: str = ""
    ) -> Published:
        """Add to a number, or to bars by their names. The same `once` again within five minutes adds nothing.

        Raises:
            NotFound, Invalid, TooLarge, Overloaded, Unavailable, Conflict: As `set`.
        """
        given = Publish(event="increment", key=widget, data=by, id=once)
        return await self._give(_topic(tenant, id), given)

    async def points(
        self,
        id: str,
        widget: str,
        tenant: str = DEFAULT_TENANT,
        *,
        resolution: Resolution = "raw",
        most: int = 300,
    ) -> tuple[Sequence[int], Columns]:
        """What is kept of a chart's points beside those that it shows, at most `most` of them, chosen so that the lines keep their shape.

        Raises:
            NotFound: There is no such chart.
        """
        topic = _topic(tenant, id)
        definition = await self._boards.definition(topic)
        if not isinstance(definition.find(widget), Series):
            raise NotFound("this dashboard has no such chart")
        [state] = await self._boards.states(topic, [widget])
        if state is None:
            return [], []
        t, v = points_of(state, resolution)
        return fewer(t, v, most)

    # ── the kind ──
    async def _open(
        self, topic: Topic, principal: Principal | None, params: Mapping[str, Any]
    ) -> Topic:
        if params:
            raise Invalid(faults=[Fault("/params", "a dashboard takes none")])
        await self._boards.definition(topic)
        return topic

    def _watched(self, topic: Topic, is_watched: bool) -> None:
        self._pulling.watched(topic, is_watched)

    async def _publish(self, call: Call, given: Publish) -> Published:
        return await self._give(call.topic, given)

    async def _give(self, topic: Topic, given: Publish) -> Published:
        if given.key is None or given.key == DEFINITION:
            raise wrong("/key", "names the widget that this is for")
        check_name("key", given.key, self._limits.name_bytes)
        if given.event not in EVENTS:
            raise wrong("/event", f"expected one of {', '.join(EVENTS)}")
        if given.version or given.only or given.ttl_s or given.owned or given.tags:
            raise Invalid(
                faults=[Fault("", "version, if, ttl_s, owned and tags mean nothing to a widget")]
            )
        self._check_size(given.data)
        return await self._boards.give(topic, given.key, given.event, given.data, given.id)

    async def _check(self, tenant: str, id: str, given: Definition) -> None:
        """Refuse what cannot be served here.

        Raises:
            Invalid: A source that is not there; a trigger that asks for what can never be done.
        """
        self._sources.check(given)
        for i, widget in enumerate(given.widgets):
            for k, alert in enumerate(alerts_of(widget)):
                try:
                    await self._triggers.check(example_of(_topic(tenant, id), widget, alert))
                except Invalid as exc:
                    at = f"/widgets/{i}/alerts/{k}/trigger"
                    faults = [Fault(f"{at}{each.pointer}", each.detail) for each in exc.faults]
                    raise Invalid(exc.message, faults=faults) from exc

    def _check_size(self, data: Any) -> None:
        limit = self._limits.publication_bytes
        try:
            size = len(msgspec.json.encode(data))
        except (TypeError, ValueError, RecursionError) as exc:
            raise wrong("/data", "not JSON") from exc
        if size > limit:
            limit_exceeded.labels("publication_bytes").inc()
            raise TooLarge(
                f"a publication's data has at most {limit} bytes (limits.publication_bytes)",
                limit=limit,
                size=size,
            )


def _topic(tenant: str, id: str) -> Topic:
    return Topic(tenant, KIND, id)
