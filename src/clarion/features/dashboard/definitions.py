"""Definitions of dashboards in the database: made, changed by whoever has read them, read, listed, removed."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from clarion.clock import Clock, as_datetime, as_ms
from clarion.errors import Conflict, Fault, Invalid, NotFound, TooLarge, TooMany
from clarion.features.dashboard.definition import Definition, alerts_of, check, forgetting
from clarion.settings import Limits
from clarion.storage import Store, Tx
from clarion.storage import dashboard_alerts as alerts_sql
from clarion.storage import dashboards as sql
from clarion.telemetry import limit_exceeded

TRIES: Final = 3
AT_ONCE: Final = 500  # rows of one question
BYTES: Final = 256 << 10
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Definition, float_hook=float).decode

Matches = Callable[["Dashboard | None"], None]
"""Raises where what is there is not what the caller expects (`If-Match`)."""


Check = Callable[[str, str, Definition], Awaitable[None]]
"""Raises where a definition cannot be served here; with the tenant, and the dashboard's name."""


class Dashboard(Struct, frozen=True):
    """A dashboard.

    Args:
        id: Its name in its tenant; its topic is `dashboard:<id>`.
        version: Rises by one with each change.
        definition: What it shows.
        created_at: When it was made.
        changed_at: When it was changed last.
    """

    id: str
    version: int
    definition: Definition
    created_at: datetime
    changed_at: datetime

    @property
    def etag(self) -> str:
        """Names this state of it; one that takes the name of another has other ones."""
        return f'"{as_ms(self.created_at):x}-{self.version}"'


class Definitions:
    """The dashboards of every tenant.

    Args:
        store: Where they are.
        limits: `dashboards`, `dashboard_widgets`.
        clock: Time of changes.
        check: Refuses definitions that cannot be served here.
    """

    def __init__(self, store: Store, limits: Limits, clock: Clock, check: Check) -> None:
        self._store = store
        self._check = check
        self._limits = limits
        self._clock = clock

    async def find(self, tenant: str, id: str) -> Dashboard:
        """A dashboard.

        Raises:
            NotFound: There is none of that name.
        """
        rows = await self._store.fetch(sql.FIND, tenant=tenant, id=id)
        if not rows:
            raise NotFound("there is no such dashboard")
        return _dashboard(rows[0])

    async def list(self, tenant: str, after: str, limit: int) -> tuple[Sequence[Dashboard], bool]:
        """Dashboards in the order of their ids, and whether there are more."""
        rows = await self._store.fetch(sql.LIST, tenant=tenant, after=after, n=limit + 1)
        return [_dashboard(row) for row in rows[:limit]], len(rows) > limit

    async def always_pulled(self) -> Sequence[tuple[str, str]]:
        """Tenants and ids of the dashboards with alerts about what is fetched."""
        found: list[tuple[str, str]] = []
        tenant = dashboard = ""
        while rows := await self._store.fetch(
            alerts_sql.PULLED, tenant=tenant, dashboard=dashboard, n=AT_ONCE
        ):
            found += [(row.tenant, row.dashboard) for row in rows]
            tenant, dashboard = found[-1]
        return found

    async def put(
        self, tenant: str, id: str, given: Definition, matches: Matches
    ) -> tuple[Dashboard, Dashboard | None]:
        """Make a dashboard, or change one; what it is now and what it was.

        Raises:
            Invalid, TooLarge: See `definition.check`; it cannot be served here; or it is too long as a text.
            TooMany: The tenant has `limits.dashboards`.
            Stale: It is not what `matches` expects.
        """
        text = _text(given)
        check(given, self._limits.dashboard_widgets)
        await self._check(tenant, id, given)
        if len(text) > BYTES:
            raise TooLarge("a dashboard's definition is too long", limit=BYTES, size=len(text))
        for left in reversed(range(TRIES)):
            try:
                async with self._store.transaction() as tx:
                    return await self._put(tx, tenant, id, text, matches)
            except Conflict as exc:
                # Two made it at once; the second one changes it.
                if not left or exc.__cause__ is None:
                    raise
        raise AssertionError("the last try raises")

    async def forget(self, tenant: str, user: str) -> Sequence[Dashboard]:
        """Take somebody who is to be forgotten out of all alerts; one that tells nobody else is removed. Returns the dashboards that this has changed."""
        changed, after = [], ""
        while rows := await self._store.fetch(
            sql.NAMING, tenant=tenant, pattern=f'%"{user}"%', after=after, n=AT_ONCE
        ):
            for row in rows:
                now = await self._forget(tenant, row.id, user)
                if now is not None:
                    changed.append(now)
            after = rows[-1].id
        return changed

    async def _forget(self, tenant: str, id: str, user: str) -> Dashboard | None:
        async with self._store.transaction() as tx:
            for row in await tx.fetch(sql.HOLD, tenant=tenant, id=id):
                definition = _dashboard(row).definition
                without = forgetting(definition, user)
                if without != definition:
                    now, _ = await self._put(tx, tenant, id, _text(without), _whatever)
                    return now
        return None

    async def remove(self, tenant: str, id: str, matches: Matches) -> None:
        """Remove a dashboard.

        Raises:
            NotFound: There is none of that name.
            Stale: It is not what `matches` expects.
        """
        async with self._store.transaction() as tx:
            rows = await tx.fetch(sql.HOLD, tenant=tenant, id=id)
            if not rows:
                raise NotFound("there is no such dashboard")
            matches(_dashboard(rows[0]))
            await tx.execute(sql.REMOVE, tenant=tenant, id=id)
            await tx.execute(alerts_sql.REMOVE_ALL, tenant=tenant, dashboard=id)

    async def _put(
        self, tx: Tx, tenant: str, id: str, text: str, matches: Matches
    ) -> tuple[Dashboard, Dashboard | None]:
        now_ms = self._clock.now_ms()
        rows = await tx.fetch(sql.HOLD, tenant=tenant, id=id)
        before = _dashboard(rows[0]) if rows else None
        matches(before)
        if before is not None and _text(before.definition) == text:
            return before, before
        if before is None:
            [had] = await tx.fetch(sql.COUNT, tenant=tenant)
            if had.count >= self._limits.dashboards:
                limit_exceeded.labels("dashboards").inc()
                most = self._limits.dashboards
                raise TooMany(
                    f"a tenant has at most {most} dashboards (limits.dashboards)", limit=most
                )
            await tx.execute(sql.ADD, tenant=tenant, id=id, definition=text, now_ms=now_ms)
        else:
            version = before.version + 1
            await tx.execute(
                sql.CHANGE, tenant=tenant, id=id, version=version, definition=text, now_ms=now_ms
            )
        [row] = await tx.fetch(sql.FIND, tenant=tenant, id=id)
        now = _dashboard(row)
        await self._keep_alerts(tx, tenant, now)
        return now, before

    async def _keep_alerts(self, tx: Tx, tenant: str, dashboard: Dashboard) -> None:
        """Give each alert a row; those that are not there any more lose theirs."""
        where = {"tenant": tenant, "dashboard": dashboard.id}
        alerts = {
            (widget.id, alert.id): int(widget.source is not UNSET)
            for widget in dashboard.definition.widgets
            for alert in alerts_of(widget)
        }
        for row in await tx.fetch(alerts_sql.OF, **where):
            if (row.widget, row.alert) not in alerts:
                await tx.execute(alerts_sql.REMOVE, **where, widget=row.widget, alert=row.alert)
        for (widget, alert), pulled in alerts.items():
            await tx.execute(alerts_sql.ADD, **where, widget=widget, alert=alert, pulled=pulled)


def _whatever(_: Dashboard | None) -> None:
    """Expects nothing of what is there."""


def _text(given: Definition) -> str:
    """A definition as it is kept: the same one is the same text, and what a program wrote is judged as what comes over HTTP.

    Raises:
        Invalid: A member is of the wrong form.
    """
    try:
        return _encode(_decode(_encode(given))).decode()
    except msgspec.ValidationError as exc:
        raise Invalid(faults=[Fault.of(exc, Definition)]) from exc


def _dashboard(row: sql.DashboardRow) -> Dashboard:
    return Dashboard(
        row.id,
        row.version,
        _decode(row.definition),
        as_datetime(row.created_ms),
        as_datetime(row.changed_ms),
    )
