"""Providers and captures over HTTP, without any I/O: what is asked, and how the answer is read."""

from typing import Any

from clarion.client.calls import Call, place, query


def providers() -> Call[dict[str, Any]]:
    """`GET /v1/providers`."""
    return Call("GET", "/v1/providers", dict)


def captures(channel: str, user: str, before: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/captures`."""
    asked = query(channel=channel, user=user, before=before, limit=limit)
    return Call("GET", f"/v1/captures{asked}", dict)


def capture(id: str) -> Call[dict[str, Any]]:
    """`GET /v1/captures/{id}`."""
    return Call("GET", f"/v1/{place('captures', id)}", dict)


def clear() -> Call[dict[str, Any]]:
    """`DELETE /v1/captures`."""
    return Call("DELETE", "/v1/captures", dict)
