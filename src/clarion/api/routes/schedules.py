"""`/v1/schedules`: workflows that are triggered at a time, once or again and again."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.etags import IfMatch, Preconditions, require_match
from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.repeats import Idempotency
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import Conflict, IdempotencyConflict, InProgress, NotFound, Stale, TooMany
from clarion.notifications.engine import Engine
from clarion.notifications.schedules.schedules import SHOWN, Matches
from clarion.notifications.schedules.shapes import (
    OccurrencePage,
    Schedule,
    ScheduleDefinition,
    ScheduleId,
    SchedulePage,
    Upcoming,
)
from clarion.notifications.trigger_shapes import CreateTrigger, TriggerAccepted
from clarion.notifications.workflows.when import Repeats, When

_READ, _SEND = Right("workflows:read"), Right("notifications:send")

Count = Annotated[int, Meta(ge=0, le=100, description="So many of its next occurrences")]


class SchedulePath(Struct, frozen=True):
    """Names a schedule."""

    schedule: ScheduleId


class ScheduleQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is told of it."""

    next: Count = SHOWN


class SchedulesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which schedules."""

    workflow: Annotated[str, Meta(max_length=64, description="Of this workflow")] = ""
    state: Literal["active", "paused", "ended", "cancelled"] | UnsetType = UNSET
    after: Annotated[str, Meta(max_length=100, description="Behind this name")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Schedules of a page")] = 50


class OccurrencesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which occurrences."""

    before: Annotated[str, Meta(max_length=36, description="Older than this one: its id")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Occurrences of a page")] = 50


class Pausing(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it pauses."""

    paused: bool


class PreviewSchedule(Struct, frozen=True, forbid_unknown_fields=True):
    """When it would come round."""

    when: When
    count: Annotated[int, Meta(ge=1, le=100)] = 10


class SchedulePreview(Struct, frozen=True):
    """Its next occurrences."""

    next: list[Upcoming]


WEEKLY = When(repeats=Repeats("weekly", at="09:00", days=["mon"], zone="Europe/Berlin"))


def add(api: Api, engine: Engine) -> None:
    """Open the doors of schedules."""
    _changes(api, engine)
    _reads(api, engine)


def _changes(api: Api, engine: Engine) -> None:
    schedules = engine.schedules

    @api.route(
        "PUT",
        "/v1/schedules/{schedule}",
        right=_SEND,
        limit=PerCaller(),
        errors=(*WRITES, Conflict, Stale, TooMany),
        example=ScheduleDefinition(CreateTrigger("report", everyone=True), WEEKLY, missed="skip"),
    )
    async def put_schedule(
        caller: Principal, path: SchedulePath, body: ScheduleDefinition, headers: Preconditions
    ) -> Reply[Schedule]:
        """Keep a schedule, or change one: the same again changes nothing, so that it may be put whenever an application is deployed.

        One that is changed with the same `when` goes on where it is; with another, from now on. What is paused stays paused.
        """
        found = await schedules.put(
            caller,
            path.schedule,
            body,
            lambda there: headers.check(None if there is None else there.etag),
        )
        return Reply(found)

    @api.route(
        "PATCH",
        "/v1/schedules/{schedule}",
        right=_SEND,
        limit=PerCaller(),
        errors=(*WRITES, NotFound, Conflict, Stale),
        example=Pausing(True),
    )
    async def pause_schedule(
        caller: Principal, path: SchedulePath, body: Pausing, headers: IfMatch
    ) -> Schedule:
        """Pause a schedule, or resume it: with its next occurrence from now on; those of the pause are left out."""
        to = schedules.pause if body.paused else schedules.resume
        return await to(caller.tenant, path.schedule, _matches(headers))

    @api.route(
        "DELETE",
        "/v1/schedules/{schedule}",
        right=_SEND,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound, Stale),
    )
    async def cancel_schedule(caller: Principal, path: SchedulePath, headers: IfMatch) -> None:
        """Call a schedule off: when the answer is there, nothing more of it is triggered. What was triggered goes on."""
        await schedules.cancel(caller.tenant, path.schedule, _matches(headers))

    @api.route(
        "POST",
        "/v1/schedules/{schedule}/run",
        right=_SEND,
        limit=PerCaller(),
        status=202,
        errors=(*WRITES, NotFound, Conflict, IdempotencyConflict, InProgress),
    )
    async def run_schedule(
        caller: Principal, path: SchedulePath, headers: Idempotency
    ) -> TriggerAccepted:
        """Trigger it now, once, beside its occurrences; also one that is paused."""
        return await schedules.run(caller, path.schedule, headers.key)


def _reads(api: Api, engine: Engine) -> None:
    schedules = engine.schedules

    @api.route("GET", "/v1/schedules", right=_READ, limit=PerCaller(), errors=READS)
    async def list_schedules(caller: Principal, query: SchedulesQuery) -> SchedulePage:
        """Schedules in the order of their names, each with its next occurrence."""
        state = "" if query.state is UNSET else query.state
        return await schedules.page(
            caller.tenant, query.after, query.limit, workflow=query.workflow, state=state
        )

    @api.route(
        "GET",
        "/v1/schedules/{schedule}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_schedule(caller: Principal, path: SchedulePath, query: ScheduleQuery) -> Schedule:
        """A schedule, with its next occurrences."""
        return await schedules.find(caller.tenant, path.schedule, query.next)

    @api.route(
        "GET",
        "/v1/schedules/{schedule}/occurrences",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def list_occurrences(
        caller: Principal, path: SchedulePath, query: OccurrencesQuery
    ) -> OccurrencePage:
        """What became of its occurrences, the newest first, each with the trigger that it made."""
        return await schedules.occurrences(caller.tenant, path.schedule, query.before, query.limit)

    @api.route(
        "POST",
        "/v1/schedule-previews",
        right=_READ,
        takes_key=False,
        limit=PerCaller(),
        errors=READS,
        example=PreviewSchedule(WEEKLY),
    )
    async def preview_schedule(caller: Principal, body: PreviewSchedule) -> SchedulePreview:
        """When something would come round, before it is kept."""
        return SchedulePreview(schedules.preview(body.when, body.count))


def _matches(headers: IfMatch) -> Matches:
    def check(found: Schedule | None) -> None:
        if headers.if_match is UNSET:
            return
        if found is None:
            raise Stale("there is no such schedule")
        require_match(headers.if_match, found.etag)

    return check
