"""Workflows over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from clarion.client.calls import Call, Recipient, place, query

_LISTS = frozenset({"recipients", "audiences", "did", "exclude", "exclude_audiences"})
Kind = Literal["template", "workflow", "schedule", "preferences"]
_NOTHING: tuple[object, ...] = (None, False, (), [])


class WorkflowPut(msgspec.Struct, frozen=True):
    """The version that a trigger gets now, and whether it is a new one."""

    workflow: str
    version: int
    is_new: bool
    warnings: list[dict[str, str]] = []
    """What may go wrong when it runs there: `{pointer, detail}`."""


class KeptWorkflow(msgspec.Struct, frozen=True):
    """A workflow in a version, and whether it may be triggered."""

    workflow: str
    version: int
    is_active: bool
    definition: dict[str, Any]
    author: str
    created_at: str


class Judged(msgspec.Struct, frozen=True):
    """What would become of a definition. `state`: `new`, `changed`, `unchanged`, or `wrong`, where there are faults.

    `etag` is of what is there now, for If-Match, and `before` is that; `after` is what would be. Faults and warnings: `{pointer, detail}`.
    """

    kind: Kind | None
    name: str
    state: str
    version: int | None
    etag: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    faults: list[dict[str, str]]
    warnings: list[dict[str, str]]


class Checked(msgspec.Struct, frozen=True):
    """All of them, in the order in which they were given; `author`: who would have written them."""

    items: list[Judged]
    author: str


class Triggered(msgspec.Struct, frozen=True):
    """A trigger that was accepted: on disk. `start_at`: when it begins, if not at once."""

    id: str
    workflow: str
    version: int
    durability: str
    created_at: str
    start_at: str | None = None


class Trigger(msgspec.Struct, frozen=True):
    """A trigger as it stands; `runs` counts by status those that have something to do or to explain."""

    id: str
    workflow: str
    version: int
    state: str
    recipients: int
    runs: dict[str, int]
    created_at: str
    start_at: str | None = None


class Cancelled(msgspec.Struct, frozen=True):
    """What was called off; `triggers` 0: it was over."""

    triggers: int
    runs: int
    messages: int


def put(
    definition: Mapping[str, Any], *, dry_run: bool, if_match: str | None = None
) -> Call[WorkflowPut]:
    """`PUT /v1/workflows/{workflow}`."""
    at = f"/v1/{place('workflows', str(definition['workflow']))}{'?dry_run=true' * dry_run}"
    headers = {} if if_match is None else {"If-Match": if_match}
    return Call("PUT", at, WorkflowPut, dict(definition), headers)


def find_workflow(workflow: str, version: int | None) -> Call[KeptWorkflow]:
    """`GET /v1/workflows/{workflow}`."""
    return Call("GET", f"/v1/{place('workflows', workflow)}{query(version=version)}", KeptWorkflow)


def workflows(after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/workflows`."""
    return Call("GET", f"/v1/workflows{query(after=after, limit=limit)}", dict)


def set_active(workflow: str, is_active: bool) -> Call[KeptWorkflow]:
    """`PATCH /v1/workflows/{workflow}`."""
    return Call("PATCH", f"/v1/{place('workflows', workflow)}", KeptWorkflow, {"active": is_active})


def check(definitions: Sequence[Mapping[str, Any]]) -> Call[Checked]:
    """`POST /v1/definition-checks`."""
    body = {"definitions": [dict(each) for each in definitions]}
    return Call("POST", "/v1/definition-checks", Checked, body)


def trigger(
    workflow: str,
    recipients: Sequence[Recipient],
    payload: Mapping[str, Any] | None,
    idempotency_key: str,
    **more: Any,
) -> Call[Triggered]:
    """`POST /v1/triggers`; of `more`, what is None or empty is not said."""
    for name, value in {"recipients": recipients, **more}.items():
        if name in _LISTS and isinstance(value, str):
            raise TypeError(f"{name} is a list, not one text")
    body = {"workflow": workflow, "recipients": list(recipients), "payload": dict(payload or {})}
    body |= {name: value for name, value in more.items() if value not in _NOTHING}
    return Call("POST", "/v1/triggers", Triggered, body, {"Idempotency-Key": idempotency_key})


def find(id: str) -> Call[Trigger]:
    """`GET /v1/triggers/{id}`."""
    return Call("GET", f"/v1/{place('triggers', id)}", Trigger)


def cancel(id: str) -> Call[Cancelled]:
    """`DELETE /v1/triggers/{id}`."""
    return Call("DELETE", f"/v1/{place('triggers', id)}", Cancelled)


def cancel_all(cancel_key: str) -> Call[Cancelled]:
    """`DELETE /v1/triggers?cancel_key=`."""
    return Call("DELETE", f"/v1/triggers{query(cancel_key=cancel_key)}", Cancelled)


def digests(workflow: str, recipient: str, after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/digests`."""
    asked = query(workflow=workflow, recipient=recipient, after=after, limit=limit)
    return Call("GET", f"/v1/digests{asked}", dict)


def release_digest(id: str) -> Call[None]:
    """`POST /v1/digests/{id}/release`."""
    return Call("POST", f"/v1/{place('digests', id)}/release", type(None))


def run(id: str) -> Call[dict[str, Any]]:
    """`GET /v1/runs/{id}`."""
    return Call("GET", f"/v1/{place('runs', id)}", dict)


def replay_run(id: str, version: int | None) -> Call[dict[str, Any]]:
    """`GET /v1/runs/{id}/replay`."""
    return Call("GET", f"/v1/{place('runs', id)}/replay{query(version=version)}", dict)


def runs(trigger: str, after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/triggers/{id}/runs`."""
    return Call(
        "GET", f"/v1/{place('triggers', trigger)}/runs{query(after=after, limit=limit)}", dict
    )
