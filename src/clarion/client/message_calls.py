"""Messages over HTTP, as operators see them, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query

PAGE = 200
Asked = Mapping[str, str | int | datetime | None]
"""Names of parameters, as `docs/reference/http.md` has them; `from_` stands for `from`. None: not said."""


class MessagePage(msgspec.Struct, frozen=True):
    """Messages, newest first; `next` leads to the following page, None on the last one. A page may be short."""

    items: list[dict[str, Any]]
    next: str | None


class Attempt(msgspec.Struct, frozen=True):
    """A provider was asked."""

    attempt: int
    part: int
    provider: str
    outcome: str
    answer: str
    at: str
    took_ms: int


class Moment(msgspec.Struct, frozen=True):
    """A message came to a status."""

    status: str
    at: str
    cause: str


class MessageStory(msgspec.Struct, frozen=True):
    """All that is known of a message."""

    message: dict[str, Any]
    timeline: list[Moment]
    attempts: list[Attempt]
    events: list[dict[str, Any]]
    provider_id: str
    last_error: str | None
    workflow_version: int | None
    template: dict[str, Any] | None


class Took(msgspec.Struct, frozen=True):
    """How long it took (ms), within 5 %."""

    p50: float
    p90: float
    p99: float


class Numbers(msgspec.Struct, frozen=True):
    """Of one interval and name."""

    at: str
    name: str
    counts: dict[str, int]
    rates: dict[str, float]
    took_ms: dict[str, Took]


class Stats(msgspec.Struct, frozen=True):
    """Numbers from `since` until before `until`."""

    since: str
    until: str
    interval: str
    by: str
    items: list[Numbers]


class DeadLetterGroup(msgspec.Struct, frozen=True):
    """Dead letters that are alike."""

    kind: str
    channel: str
    provider: str
    workflow: str
    job: str
    reason: str
    letters: int
    first_at: str
    last_at: str


class DeadLetterGroups(msgspec.Struct, frozen=True):
    """The largest groups."""

    items: list[DeadLetterGroup]


class DeadLettersDone(msgspec.Struct, frozen=True):
    """So many letters were sent again, or dropped; `more`: others are left, for the same call once more."""

    id: str
    letters: int
    more: bool


def page(what: str, asked: Asked, after: str, limit: int = PAGE) -> Call[MessagePage]:
    """`GET /v1/messages`, `/v1/triggers`, `/v1/runs`."""
    return Call(
        "GET", f"/v1/{what}{query(**_given(asked), after=after or None, limit=limit)}", MessagePage
    )


def find(id: str, user: str | None) -> Call[MessageStory]:
    """`GET /v1/messages/{id}`."""
    return Call("GET", f"/v1/{place('messages', id)}{query(user=user)}", MessageStory)


def stats(asked: Asked) -> Call[Stats]:
    """`GET /v1/stats`."""
    return Call("GET", f"/v1/stats{query(**_given(asked))}", Stats)


def dead_letters(asked: Asked) -> Call[DeadLetterGroups]:
    """`GET /v1/dead-letters`."""
    return Call("GET", f"/v1/dead-letters{query(**_given(asked))}", DeadLetterGroups)


def do(
    act: str, ids: Sequence[str] | None, asked: Mapping[str, str], idempotency_key: str
) -> Call[DeadLettersDone]:
    """`POST /v1/dead-letters/replay`, `…/drop`."""
    return Call(
        "POST",
        f"/v1/dead-letters/{act}",
        DeadLettersDone,
        asked if ids is None else {"ids": list(ids), **asked},
        {"Idempotency-Key": idempotency_key},
    )


def _given(asked: Asked) -> dict[str, Any]:
    return {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
        for name, value in asked.items()
        if value is not None
    }


def letters(what: str, before: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/dead-letters/jobs`, `GET /v1/dead-letters/acts`."""
    return Call("GET", f"/v1/dead-letters/{what}{query(before=before or None, limit=limit)}", dict)
