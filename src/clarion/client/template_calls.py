"""Templates over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clarion.client.calls import Call, place, query


class PutTemplate(msgspec.Struct, frozen=True):
    """The version that is rendered now, whether it is a new one, and how it differs from the one before."""

    template: str
    version: int
    is_new: bool
    diff: str


class KeptTemplate(msgspec.Struct, frozen=True):
    """A template in a version."""

    template: str
    version: int
    definition: dict[str, Any]
    author: str
    created_at: str


def put(
    definition: Mapping[str, Any], *, dry_run: bool, if_match: str | None = None
) -> Call[PutTemplate]:
    """`PUT /v1/templates/{template}`."""
    at = f"/v1/{place('templates', str(definition['template']))}{'?dry_run=true' * dry_run}"
    headers = {} if if_match is None else {"If-Match": if_match}
    return Call("PUT", at, PutTemplate, dict(definition), headers)


def find(template: str, version: int | None) -> Call[KeptTemplate]:
    """`GET /v1/templates/{template}`."""
    at = f"/v1/{place('templates', template)}"
    return Call("GET", at if version is None else f"{at}{query(version=version)}", KeptTemplate)


def page(after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/templates`."""
    return Call("GET", f"/v1/templates{query(after=after, limit=limit)}", dict)


def versions(template: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/templates/{template}/versions`."""
    return Call("GET", f"/v1/{place('templates', template)}/versions{query(limit=limit)}", dict)


def roll_back(template: str, version: int) -> Call[KeptTemplate]:
    """`PATCH /v1/templates/{template}`."""
    return Call("PATCH", f"/v1/{place('templates', template)}", KeptTemplate, {"version": version})


def delete(template: str) -> Call[None]:
    """`DELETE /v1/templates/{template}`."""
    return Call("DELETE", f"/v1/{place('templates', template)}", type(None))


def preview(
    template: str | Mapping[str, Any],
    facts: Mapping[str, Any] | None,
    locale: str | None,
    time_zone: str | None,
    channel: str | None,
) -> Call[dict[str, Any]]:
    """`POST /v1/template-previews`."""
    given = {
        "template": template if isinstance(template, str) else None,
        "draft": None if isinstance(template, str) else dict(template),
        "facts": dict(facts or {}),
        "locale": locale,
        "time_zone": time_zone,
        "channel": channel,
    }
    body = {name: value for name, value in given.items() if value is not None}
    return Call("POST", "/v1/template-previews", dict, body)
