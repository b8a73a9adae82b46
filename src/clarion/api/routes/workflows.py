"""`/v1/workflows`, `/v1/triggers`, `/v1/runs`: how notifications unfold, for whom, and what became of each step."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.etags import Preconditions
from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.lines import CSV, NDJSON, Lines
from clarion.api.listing import FormatQuery, streamed
from clarion.api.repeats import Idempotency
from clarion.api.streaming import Stream
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import Conflict, IdempotencyConflict, InProgress, Invalid, Stale
from clarion.notifications.catalog import Kept, Put, WorkflowPage
from clarion.notifications.engine import Engine
from clarion.notifications.history import Run
from clarion.notifications.progress import Job
from clarion.notifications.replaying import Replay
from clarion.notifications.sends import Failure, Report
from clarion.notifications.trigger_shapes import Cancelled, CreateTrigger, Trigger, TriggerAccepted
from clarion.notifications.workflows.definition import Definition, Key
from clarion.patterns import worded

_READ, _WRITE, _SEND = (
    Right("workflows:read"),
    Right("workflows:write"),
    Right("notifications:send"),
)


class WorkflowPath(Struct, frozen=True):
    """Names a workflow."""

    workflow: Key


class VersionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version."""

    version: Annotated[int, Meta(ge=1, description="The current one by default")] | UnsetType = (
        UNSET
    )


class WorkflowsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which workflows."""

    after: Annotated[str, Meta(max_length=64, description="Behind this key")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Workflows of a page")] = 50


class PutQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How to put it."""

    dry_run: Annotated[bool, Meta(description="Check it, and keep nothing")] = False


class Activity(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a workflow may be triggered."""

    active: bool


class IdPath(Struct, frozen=True):
    """Names a trigger or a run."""

    id: Annotated[str, Meta(pattern=worded(r"^[0-9a-f-]{36}$(?!\n)", "an id, as an answer has it"))]


class CancelByKey(Struct, frozen=True, forbid_unknown_fields=True):
    """Which triggers to call off: those that were given this key."""

    cancel_key: Annotated[str, Meta(min_length=1, max_length=255)]


class RunsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which runs."""

    after: Annotated[str, Meta(max_length=128, description="Behind this recipient's")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Runs of a page")] = 50


class RunPage(Struct, frozen=True):
    """Runs of a trigger in the order of their recipients' ids; `next` is the cursor of the page that follows, null on the last one."""

    items: list[Run]
    next: str | None


MENTION = Definition(
    workflow="mention",
    name="Somebody mentioned you",
    category="social",
    payload={"type": "object", "required": ["actor", "text"]},
    steps=[
        {
            "id": "bell",
            "inbox": {
                "title": "{{ payload.actor }} mentioned you",
                "body": "{{ payload.text }}",
            },
        },
        {"wait": "5m"},
        {"stop": "bell.read"},
        {"inbox": {"title": "{{ payload.actor }} is waiting for you"}},
    ],
)


def add(api: Api, engine: Engine) -> None:
    """Open the doors of workflows."""
    _workflows(api, engine)
    _triggers(api, engine)


def _workflows(api: Api, engine: Engine) -> None:
    catalog = engine.catalog

    @api.route(
        "PUT",
        "/v1/workflows/{workflow}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, Conflict, Stale),
        example=MENTION,
    )
    async def put_workflow(
        caller: Principal,
        path: WorkflowPath,
        query: PutQuery,
        body: Definition,
        headers: Preconditions,
    ) -> Put:
        """Keep a workflow as its next version; what runs goes on with the version that it began with.

        The same definition as the current one changes nothing, so that it may be put whenever an application is deployed. With
        `If-Match: "3"` it is only put where version 3 is the current one.
        """
        if body.workflow != path.workflow:
            raise Invalid(f"the path says {path.workflow!r}, the definition {body.workflow!r}")
        if query.dry_run:
            return await catalog.check_put(caller.tenant, body)
        return await catalog.put(caller, body, headers.check)

    @api.route("GET", "/v1/workflows/{workflow}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_workflow(caller: Principal, path: WorkflowPath, query: VersionQuery) -> Kept:
        """A workflow."""
        version = None if query.version is UNSET else query.version
        return await catalog.find(caller.tenant, path.workflow, version)

    @api.route("GET", "/v1/workflows", right=_READ, limit=PerCaller(), errors=READS)
    async def list_workflows(caller: Principal, query: WorkflowsQuery) -> WorkflowPage:
        """Workflows in their current versions, in the order of their keys."""
        return await catalog.page(caller.tenant, query.after, query.limit)

    @api.route(
        "PATCH", "/v1/workflows/{workflow}", right=_WRITE, limit=PerCaller(), errors=(*WRITES, Stale),
        example=Activity(False),
    )  # fmt: skip
    async def set_active(
        caller: Principal, path: WorkflowPath, body: Activity, headers: Preconditions
    ) -> Kept:
        """Let a workflow be triggered, or no longer; what runs goes on."""
        await catalog.set_active(caller.tenant, path.workflow, body.active, headers.check)
        return await catalog.find(caller.tenant, path.workflow)


def _triggers(api: Api, engine: Engine) -> None:
    triggers, history, sends = engine.triggers, engine.history, engine.sends

    @api.route(
        "POST",
        "/v1/triggers",
        right=_SEND,
        limit=PerCaller(),
        status=202,
        errors=(*WRITES, Conflict, IdempotencyConflict, InProgress),
        example=CreateTrigger("mention", ["ann"], {"actor": "Ben", "text": "look at this"}),
    )
    async def create_trigger(
        caller: Principal, body: CreateTrigger, headers: Idempotency
    ) -> TriggerAccepted:
        """Run a workflow for recipients.

        A recipient that is only named must be known; one that is described becomes known. Who did it (`actor`) is not told.
        """
        return await triggers.accept(caller, body, headers.key)

    @api.route(
        "POST",
        "/v1/workflows/{workflow}/triggers",
        right=_SEND,
        limit=PerCaller(),
        status=202,
        errors=(*WRITES, Conflict, IdempotencyConflict, InProgress),
        example={
            NDJSON: '{"payload": {"n": 1}}\n"ann"\n{"id": "ben", "email": "ben@example.org"}\n'
        },
    )
    async def create_trigger_of_lines(
        caller: Principal, path: WorkflowPath, lines: Lines, headers: Idempotency
    ) -> TriggerAccepted:
        """Run a workflow for up to `limits.stream_recipients` recipients, who are read line by line.

        The first line is the trigger without `workflow` and `recipients` (`{}` is one), each further line a recipient. All of them are
        accepted, or nothing; whoever stands on several lines gets it once.
        """
        return await engine.receiver.accept(caller, path.workflow, lines, headers.key)

    @api.route("DELETE", "/v1/triggers", right=_SEND, limit=PerCaller(), errors=WRITES)
    async def cancel_triggers(caller: Principal, query: CancelByKey) -> Cancelled:
        """Call off all triggers that were given this key and are not over; at most 1,000 a call, the oldest first."""
        return await triggers.cancel_by_key(caller.tenant, query.cancel_key)

    @api.route("GET", "/v1/triggers/{id}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_trigger(caller: Principal, path: IdPath) -> Trigger:
        """A trigger as it stands."""
        return await triggers.find(caller.tenant, path.id)

    @api.route("DELETE", "/v1/triggers/{id}", right=_SEND, limit=PerCaller(), errors=WRITES)
    async def cancel_trigger(caller: Principal, path: IdPath) -> Cancelled:
        """Call off what has not happened yet: when the answer is there, nothing more of it begins. `triggers` 0: it was over, and stays as it came out."""
        return await triggers.cancel(caller.tenant, path.id)

    @api.route("GET", "/v1/triggers/{id}/progress", right=_READ, limit=PerCaller(), errors=READS)
    async def get_progress(caller: Principal, path: IdPath) -> Job:
        """How far a trigger is, as the topic `job:<id>` tells it all the time."""
        return await sends.find(caller.tenant, path.id)

    @api.route(
        "POST", "/v1/triggers/{id}/pause", right=_SEND, limit=PerCaller(), errors=(*WRITES, Conflict)
    )  # fmt: skip
    async def pause_trigger(caller: Principal, path: IdPath) -> Job:
        """Let nothing more of it begin: when the answer is there, only what is in a provider's hands still arrives."""
        return await sends.pause(caller.tenant, path.id)

    @api.route("POST", "/v1/triggers/{id}/resume", right=_SEND, limit=PerCaller(), errors=WRITES)
    async def resume_trigger(caller: Principal, path: IdPath) -> Job:
        """Let it go on where it was paused; what became due meanwhile is due now."""
        return await sends.resume(caller.tenant, path.id)

    @api.route("GET", "/v1/triggers/{id}/report", right=_READ, limit=PerCaller(), errors=READS)
    async def get_report(caller: Principal, path: IdPath) -> Report:
        """What has become of a trigger so far, with the reasons why some failed, and how many each."""
        return await sends.report(caller.tenant, path.id)

    @api.route(
        "GET", "/v1/triggers/{id}/failures", right=_READ, limit=PerCaller(), errors=READS, media=(NDJSON, CSV)
    )  # fmt: skip
    async def list_failures(caller: Principal, path: IdPath, query: FormatQuery) -> Reply[Stream]:
        """All that failed of a trigger, one on each line, however many there are."""
        return streamed(sends.failures(caller.tenant, path.id), Failure, query.format)

    @api.route("GET", "/v1/triggers/{id}/runs", right=_READ, limit=PerCaller(), errors=READS)
    async def list_runs(caller: Principal, path: IdPath, query: RunsQuery) -> RunPage:
        """Each recipient's way through the workflow. Of those for whom everything was sent at once there is nothing to tell."""
        found, more = await history.runs(caller.tenant, path.id, query.after, query.limit)
        return RunPage(found, found[-1].user if more else None)

    @api.route("GET", "/v1/runs/{id}", right=_READ, limit=PerCaller(), errors=READS)
    async def get_run(caller: Principal, path: IdPath) -> Run:
        """One recipient's way through the workflow: what became of each step, why, and what was read to decide it."""
        return await history.run(caller.tenant, path.id)

    @api.route("GET", "/v1/runs/{id}/replay", right=_READ, limit=PerCaller(), errors=READS)
    async def replay_run(caller: Principal, path: IdPath, query: VersionQuery) -> Replay:
        """What would have become of a run under another version: nothing is sent, counted, fetched or written by asking.

        What the run has recorded is taken as it was; what no record of it tells is as it is now, and each step names it (`assumed`).
        """
        version = None if query.version is UNSET else query.version
        return await engine.replays.replay(caller.tenant, path.id, version)
