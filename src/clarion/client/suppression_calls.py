"""Suppressions over HTTP, without any I/O: what is asked, and how the answer is read."""

import msgspec

from clarion.client.calls import Call, place, query


class Suppression(msgspec.Struct, frozen=True):
    """An address that is not written to: `reason` is `bounce`, `complaint`, `unsubscribe` or `manual`; `message` what was sent when it was found out."""

    channel: str
    address: str
    reason: str
    detail: str
    message: str | None
    created_at: str


class SuppressionPage(msgspec.Struct, frozen=True):
    """In the order of their addresses; `next` leads to the following page, None on the last one."""

    items: list[Suppression]
    next: str | None


def add(address: str, channel: str, reason: str, detail: str) -> Call[Suppression]:
    """`POST /v1/suppressions`."""
    body = {"address": address, "channel": channel, "reason": reason, "detail": detail}
    return Call("POST", "/v1/suppressions", Suppression, body)


def find(address: str, channel: str) -> Call[Suppression]:
    """`GET /v1/suppressions/{channel}/{address}`."""
    return Call("GET", f"/v1/{place(f'suppressions/{channel}', address)}", Suppression)


def page(channel: str, after: str, limit: int) -> Call[SuppressionPage]:
    """`GET /v1/suppressions`."""
    asked = query(channel=channel, after=after, limit=limit)
    return Call("GET", f"/v1/suppressions{asked}", SuppressionPage)


def remove(address: str, channel: str) -> Call[None]:
    """`DELETE /v1/suppressions/{channel}/{address}`."""
    return Call("DELETE", f"/v1/{place(f'suppressions/{channel}', address)}", type(None))
