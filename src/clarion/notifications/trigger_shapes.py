"""Triggers as they are asked for, answered and told again. Pure."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.clock import as_datetime
from clarion.errors import IdempotencyConflict
from clarion.ids import digest
from clarion.notifications.audiences import AudienceKey
from clarion.notifications.recipients import Recipient, UserId
from clarion.notifications.rules import DIDS, Did
from clarion.notifications.workflows.definition import Key, Priority
from clarion.notifications.workflows.when import Time, Zone
from clarion.storage import triggers as sql
from clarion.storage.repeats import Taken


class CreateTrigger(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which workflow to run for whom: `recipients`, the people of `audiences`, of a `filter`, who `did` something, or `everyone`. Each person gets it once."""

    workflow: Key
    recipients: list[UserId | Recipient] = []
    payload: Annotated[
        dict[str, Any], Meta(description="JSON for templates and conditions, at most 64 KiB")
    ] = {}
    actor: UserId | None = None
    """Who did what this tells of: they are not told."""
    cancel_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """Names it for `cancel`, while it waits."""
    audiences: Annotated[list[AudienceKey], Meta(max_length=20)] = []
    """Whoever is in one of them when their slice is planned."""
    filter: Annotated[str, Meta(max_length=1_000)] | None = None
    """A condition over subscribers: `recipient.attributes.plan == "pro"`."""
    everyone: bool = False
    """All subscribers."""
    did: Annotated[list[Did], Meta(max_length=DIDS)] = []
    """Subscribers who did one of these."""
    exclude: Annotated[list[UserId], Meta(max_length=1_000)] = []
    exclude_audiences: Annotated[list[AudienceKey], Meta(max_length=20)] = []
    priority: Priority | None = None
    """What goes first where more is due than can be done at once; null: as the workflow says."""
    at: Time | None = None
    """Not now but then, with the workflow as it is now. A time that is past is now."""
    zone: Zone | None = None
    """Of `at`; UTC where there is none."""


class Received(Struct, frozen=True):
    """Recipients that are in rows of their own, under the id that the trigger shall have; `digest` of how they came in."""

    id: str
    digest: str


class TriggerAccepted(Struct, frozen=True):
    """The answer to a trigger: it is on disk, and runs from here on; or from `start_at`, in everybody's own zone from where that is first."""

    id: str
    workflow: str
    version: int
    durability: Literal["fsync"]
    created_at: datetime
    start_at: datetime | None = None


class Trigger(Struct, frozen=True):
    """A trigger as it stands. `recipients` were found so far; `runs` counts those that have something to explain or to do."""

    id: str
    workflow: str
    version: int
    state: str
    recipients: int
    runs: dict[str, int]
    created_at: datetime
    start_at: datetime | None = None
    """When it was to begin, if not at once."""


class Cancelled(Struct, frozen=True):
    """What was called off: triggers that were not over (a second time, too), runs that had not ended, and messages that nobody had sent."""

    triggers: int
    runs: int
    messages: int


def accepted(row: sql.NewTrigger) -> TriggerAccepted:
    """The answer to a trigger."""
    return TriggerAccepted(
        row.id,
        row.workflow,
        row.version,
        "fsync",
        as_datetime(row.at_ms),
        as_datetime(row.start_ms) if row.start_ms else None,
    )


def keyed(row: sql.NewTrigger, key: str | None, body: bytes) -> sql.NewTrigger:
    """The same, safe to repeat with a key."""
    if not key:
        return row
    return msgspec.structs.replace(
        row, idem_key=key, digest=digest(body), answer=msgspec.json.encode(accepted(row)).decode()
    )


def text_of(body: CreateTrigger, received: Received | None) -> bytes:
    """What tells a call apart from others."""
    text = msgspec.json.encode(body, order="sorted")
    return text if received is None else text + received.digest.encode()


def former(outcome: sql.TriggerOutcome | Taken, digest: str) -> TriggerAccepted:
    """The answer to the call that has used a key before.

    Raises:
        IdempotencyConflict: It had another body.
    """
    if outcome.digest != digest:
        raise IdempotencyConflict(
            "this Idempotency-Key was used with another body: take a new key for a new trigger"
        )
    assert outcome.answer is not None, "kept with the key"
    return msgspec.json.decode(outcome.answer, type=TriggerAccepted)
