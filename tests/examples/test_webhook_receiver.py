"""The example of an endpoint takes what the server signs, and nothing else."""

import pytest
from examples.webhook_receiver import TOLERANCE_S, is_signed

from clarion.notifications.webhooks import signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
AT, BODY = 1_795_767_319, b'{"type": "order.shipped"}'


def signed(*secrets: str) -> dict[str, str]:
    return {
        "webhook-id": "m.0",
        "webhook-timestamp": str(AT),
        "webhook-signature": signature(secrets, "m.0", AT, BODY),
    }


def test_what_is_signed_is_taken() -> None:
    """Also while two secrets sign, whichever of them is known there."""
    assert is_signed(SECRET, signed(SECRET), BODY, AT)
    assert is_signed(SECRET, signed(OTHER, SECRET), BODY, AT + TOLERANCE_S)


@pytest.mark.parametrize(
    ("headers", "body", "now_s"),
    [
        (signed(OTHER), BODY, AT),
        (signed(SECRET), BODY + b" ", AT),
        (signed(SECRET), BODY, AT + TOLERANCE_S + 1),
        (signed(SECRET), BODY, AT - TOLERANCE_S - 1),
        (signed(SECRET) | {"webhook-id": "m.1"}, BODY, AT),
        (signed(SECRET) | {"webhook-timestamp": f"{AT + 1}"}, BODY, AT),
        (signed(SECRET) | {"webhook-timestamp": "soon"}, BODY, AT),
        (signed(SECRET) | {"webhook-signature": "v1,\xff"}, BODY, AT),
        ({}, BODY, AT),
    ],
)
def test_what_is_not_is_refused(headers: dict[str, str], body: bytes, now_s: int) -> None:
    """Another secret, another body, id or time, what is old or from the future, and no signature."""
    assert not is_signed(SECRET, headers, body, now_s)
