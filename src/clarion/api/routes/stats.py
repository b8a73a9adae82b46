"""`/v1/stats`: what became of messages, in numbers."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from clarion.api.layer import READS, Api
from clarion.api.limits import PerCaller
from clarion.api.routes.messages import Moment, moment
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import TooCostly
from clarion.notifications.sight.letters import Word
from clarion.notifications.sight.stats import Asked, By, Counts, Interval, Stats, What

_READ: Final = Right("messages:read")


class StatsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which numbers."""

    what: Annotated[
        What, Meta(description="Messages, attempts to hand them to providers, or runs that failed")
    ] = "message"
    from_: Annotated[
        Moment, Meta(description="From the hour of this time; the last 24 by default")
    ] = field(default="", name="from")
    to: Annotated[
        Moment, Meta(description="Until the end of the hour of this time; now by default")
    ] = ""
    interval: Annotated[
        Interval, Meta(description="For each hour (14 days at most), day (400), or all together")
    ] = "all"
    by: Annotated[By, Meta(description="For each of these")] = ""
    workflow: Annotated[Word, Meta(description="Of this workflow")] = ""
    channel: Annotated[Word, Meta(description="Of this channel")] = ""
    provider: Annotated[Word, Meta(description="Of this provider")] = ""
    category: Annotated[Word, Meta(description="Of this category")] = ""


def add(api: Api, counts: Counts) -> None:
    """Open the door of numbers."""

    @api.route("GET", "/v1/stats", right=_READ, limit=PerCaller(), errors=(*READS, TooCostly))
    async def get_stats(caller: Principal, query: StatsQuery) -> Stats:
        """Counts, rates and how long it took, of messages or of attempts; how many runs failed. What is committed is counted.

        A run has failed whose last step has, and one that cannot go on. Single ones: `GET /v1/runs?status=failed`.
        """
        given = msgspec.structs.asdict(query)
        since, until = moment(given.pop("from_")), moment(given.pop("to"))
        return await counts.find(caller.tenant, Asked(**given, since=since, until=until))
