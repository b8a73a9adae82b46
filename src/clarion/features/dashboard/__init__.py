"""Dashboards: widgets whose numbers, charts and tables are given or fetched once, and shown to everybody who watches."""

from clarion.features.dashboard.alerts import JOB as ALERT_JOB
from clarion.features.dashboard.dashboards import Dashboards
from clarion.features.dashboard.definition import (
    DASHBOARD_ID,
    WIDGET_ID,
    Alert,
    Bar,
    Column,
    Definition,
    Gauge,
    Line,
    Note,
    Place,
    Series,
    Source,
    Stat,
    Status,
    Table,
    Widget,
    alerts_of,
    viewed,
)
from clarion.features.dashboard.definitions import Dashboard
from clarion.features.dashboard.sources import Asked
from clarion.features.dashboard.widgets import Resolution

__all__ = [
    "ALERT_JOB",
    "DASHBOARD_ID",
    "WIDGET_ID",
    "Alert",
    "Asked",
    "Bar",
    "Column",
    "Dashboard",
    "Dashboards",
    "Definition",
    "Gauge",
    "Line",
    "Note",
    "Place",
    "Resolution",
    "Series",
    "Source",
    "Stat",
    "Status",
    "Table",
    "Widget",
    "alerts_of",
    "viewed",
]
