"""Secrets of webhook endpoints over HTTP, without any I/O: what is asked, and how the answer is read."""

import msgspec

from clarion.client.calls import Call


class WebhookSecret(msgspec.Struct, frozen=True):
    """What an endpoint checks signatures with, as libraries of Standard Webhooks take it."""

    url: str
    secret: str


def secret(url: str) -> Call[WebhookSecret]:
    """`POST /v1/webhook-secrets`."""
    return Call("POST", "/v1/webhook-secrets", WebhookSecret, {"url": url})


def rotate(url: str, keep_s: int) -> Call[WebhookSecret]:
    """`POST /v1/webhook-secrets/rotate`."""
    body = {"url": url, "keep_s": keep_s}
    return Call("POST", "/v1/webhook-secrets/rotate", WebhookSecret, body)
