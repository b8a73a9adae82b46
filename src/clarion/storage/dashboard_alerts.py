"""Alerts of dashboards: rows and statements."""

from msgspec import Struct

from clarion.storage.store import Sql


class AlertRow(Struct, frozen=True):
    """What has become of one."""

    widget: str
    alert: str
    pulled: int
    state: str
    since_ms: int


class Whose(Struct, frozen=True):
    """A dashboard."""

    tenant: str
    dashboard: str


_ROW = "widget, alert, pulled, state, since_ms"
_ONE = "tenant = :tenant AND dashboard = :dashboard AND widget = :widget AND alert = :alert"

OF = Sql(
    f"SELECT {_ROW} FROM dashboard_alert WHERE tenant = :tenant AND dashboard = :dashboard {{for_update}}",
    AlertRow,
)

HOLD = Sql(f"SELECT {_ROW} FROM dashboard_alert WHERE {_ONE} {{for_update}}", AlertRow)

# One that is there keeps its state.
ADD = Sql(
    """INSERT INTO dashboard_alert (tenant, dashboard, widget, alert, pulled, state, since_ms)
       VALUES (:tenant, :dashboard, :widget, :alert, :pulled, 'ok', 0)
       ON CONFLICT (tenant, dashboard, widget, alert) DO UPDATE SET pulled = excluded.pulled"""
)

CHANGE = Sql(f"UPDATE dashboard_alert SET state = :state, since_ms = :since_ms WHERE {_ONE}")

REMOVE = Sql(f"DELETE FROM dashboard_alert WHERE {_ONE}")

REMOVE_ALL = Sql("DELETE FROM dashboard_alert WHERE tenant = :tenant AND dashboard = :dashboard")

# Behind one of them, in their order.
PULLED = Sql(
    """SELECT DISTINCT tenant, dashboard FROM dashboard_alert
       WHERE pulled = 1 AND (tenant > :tenant OR (tenant = :tenant AND dashboard > :dashboard))
       ORDER BY tenant, dashboard LIMIT :n""",
    Whose,
)
