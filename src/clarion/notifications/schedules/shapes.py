"""Schedules as they are written and told, and how both are read from what is kept. Pure."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.clock import as_datetime
from clarion.notifications.schedules.turns import Missed
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Span
from clarion.notifications.workflows.occurrences import (
    Moment,
    Rule,
    is_floating,
    next_few,
    text_of,
)
from clarion.notifications.workflows.times import local, zone_of
from clarion.notifications.workflows.when import When
from clarion.patterns import worded
from clarion.storage import schedules as sql

ScheduleId = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}$(?!\n)",
            "a name: letters, digits, `.`, `_`, `:`, `@` and `-`, at most 100, the first a letter or digit",
        ),
        description="A schedule's name, which its owner gives it",
    ),
]
State = Literal["active", "paused", "ended", "cancelled"]


class ScheduleDefinition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a schedule triggers, and when."""

    trigger: CreateTrigger
    """As `POST /v1/triggers` takes it, without `at` and `zone`."""
    when: When
    name: Annotated[str, Meta(max_length=200)] = ""
    """For people."""
    missed: Missed = "run_once"
    """Occurrences that nobody was there for: made up for by one trigger, or left out."""
    grace: Span = "10m"
    """So late an occurrence is not missed."""


class Upcoming(Struct, frozen=True):
    """An occurrence to come. `at`: null in everybody's own zone; `local`: what the clock shows then."""

    at: datetime | None
    local: str


class Schedule(Struct, frozen=True):
    """A schedule as it stands. `why`: why it is paused, null if somebody wished it. `next`: its next occurrences. `etag` is for If-Match."""

    schedule: str
    state: State
    why: str | None
    next: list[Upcoming]
    etag: str
    definition: ScheduleDefinition
    author: str
    created_at: datetime
    updated_at: datetime


class SchedulePage(Struct, frozen=True):
    """Schedules in the order of their names; `next` is the cursor of the page that follows, null on the last one."""

    items: list[Schedule]
    next: str | None


class Occurrence(Struct, frozen=True):
    """What became of an occurrence: `triggered`, `skipped` (it was missed), `refused` (with why; the schedule is paused then).

    `due_at`: when it was due, `missed_since`: the first that was missed, which it stands for; `by_hand`: somebody ran it.
    """

    id: str
    due_at: datetime
    missed_since: datetime | None
    by_hand: bool
    outcome: str
    trigger: str | None
    why: str | None
    created_at: datetime


class OccurrencePage(Struct, frozen=True):
    """Occurrences, the newest first; `next` is the cursor of the page that follows, null on the last one."""

    items: list[Occurrence]
    next: str | None


def rule_of(text: str) -> Rule:
    """A rule as it is kept."""
    rule: Rule = msgspec.json.decode(text, type=Rule)
    return rule


def definition_of(text: str) -> ScheduleDefinition:
    """What is kept of what was written."""
    return msgspec.json.decode(text, type=ScheduleDefinition)


def to_keep(given: ScheduleDefinition) -> ScheduleDefinition:
    """What is kept of it: who was described is known by now, and is named."""
    named = [each if isinstance(each, str) else each.id for each in given.trigger.recipients]
    trigger = msgspec.structs.replace(given.trigger, recipients=list(dict.fromkeys(named)))
    return msgspec.structs.replace(given, trigger=trigger)


def schedule_of(row: sql.ScheduleRow, count: int) -> Schedule:
    """A schedule with so many of its next occurrences."""
    rule = rule_of(row.rule)
    is_open = row.state == "active" and row.next_ms is not None and count
    moments = next_few(rule, (row.next_ms or 0) - 1, count) if is_open else []
    return Schedule(
        row.id,
        row.state,  # type: ignore[arg-type]  # the table's own check
        row.why or None,
        upcoming(rule, moments),
        f'"{row.revision}"',
        definition_of(row.definition),
        row.author,
        as_datetime(row.created_ms),
        as_datetime(row.updated_ms),
    )


def upcoming(rule: Rule, moments: list[Moment]) -> list[Upcoming]:
    """Occurrences as they are told."""
    if is_floating(rule):
        return [Upcoming(None, each.local) for each in moments]
    # Not what is written: on the day that clocks go forward 02:30 comes as 03:30.
    zone = zone_of(rule.zone)
    shown = (text_of(local(each.at_ms, zone).replace(tzinfo=None)) for each in moments)
    return [
        Upcoming(as_datetime(each.at_ms), text) for each, text in zip(moments, shown, strict=True)
    ]


def occurrence_of(row: sql.OccurrenceRow) -> Occurrence:
    """What became of one."""
    return Occurrence(
        row.id,
        as_datetime(row.due_ms),
        as_datetime(row.missed_ms) if row.missed_ms else None,
        not row.key,
        row.outcome,
        row.trigger_id or None,
        row.why or None,
        as_datetime(row.at_ms),
    )
