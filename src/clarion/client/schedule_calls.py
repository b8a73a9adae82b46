"""Schedules over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query
from clarion.client.workflow_calls import Triggered


class Upcoming(msgspec.Struct, frozen=True):
    """An occurrence to come. `at` None: in each recipient's own zone; `local`: what the clock shows then."""

    at: str | None
    local: str


class Schedule(msgspec.Struct, frozen=True):
    """A schedule as it stands. `why`: why it is paused, None if somebody wished it. `next`: its next occurrences."""

    schedule: str
    state: str
    why: str | None
    next: list[Upcoming]
    etag: str
    definition: dict[str, Any]
    author: str
    created_at: str
    updated_at: str


class Preview(msgspec.Struct, frozen=True):
    """Its next occurrences."""

    next: list[Upcoming]


def put(
    schedule: str,
    trigger: Mapping[str, Any],
    when: Mapping[str, Any],
    more: Mapping[str, Any],
    if_match: str | None,
) -> Call[Schedule]:
    """`PUT /v1/schedules/{schedule}`."""
    given = {name: value for name, value in more.items() if value is not None}
    body = {"trigger": dict(trigger), "when": dict(when), **given}
    return _change("PUT", schedule, body, if_match)


def find(schedule: str, count: int) -> Call[Schedule]:
    """`GET /v1/schedules/{schedule}`."""
    return Call("GET", f"{_at(schedule)}{query(next=count)}", Schedule)


def page(workflow: str, state: str | None, after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/schedules`."""
    asked = {"workflow": workflow or None, "state": state, "after": after or None, "limit": limit}
    return Call("GET", f"/v1/schedules{query(**asked)}", dict)


def pause(schedule: str, is_paused: bool, if_match: str | None) -> Call[Schedule]:
    """`PATCH /v1/schedules/{schedule}`."""
    return _change("PATCH", schedule, {"paused": is_paused}, if_match)


def cancel(schedule: str, if_match: str | None) -> Call[dict[str, Any]]:
    """`DELETE /v1/schedules/{schedule}`."""
    return Call("DELETE", _at(schedule), dict, headers=_headers(if_match))


def run(schedule: str, idempotency_key: str) -> Call[Triggered]:
    """`POST /v1/schedules/{schedule}/run`."""
    headers = {"Idempotency-Key": idempotency_key}
    return Call("POST", f"{_at(schedule)}/run", Triggered, headers=headers)


def occurrences(schedule: str, before: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/schedules/{schedule}/occurrences`."""
    asked = query(before=before or None, limit=limit)
    return Call("GET", f"{_at(schedule)}/occurrences{asked}", dict)


def preview(when: Mapping[str, Any], count: int) -> Call[Preview]:
    """`POST /v1/schedule-previews`."""
    body = {"when": dict(when), "count": count}
    return Call("POST", "/v1/schedule-previews", Preview, body)


def _at(schedule: str) -> str:
    return f"/v1/{place('schedules', schedule)}"


def _change(
    method: str, schedule: str, body: Mapping[str, Any], if_match: str | None
) -> Call[Schedule]:
    headers = _headers(if_match)
    # Once it has happened, a repetition would be refused: the etag is another one. To call off twice is as once.
    return Call(method, _at(schedule), Schedule, body, headers, is_repeatable=if_match is None)


def _headers(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": if_match}
