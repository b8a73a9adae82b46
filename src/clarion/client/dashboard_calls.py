"""Dashboards over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query


class Dashboard(msgspec.Struct, frozen=True):
    """A dashboard; its topic is `dashboard:<id>`. `definition` is as docs/explanation/dashboards.md has it."""

    id: str
    version: int
    definition: dict[str, Any]
    created_at: str
    changed_at: str


class DashboardPage(msgspec.Struct, frozen=True):
    """A page of them."""

    items: list[Dashboard]
    more: bool

    @property
    def next(self) -> str | None:
        """`after` of the page behind; None: there is none."""
        return self.items[-1].id if self.more else None


class Points(msgspec.Struct, frozen=True):
    """Points of a chart in columns: times (ms since 1970), and of each line a number for each of them, or None."""

    t: list[int]
    v: list[list[float | None]]


def put_dashboard(
    id: str, widgets: Sequence[Mapping[str, Any]], title: str, columns: int
) -> Call[Dashboard]:
    """`PUT /v1/dashboards/{id}`."""
    body = {"title": title, "widgets": list(widgets), "columns": columns}
    return Call("PUT", _at(id), Dashboard, body)


def dashboard(id: str) -> Call[Dashboard]:
    """`GET /v1/dashboards/{id}`."""
    return Call("GET", _at(id), Dashboard)


def dashboards(after: str | None) -> Call[DashboardPage]:
    """`GET /v1/dashboards`."""
    return Call("GET", f"/v1/dashboards{query(after=after)}", DashboardPage)


def delete_dashboard(id: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/dashboards/{id}`."""
    return Call("DELETE", _at(id), dict)


def chart_points(id: str, widget: str, resolution: str, points: int) -> Call[Points]:
    """`GET /v1/dashboards/{id}/widgets/{widget}/points`."""
    asked = query(resolution=resolution, points=points)
    return Call("GET", f"{_at(id)}/{place('widgets', widget)}/points{asked}", Points)


def _at(id: str) -> str:
    return f"/v1/{place('dashboards', id)}"
