"""`/v1/dashboards`: what they show. What their widgets are given is published to their topics: `/v1/topics/dashboard:<id>/publications`.

A back end needs a scope. A user may read a dashboard if their token lets them watch it (`topics: {"dashboard:sales": ["subscribe"]}`).
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.etags import IfMatch, require_match
from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.auth.capabilities import grants
from clarion.auth.principal import Principal
from clarion.auth.rights import ByItem, Right, holds
from clarion.errors import Forbidden, NotFound, Stale, TooMany
from clarion.features.dashboard import (
    DASHBOARD_ID,
    WIDGET_ID,
    Dashboard,
    Dashboards,
    Definition,
    Line,
    Place,
    Resolution,
    Series,
    Stat,
    alerts_of,
    viewed,
)
from clarion.features.dashboard.definitions import Matches

_READ, _WRITE, _SEND = "dashboards:read", Right("dashboards:write"), "notifications:send"


class DashboardPath(Struct, frozen=True):
    """Names a dashboard."""

    id: Annotated[
        str, Meta(pattern=DASHBOARD_ID, description="Letters, digits, `.`, `_`, `-`; at most 100")
    ]


class WidgetPath(Struct, frozen=True):
    """Names a widget."""

    id: Annotated[str, Meta(pattern=DASHBOARD_ID)]
    widget: Annotated[str, Meta(pattern=WIDGET_ID)]


class DashboardsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dashboards."""

    after: Annotated[str, Meta(max_length=100, description="Behind this id")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100, description="Dashboards of a page")] = 100


class DashboardPage(Struct, frozen=True):
    """Dashboards in the order of their ids."""

    items: list[Dashboard]
    more: Annotated[bool, Meta(description="There are further ones, behind the last one's id")]


class PointsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which points."""

    resolution: Annotated[
        Resolution, Meta(description="As they were given, or one for each 10 s or minute")
    ] = "raw"
    points: Annotated[
        int, Meta(ge=3, le=2_000, description="At most so many, that keep the shape of the lines")
    ] = 300


class Points(Struct, frozen=True):
    """Points in columns."""

    t: Annotated[list[int], Meta(description="Times (ms since 1970)")]
    v: Annotated[
        list[list[float | None]], Meta(description="Of each line a number for each time, or null")
    ]


def add(api: Api, dashboards: Dashboards) -> None:
    """Open the doors of dashboards."""

    @api.route("GET", "/v1/dashboards", right=Right(_READ), limit=PerCaller(), errors=READS)
    async def list_dashboards(caller: Principal, query: DashboardsQuery) -> DashboardPage:
        """Page through the tenant's dashboards."""
        after = "" if query.after is UNSET else query.after
        items, more = await dashboards.list(caller.tenant, after=after, limit=query.limit)
        return DashboardPage(list(items), more)

    @api.route(
        "PUT",
        "/v1/dashboards/{id}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, Stale, TooMany),
        example=Definition(
            "Sales",
            [
                Stat(id="visitors", title="Visitors", place=Place(0, 0, 3, 2)),
                Series(id="orders", lines=[Line("web"), Line("shop")], window_s=900),
            ],
        ),
    )
    async def put_dashboard(
        caller: Principal, path: DashboardPath, body: Definition, headers: IfMatch
    ) -> Reply[Dashboard]:
        """Make a dashboard, or change one.

        Whoever watches it sees the change at once. A widget keeps what it has as long as it is of the same type; a chart with another
        window takes what it shows from the points that it keeps. With If-Match a change of what somebody else has changed since is refused.
        Alerts send notifications or run workflows: whoever defines some needs the scope `notifications:send`, too.
        """
        if any(map(alerts_of, body.widgets)) and not holds(caller.scopes, _SEND):
            raise Forbidden(f"alerts need the scope {_SEND}")
        found = await dashboards.put(path.id, body, caller.tenant, matches=_matches(headers))
        return Reply(found, etag=found.etag)

    @api.route(
        "GET",
        "/v1/dashboards/{id}",
        right=ByItem(_READ),
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_dashboard(caller: Principal, path: DashboardPath) -> Reply[Dashboard]:
        """Read what a dashboard shows.

        What its widgets have is the state of its topic: `GET /v1/topics/dashboard:{id}`. Where they are fetched, only a back end is told.
        """
        _check(caller, path.id)
        found = await dashboards.find(path.id, caller.tenant)
        if not holds(caller.scopes, _READ):
            found = msgspec.structs.replace(found, definition=viewed(found.definition))
        return Reply(found, etag=found.etag, headers={"vary": "authorization"})

    @api.route(
        "DELETE",
        "/v1/dashboards/{id}",
        right=_WRITE,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound, Stale),
    )
    async def delete_dashboard(caller: Principal, path: DashboardPath, headers: IfMatch) -> None:
        """Remove a dashboard, and what its widgets have.

        Whoever watches it is told: the subscription ends (3500), or the key `definition` is removed.
        """
        await dashboards.remove(path.id, caller.tenant, matches=_matches(headers))

    @api.route(
        "GET",
        "/v1/dashboards/{id}/widgets/{widget}/points",
        right=ByItem(_READ),
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_points(caller: Principal, path: WidgetPath, query: PointsQuery) -> Points:
        """Read the points that a chart keeps, beside those that it shows.

        Where there are more than `points`, those are chosen that keep the shape of the lines (largest triangle three buckets).
        """
        _check(caller, path.id)
        t, v = await dashboards.points(
            path.id,
            path.widget,
            caller.tenant,
            resolution=query.resolution,
            most=query.points,
        )
        return Points([*t], [[*column] for column in v])


def _check(caller: Principal, id: str) -> None:
    topic = f"dashboard:{id}"
    if not holds(caller.scopes, _READ) and not grants(caller.topics, "subscribe", topic):
        raise Forbidden(f"the token does not grant subscribe on {topic}")


def _matches(headers: IfMatch) -> Matches:
    def check(found: Dashboard | None) -> None:
        if headers.if_match is UNSET:
            return
        if found is None:
            raise Stale("there is no such dashboard")
        require_match(headers.if_match, found.etag)

    return check
