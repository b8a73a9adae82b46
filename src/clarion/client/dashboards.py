"""What both clients say of dashboards. What widgets are given is published: `publish("dashboard:sales", "append", {…}, key="orders")`."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from clarion.client import dashboard_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.dashboard_calls import Dashboard, Points


class DashboardCalls(Calls):
    """The part of `Client` that speaks of dashboards."""

    def put_dashboard(
        self, id: str, widgets: Sequence[Mapping[str, Any]], *, title: str = "", columns: int = 12
    ) -> Dashboard:
        """Make a dashboard, or change one.

        Args:
            id: Letters, digits, `.`, `_`, `-`.
            widgets: What it shows: dicts of `type`, `id` and what the type takes (docs/explanation/dashboards.md).
            title: For people.
            columns: Cells in a row of its grid.
        """
        return self.call(dashboard_calls.put_dashboard(id, widgets, title, columns))

    def dashboard(self, id: str) -> Dashboard:
        """A dashboard."""
        return self.call(dashboard_calls.dashboard(id))

    def dashboards(self) -> Iterator[Dashboard]:
        """All of them, page by page."""
        return self._each(dashboard_calls.dashboards)

    def delete_dashboard(self, id: str) -> None:
        """Remove a dashboard, and what its widgets have."""
        self.call(dashboard_calls.delete_dashboard(id))

    def chart_points(
        self, id: str, widget: str, *, resolution: str = "raw", points: int = 300
    ) -> Points:
        """The points that a chart keeps (`raw`, `10s`, `1m`), at most so many that keep the shape of its lines."""
        return self.call(dashboard_calls.chart_points(id, widget, resolution, points))


class AsyncDashboardCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_dashboard(
        self, id: str, widgets: Sequence[Mapping[str, Any]], *, title: str = "", columns: int = 12
    ) -> Dashboard:
        """As `DashboardCalls.put_dashboard`."""
        return await self.call(dashboard_calls.put_dashboard(id, widgets, title, columns))

    async def dashboard(self, id: str) -> Dashboard:
        """As `DashboardCalls.dashboard`."""
        return await self.call(dashboard_calls.dashboard(id))

    def dashboards(self) -> AsyncIterator[Dashboard]:
        """As `DashboardCalls.dashboards`."""
        return self._each(dashboard_calls.dashboards)

    async def delete_dashboard(self, id: str) -> None:
        """As `DashboardCalls.delete_dashboard`."""
        await self.call(dashboard_calls.delete_dashboard(id))

    async def chart_points(
        self, id: str, widget: str, *, resolution: str = "raw", points: int = 300
    ) -> Points:
        """As `DashboardCalls.chart_points`."""
        return await self.call(dashboard_calls.chart_points(id, widget, resolution, points))
