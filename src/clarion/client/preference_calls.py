"""Preferences over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query


class Preferences(msgspec.Struct, frozen=True):
    """A document as it is kept; `revision` 0: nothing was ever said."""

    document: dict[str, Any]
    revision: int


class PreferenceLink(msgspec.Struct, frozen=True):
    """The address of a person's page, and how long it is good."""

    url: str
    expires_at: str


def find(user: str | None) -> Call[Preferences]:
    """`GET /v1/subscribers/{id}/preferences`, or of the deployment `GET /v1/preferences/defaults`."""
    return Call("GET", _at(user), Preferences)


def put(user: str | None, document: Mapping[str, Any], revision: int | None) -> Call[Preferences]:
    """`PUT` of the same."""
    return _change("PUT", _at(user), document, revision)


def patch(user: str, given: Mapping[str, Any], revision: int | None) -> Call[Preferences]:
    """`PATCH /v1/subscribers/{id}/preferences`."""
    return _change("PATCH", _at(user), given, revision)


def mute(user: str, path: str, value: str | int | bool, until: str | None) -> Call[Preferences]:
    """`POST /v1/subscribers/{id}/preferences/mute`."""
    body: dict[str, Any] = {"path": path, "value": value}
    body |= {"until": until} if until is not None else {}
    return Call("POST", f"{_at(user)}/mute", Preferences, body)


def unmute(user: str, path: str, value: str | int | bool) -> Call[Preferences]:
    """`POST /v1/subscribers/{id}/preferences/unmute`."""
    return Call("POST", f"{_at(user)}/unmute", Preferences, {"path": path, "value": value})


def overview(user: str) -> Call[dict[str, Any]]:
    """`GET /v1/subscribers/{id}/preferences/overview`."""
    return Call("GET", f"{_at(user)}/overview", dict)


def explain(
    user: str,
    channel: str,
    workflow: str | None,
    category: str | None,
    payload: Mapping[str, Any] | None,
    actor: str | None,
) -> Call[dict[str, Any]]:
    """`GET /v1/subscribers/{id}/preferences/explain`."""
    text = None if payload is None else msgspec.json.encode(payload).decode()
    asked = query(channel=channel, workflow=workflow, category=category, payload=text, actor=actor)
    return Call("GET", f"{_at(user)}/explain{asked}", dict)


def link(user: str, good_s: int | None) -> Call[PreferenceLink]:
    """`POST /v1/subscribers/{id}/preferences/link`."""
    body = {} if good_s is None else {"good_s": good_s}
    return Call("POST", f"{_at(user)}/link", PreferenceLink, body)


def _at(user: str | None) -> str:
    return (
        "/v1/preferences/defaults"
        if user is None
        else f"/v1/{place('subscribers', user)}/preferences"
    )


def _change(
    method: str, at: str, body: Mapping[str, Any], revision: int | None
) -> Call[Preferences]:
    headers = {} if revision is None else {"if-match": f'"{revision}"'}
    # Once it has happened, a repetition would be refused: the revision is another one.
    return Call(method, at, Preferences, dict(body), headers, is_repeatable=revision is None)
