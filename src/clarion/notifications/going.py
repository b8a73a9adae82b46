"""A run in hand, and what is written of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

import msgspec
from msgspec import Struct

from clarion.notifications.answers import event_of
from clarion.notifications.facts import recipient_facts
from clarion.notifications.preferences.evaluate import NONE, Wishes, zone_name
from clarion.notifications.waking import wait_key_of
from clarion.notifications.workflows.definition import Step, Workflow
from clarion.notifications.workflows.moves import (
    Advanced,
    Await,
    AwaitEvent,
    Closed,
    Collect,
    Count,
    Done,
    End,
    Event,
    Fetch,
    Next,
    Record,
    Send,
    Sleep,
    Spend,
    State,
)
from clarion.storage import runs as sql
from clarion.storage.jobs import NORMAL, Held


class Going(Struct):
    """One run in hand. `token` None: it is not in the store yet."""

    tenant: str
    id: str
    trigger: str
    usr: str
    workflow: Workflow
    version: int
    state: State
    event: Event
    payload: Mapping[str, Any]
    actor: str
    recipient: Mapping[str, Any] | None
    created_ms: int
    token: int | None = None
    attempts: int = 0
    about: dict[str, Any] = {}
    """Facts about what its steps have sent."""
    since_ms: int = 0
    """When it was triggered."""
    known: dict[str, Any] = {}
    """What was found out for this decision: `inbox`, `facts`."""
    presence: Mapping[str, Any] = {}
    """Of the recipient, for this decision."""
    done: Sequence[Done] = ()
    """If it waits for an event: those that may be the one."""
    wishes: Wishes = NONE
    """What its recipient wants."""
    priority: int = NORMAL
    is_held: bool = False
    """Its trigger is paused."""
    suppressed: Mapping[tuple[str, str], str] = {}
    """Channel and address of the recipient that must not be written to → why."""

    def facts(self) -> dict[str, Any]:
        """What its templates and conditions know."""
        return {
            "payload": self.payload,
            "recipient": {**(self.recipient or {"id": self.usr}), **self.presence},
            "actor": self.actor or None,
            "workflow": {"key": self.workflow.key, "category": self.workflow.category},
            **self.known,
            **self._preferences(),
            **self.about,
        }

    def collected(self) -> Sequence[Mapping[str, Any]]:
        """What a digest of its has collected, the first payloads of it; nothing, if there was none."""
        event = self.event
        digest = event.facts if isinstance(event, Closed) else self.state.left.get("digest")
        found: Sequence[Mapping[str, Any]] = digest["items"] if digest else ()
        return found

    def _preferences(self) -> dict[str, Any]:
        wishes = self.wishes
        schedule = wishes.own.digests or wishes.defaults.digests
        if schedule is None:
            return {}
        zone = zone_name(wishes, {"recipient": self.recipient or {}})
        wanted = {"at": schedule.at, "days": schedule.days, "zone": zone}
        return {"preferences": {**wanted, "revision": wishes.revision}}


class Decided(Struct):
    """What comes of a run: rows to be written, and what is to be told after the commit."""

    going: Going
    state: State
    next: Next
    status: str
    wait_key: str
    run_ms: int | None
    records: list[Record]
    sends: list[tuple[Step, Send, Mapping[str, Any]]]
    error: str | None = None
    attempts: int = 0
    calls_off: Sequence[str] = ()

    @property
    def tenant(self) -> str:
        """Whose."""
        return self.going.tenant

    @property
    def run(self) -> str:
        """The run's id."""
        return self.going.id

    @property
    def usr(self) -> str:
        """The recipient."""
        return self.going.usr

    @property
    def workflow(self) -> Workflow:
        """The version that it began with."""
        return self.going.workflow

    @property
    def priority(self) -> int:
        """Of the run."""
        return self.going.priority


def going_of(claimed: sql.ClaimedRun, row: sql.LoadedRun, workflow: Workflow) -> Going:
    """A claimed run with what was loaded for it."""
    state = msgspec.json.decode(row.state, type=State)
    payload = msgspec.json.decode(row.payload)
    return Going(
        tenant=claimed.tenant,
        id=claimed.id,
        trigger=row.trigger_id,
        usr=row.usr,
        workflow=workflow,
        version=row.version,
        state=state,
        event=event_of(workflow, state, payload, row.actor),
        payload=payload,
        actor=row.actor,
        recipient=None if row.subscriber is None else recipient_facts(row.usr, row),
        created_ms=row.created_ms,
        since_ms=row.triggered_ms,
        token=claimed.token,
        attempts=claimed.attempts,
        priority=row.priority,
        is_held=bool(row.hold),
    )


def decided_of(
    going: Going,
    advanced: Advanced,
    sends: list[tuple[Step, Send, Mapping[str, Any]]],
    now_ms: int,
) -> Decided:
    """What the engine has decided, as it is to be written."""
    status, wait_key, run_ms = "running", "", None
    match advanced.next:
        case End():
            last = advanced.records[-1].outcome if advanced.records else "passed"
            status = {"stopped": "stopped", "failed": "failed"}.get(last, "done")
        case Sleep(until_ms=until_ms):
            run_ms = until_ms
        case Await(message=message, until_ms=until_ms):
            wait_key = wait_key_of(message)
            run_ms = until_ms
        case AwaitEvent(user=user, event=event, until_ms=until_ms):
            wait_key = event_key(user, event)
            run_ms = until_ms
        case Fetch():
            run_ms = now_ms  # at once, by itself: the others do not wait for it
        case Count() | Spend() | Collect():
            pass  # what comes of it, the transaction finds out
        case _:
            assert_never(advanced.next)
    return Decided(
        going,
        advanced.state,
        advanced.next,
        status,
        wait_key,
        run_ms,
        list(advanced.records),
        sends,
        calls_off=advanced.calls_off,
    )


def unchanged(going: Going, run_ms: int | None, error: str) -> Decided:
    """It stays where it is, until it is tried again."""
    return Decided(going, going.state, End(), "running", "", run_ms, [], [], error, going.attempts)


def merged(going: Going) -> sql.RunSettlement:
    """A run that another goes on for."""
    assert going.token is not None, "of the store"
    state = msgspec.json.encode(going.state).decode()
    return sql.RunSettlement(going.tenant, going.id, going.token, state, "done", "", None, 0, None)


_MADE_OF: Final = frozenset({"template", "parts"})
"""In which version a message was said is to be known later: it may be another one by then."""


def event_key(user: str, event: str) -> str:
    """What a run waits for, in one word: that somebody does something."""
    return f"event:{event}:{user}"


def is_kept(decided: Decided) -> bool:
    """Whether a run that has just begun needs a row: something remains to be done, or to be explained."""
    return decided.status in ("running", "collected") or any(
        record.outcome not in ("sent", "passed") or not _MADE_OF.isdisjoint(record.read)
        for record in decided.records
    )


def new_run(decided: Decided) -> sql.NewRun:
    """Its row."""
    going = decided.going
    return sql.NewRun(
        going.tenant,
        going.id,
        going.trigger,
        going.usr,
        going.workflow.key,
        going.version,
        msgspec.json.encode(decided.state).decode(),
        decided.status,
        decided.wait_key,
        decided.run_ms,
        going.created_ms,
        going.priority,
    )


def held_of(going: Going) -> Held:
    """Names it with the token that its claim gave."""
    assert going.token is not None, "claimed"
    return Held(going.tenant, going.id, going.token)


def settlement(decided: Decided) -> sql.RunSettlement:
    """How a claimed run goes on."""
    going = decided.going
    assert going.token is not None, "claimed"
    return sql.RunSettlement(
        going.tenant,
        going.id,
        going.token,
        msgspec.json.encode(decided.state).decode(),
        decided.status,
        decided.wait_key,
        decided.run_ms,
        decided.attempts,
        decided.error,
    )


def record_of(going: Going, record: Record, now_ms: int) -> sql.NewRecord:
    """A record's row."""
    read = msgspec.json.encode(record.read).decode() if record.read else ""
    return sql.NewRecord(
        going.tenant, going.id, record.step, record.outcome, record.why, read, now_ms
    )
