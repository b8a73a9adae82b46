"""Activity over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """An activity of a stream; times are RFC 3339."""

    id: str
    actor: str
    verb: str
    object: str
    target: str | None = None
    data: dict[str, Any] = {}
    foreign_id: str | None = None
    published: str
    updated: str
    group: str | None = None
    reactions: dict[str, int] = {}


class Readers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who may read a stream, besides those whose token grants it."""

    everyone: bool = False
    followers: bool = False
    users: list[str] = []
    tags: list[str] = []


class Follow(msgspec.Struct, frozen=True):
    """A stream that a user follows, and since when (RFC 3339)."""

    stream: str
    since: str


class ActivityPage(msgspec.Struct, frozen=True):
    """A page of a stream, newest first; `next` is the `cursor` of the page behind."""

    items: list[Activity]
    next: str | None


class ActivityWritten(msgspec.Struct, frozen=True):
    """What became of a change: `event` is `added`, `changed` or `removed`; `dropped` is `same` where it was so already."""

    activity: Activity
    event: str
    epoch: str
    offset: int
    mark: int
    durability: str
    dropped: str | None = None


def add(stream: str, given: Mapping[str, Any]) -> Call[ActivityWritten]:
    """`POST /v1/activity/{stream}/activities`."""
    # Without a foreign id a second call is a second activity.
    is_repeatable = "foreign_id" in given
    return Call("POST", _at(stream), ActivityWritten, given, is_repeatable=is_repeatable)


def activity(
    actor: str,
    verb: str,
    object: str,
    target: str | None,
    data: Mapping[str, Any] | None,
    foreign_id: str | None,
    group: str | None,
    published: str | None,
) -> dict[str, Any]:
    """An activity's body."""
    given = {
        "actor": actor,
        "verb": verb,
        "object": object,
        "target": target,
        "data": data and dict(data),
        "foreign_id": foreign_id,
        "group": group,
        "published": published,
    }
    return {name: value for name, value in given.items() if value is not None}


def page(stream: str, cursor: str | None, limit: int) -> Call[ActivityPage]:
    """`GET /v1/activity/{stream}/activities`."""
    return Call("GET", f"{_at(stream)}{query(cursor=cursor, limit=limit)}", ActivityPage)


def get(stream: str, id: str) -> Call[Activity]:
    """`GET /v1/activity/{stream}/activities/{id}`."""
    return Call("GET", _one(stream, id), Activity)


def edit(stream: str, id: str, given: Mapping[str, Any]) -> Call[ActivityWritten]:
    """`PATCH /v1/activity/{stream}/activities/{id}`."""
    return Call("PATCH", _one(stream, id), ActivityWritten, dict(given))


def remove(stream: str, id: str) -> Call[ActivityWritten]:
    """`DELETE /v1/activity/{stream}/activities/{id}`."""
    return Call("DELETE", _one(stream, id), ActivityWritten, is_repeatable=False)


def follow(user: str, stream: str) -> Call[Follow]:
    """`PUT /v1/users/{id}/follows/{stream}`."""
    return Call("PUT", _follow(user, stream), Follow)


def unfollow(user: str, stream: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/users/{id}/follows/{stream}`."""
    return Call("DELETE", _follow(user, stream), dict)


def set_readers(stream: str, readers: Readers) -> Call[Readers]:
    """`PUT /v1/activity/{stream}/readers`."""
    return Call(
        "PUT", f"/v1/{place('activity', stream)}/readers", Readers, msgspec.to_builtins(readers)
    )


def readers(stream: str) -> Call[Readers]:
    """`GET /v1/activity/{stream}/readers`."""
    return Call("GET", f"/v1/{place('activity', stream)}/readers", Readers)


def reactions(stream: str, id: str, kind: str, after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/activity/{stream}/activities/{id}/reactions/{kind}`."""
    asked = query(after=after or None, limit=limit)
    return Call("GET", f"{_one(stream, id)}/{place('reactions', kind)}{asked}", dict)


def react(stream: str, id: str, kind: str, user: str) -> Call[ActivityWritten]:
    """`PUT /v1/activity/{stream}/activities/{id}/reactions/{kind}/{user}`."""
    return Call("PUT", _reaction(stream, id, kind, user), ActivityWritten)


def take_back(stream: str, id: str, kind: str, user: str) -> Call[ActivityWritten]:
    """`DELETE /v1/activity/{stream}/activities/{id}/reactions/{kind}/{user}`."""
    return Call("DELETE", _reaction(stream, id, kind, user), ActivityWritten)


def _reaction(stream: str, id: str, kind: str, user: str) -> str:
    return f"{_one(stream, id)}/reactions/{place(kind, user)}"


def _follow(user: str, stream: str) -> str:
    return f"/v1/{place('users', user)}/{place('follows', stream)}"


def _at(stream: str) -> str:
    return f"/v1/{place('activity', stream)}/activities"


def _one(stream: str, id: str) -> str:
    return f"/v1/{place('activity', stream)}/{place('activities', id)}"
