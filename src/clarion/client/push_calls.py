"""Push devices over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clarion.client.calls import Call, place


class PushDevice(msgspec.Struct, frozen=True):
    """A device that takes a user's push messages; `kind` is `web`, `fcm` or `apns`."""

    id: str
    kind: str
    label: str
    created_at: str
    updated_at: str
    last_ok_at: str | None
    failures: int
    error: str | None


class PushDevices(msgspec.Struct, frozen=True):
    """All devices of a user."""

    items: list[PushDevice]


class PushPut(msgspec.Struct, frozen=True):
    """The device; `renewal` is for a browser's service worker."""

    id: str
    kind: str
    renewal: str | None = None


class PushKey(msgspec.Struct, frozen=True):
    """What pages subscribe with."""

    key: str


def key() -> Call[PushKey]:
    """`GET /v1/push/key`."""
    return Call("GET", "/v1/push/key", PushKey)


def put(
    user: str,
    subscription: Mapping[str, Any] | None,
    fcm: str | None,
    apns: str | None,
    topic: str,
    label: str,
) -> Call[PushPut]:
    """`POST /v1/users/{id}/push/devices`."""
    given: dict[str, Any] = {"subscription": subscription, "fcm": fcm, "apns": apns}
    body = {name: value for name, value in given.items() if value is not None}
    if topic:
        body["topic"] = topic
    return Call("POST", _at(user), PushPut, {**body, "label": label})


def listed(user: str) -> Call[PushDevices]:
    """`GET /v1/users/{id}/push/devices`."""
    return Call("GET", _at(user), PushDevices)


def remove(user: str, device: str) -> Call[None]:
    """`DELETE /v1/users/{id}/push/devices/{device}`."""
    at = f"/v1/{place('users', user)}/push/{place('devices', device)}"
    return Call("DELETE", at, type(None))


def _at(user: str) -> str:
    return f"/v1/{place('users', user)}/push/devices"
