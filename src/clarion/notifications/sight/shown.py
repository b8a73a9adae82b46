"""Messages, triggers and runs as operators are shown them, made of rows. Pure."""

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from clarion.clock import as_datetime, maybe_datetime
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.sight import timeline
from clarion.notifications.sight.timeline import Moment
from clarion.storage import sight as sql
from clarion.storage.message_events import EventRow

SAYS: Final = 200  # characters of what a message says
# The addresses of other channels are secrets: whoever has a chat's URL may write there.
_SHOWN: Final = ("email", "sms")


class MessageFound(Struct, frozen=True):
    """A message, of an inbox or of a channel. `says`: its title, subject or text. `address` only of email and sms."""

    id: str
    channel: str
    user: str
    status: str
    cause: str
    says: str
    workflow: str
    category: str
    step: str
    trigger: str
    run: str
    provider: str
    address: str
    attempts: int
    due_at: datetime | None
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    seen_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    archived_at: datetime | None
    ended_at: datetime | None
    snoozed_until: datetime | None = None
    """Of an inbox's: when it comes back."""
    button: str = ""
    """Of an inbox's: the action that was pressed."""


class Attempt(Struct, frozen=True):
    """A provider was asked. `part` counts those that were asked in one attempt; `outcome`: `sent`, `retry`, `failed` and others."""

    attempt: int
    part: int
    provider: str
    outcome: str
    answer: str
    at: datetime
    took_ms: int


class Happened(Struct, frozen=True):
    """Something was told of a message, so often."""

    kind: str
    first_at: datetime
    last_at: datetime
    count: int
    detail: str


class Template(Struct, frozen=True):
    """In which version of a stored template a message was said, and in which language."""

    template: str
    version: int
    locale: str


class MessageStory(Struct, frozen=True):
    """All that is known of a message."""

    message: MessageFound
    timeline: list[Moment]
    attempts: list[Attempt]
    events: list[Happened]
    provider_id: str
    last_error: str | None
    workflow_version: int | None
    template: Template | None


class TriggerFound(Struct, frozen=True):
    """A trigger. `recipients` were found so far."""

    id: str
    workflow: str
    version: int
    state: str
    hold: str
    caller: str
    actor: str | None
    cancel_key: str | None
    recipients: int
    created_at: datetime


class RunFound(Struct, frozen=True):
    """One recipient's way through a workflow."""

    id: str
    trigger: str
    user: str
    workflow: str
    version: int
    status: str
    due_at: datetime | None
    error: str | None
    created_at: datetime


def message_of_channel(row: sql.SentRow) -> MessageFound:
    """As it is told."""
    content = msgspec.json.decode(row.content)
    says = next((content[name] for name in ("title", "subject", "text") if content.get(name)), "")
    return MessageFound(
        row.id,
        row.channel,
        row.usr,
        timeline.status_of_sent(row),
        row.cause,
        str(says)[:SAYS],
        row.workflow,
        row.category,
        row.step,
        row.trigger_id,
        row.run,
        row.provider,
        row.address if row.channel in _SHOWN else "",
        row.attempts,
        maybe_datetime(row.run_ms),
        as_datetime(row.created_ms),
        maybe_datetime(row.sent_ms),
        maybe_datetime(row.delivered_ms),
        maybe_datetime(row.seen_ms),
        maybe_datetime(row.read_ms),
        maybe_datetime(row.clicked_ms),
        None,
        maybe_datetime(row.ended_ms),
    )


def message_of_inbox(row: sql.KeptRow) -> MessageFound:
    """The same of one that is in an inbox: made, sent and delivered are one moment."""
    at = as_datetime(row.created_ms)
    return MessageFound(
        id=row.id,
        channel=INBOX,
        user=row.usr,
        status=timeline.status_of_kept(row),
        cause="",
        says=row.title[:SAYS],
        workflow=row.workflow,
        category=row.category,
        step=row.step,
        trigger=row.trigger_id,
        run="",
        provider="",
        address="",
        attempts=0,
        due_at=None,
        created_at=at,
        sent_at=at,
        delivered_at=at,
        seen_at=maybe_datetime(row.seen_ms),
        read_at=maybe_datetime(row.read_ms),
        clicked_at=maybe_datetime(row.clicked_ms),
        archived_at=maybe_datetime(row.archived_ms),
        ended_at=None,
        snoozed_until=maybe_datetime(row.snooze_ms),
        button=row.done,
    )


def trigger(row: sql.TriggerFound) -> TriggerFound:
    """As it is told."""
    return TriggerFound(
        row.id,
        row.workflow,
        row.version,
        row.state,
        row.hold,
        row.caller,
        row.actor or None,
        row.cancel_key or None,
        row.total,
        as_datetime(row.created_ms),
    )


def run(row: sql.RunFound) -> RunFound:
    """As it is told."""
    return RunFound(
        row.id,
        row.trigger_id,
        row.usr,
        row.workflow,
        row.version,
        row.status,
        maybe_datetime(row.run_ms),
        row.error,
        as_datetime(row.created_ms),
    )


def attempt(row: sql.AttemptRow) -> Attempt:
    """As it is told."""
    return Attempt(
        row.n, row.part, row.provider, row.outcome, row.answer, as_datetime(row.at_ms), row.took_ms
    )


def happened(row: EventRow) -> Happened:
    """As it is told."""
    return Happened(
        row.kind, as_datetime(row.first_ms), as_datetime(row.last_ms), row.count, row.detail
    )


def template(text: str) -> Template | None:
    """Which was read for a step, of what its record has; None: the step says its own words."""
    read = msgspec.json.decode(text)
    if not isinstance(read, dict) or not isinstance(read.get("version"), int):
        return None
    return Template(str(read.get("template", "")), read["version"], str(read.get("locale", "")))
