"""What providers tell, in each one's words; and whatever strangers send."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.notifications.channels.email.hooks import (
    EVENTS,
    SHAPES,
    Confirm,
    Told,
    is_genuine,
    marks,
    read,
)

ID = "<0199c3a1-2b7e-7c10-9a55-5d1f0c6a7e21.2.0@example.com>"
AT, AT_MS = "2026-11-26T08:30:00.000Z", 1_795_681_800_000


def ses(name: str, **about: Any) -> dict[str, Any]:
    import json

    mail = {"messageId": "0102", "headers": [{"name": "Message-ID", "value": ID}, 7]}
    said = {"notificationType": name, "mail": mail, name[:1].lower() + name[1:]: {"timestamp": AT, **about}}  # fmt: skip
    return {"Type": "Notification", "Message": json.dumps(said)}


def postmark(record: str, **more: Any) -> dict[str, Any]:
    return {"RecordType": record, "MessageID": "pm1", "Recipient": "ann@example.org", "Metadata": {"clarion": ID}, **more}  # fmt: skip


def mailgun(event: str, **more: Any) -> dict[str, Any]:
    message = {"headers": {"message-id": ID.strip("<>")}}
    return {"event-data": {"event": event, "timestamp": AT_MS / 1000, "message": message, "recipient": "ann@example.org", **more}}  # fmt: skip


def sendgrid(event: str, **more: Any) -> list[Any]:
    return [{"event": event, "timestamp": AT_MS // 1000, "smtp-id": ID, "email": "ann@example.org", **more}]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "body", "kind", "more"),
    [
        ("generic", {"events": [{"event": "bounced", "message": ID, "at": AT, "permanent": True, "detail": "d"}]}, "bounced", {"is_permanent": True, "detail": "d"}),
        ("generic", {"events": [{"event": "opened", "message": ID, "at": AT_MS / 1000, "user_agent": "x", "machine": True}]}, "opened", {"agent": "x", "is_machine": True}),
        ("ses", ses("Delivery", smtpResponse="250 ok"), "delivered", {"detail": "250 ok"}),
        ("ses", ses("Bounce", bounceType="Permanent", bouncedRecipients=[{"emailAddress": "a@x", "diagnosticCode": "550"}]), "bounced", {"is_permanent": True, "address": "a@x", "detail": "550"}),
        ("ses", ses("Bounce", bounceType="Transient", bouncedRecipients=[{"emailAddress": "a@x"}]), "deferred", {}),
        ("ses", ses("Complaint", complainedRecipients=[{"emailAddress": "a@x"}], complaintFeedbackType="abuse"), "complained", {"detail": "abuse"}),
        ("ses", ses("DeliveryDelay", delayType="MailboxFull"), "deferred", {"detail": "MailboxFull"}),
        ("ses", ses("Open", userAgent="ua"), "opened", {"agent": "ua"}),
        ("ses", ses("Click", userAgent="ua", link="https://x.org"), "clicked", {"detail": "https://x.org"}),
        ("postmark", postmark("Delivery", DeliveredAt=AT, Details="ok"), "delivered", {"detail": "ok"}),
        ("postmark", postmark("Bounce", BouncedAt=AT, Type="HardBounce", Description="gone"), "bounced", {"is_permanent": True, "detail": "gone"}),
        ("postmark", postmark("Bounce", BouncedAt=AT, Type="Transient"), "deferred", {}),
        ("postmark", postmark("SpamComplaint", BouncedAt=AT), "complained", {}),
        ("postmark", postmark("Open", ReceivedAt=AT, UserAgent="ua"), "opened", {"agent": "ua"}),
        ("postmark", postmark("Click", ReceivedAt=AT, UserAgent="ua", OriginalLink="https://x.org"), "clicked", {"detail": "https://x.org"}),
        ("postmark", postmark("SubscriptionChange", ChangedAt=AT, SuppressSending=True), "unsubscribed", {}),
        ("mailgun", mailgun("delivered"), "delivered", {"address": "ann@example.org"}),
        ("mailgun", mailgun("failed", severity="permanent", **{"delivery-status": {"message": "550 gone"}}), "bounced", {"is_permanent": True, "detail": "550 gone"}),
        ("mailgun", mailgun("failed", severity="temporary"), "deferred", {}),
        ("mailgun", mailgun("opened", **{"client-info": {"user-agent": "ua", "bot": "apple"}}), "opened", {"agent": "ua", "is_machine": True}),
        ("mailgun", mailgun("clicked", url="https://x.org", **{"client-info": {"user-agent": "ua"}}), "clicked", {"detail": "https://x.org"}),
        ("mailgun", mailgun("complained"), "complained", {}),
        ("sendgrid", sendgrid("delivered"), "delivered", {}),
        ("sendgrid", sendgrid("bounce", reason="550", type="bounce"), "bounced", {"is_permanent": True, "detail": "550"}),
        ("sendgrid", sendgrid("bounce", type="blocked"), "deferred", {}),
        ("sendgrid", sendgrid("open", useragent="ua", sg_machine_open=True), "opened", {"agent": "ua", "is_machine": True}),
        ("sendgrid", sendgrid("click", useragent="ua", url="https://x.org"), "clicked", {"detail": "https://x.org"}),
        ("sendgrid", sendgrid("spamreport"), "complained", {}),
        ("sendgrid", sendgrid("group_unsubscribe"), "unsubscribed", {}),
    ],
)  # fmt: skip
def test_words_of_providers(shape: str, body: Any, kind: str, more: dict[str, Any]) -> None:
    """Each says what happened to which message, when, and whether for good."""
    [found] = read(shape, body)
    assert isinstance(found, Told)
    assert found.kind == kind
    assert ID.strip("<>") in found.message
    assert found.at_ms == AT_MS
    for name, value in more.items():
        assert getattr(found, name) == value


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("generic", {"events": [{"event": "later"}, 7]}),
        ("ses", {"Type": "Notification", "Message": "{"}),
        ("ses", {"notificationType": "Reject"}),
        ("ses", {"Message": 7}),
        ("ses", {"Message": "[" * 100_000}),
        ("postmark", {"RecordType": "Inbound"}),
        ("postmark", {"RecordType": "SubscriptionChange", "SuppressSending": False}),
        ("mailgun", {"event-data": {"event": "stored"}}),
        ("sendgrid", [{"event": "processed"}]),
    ],
)  # fmt: skip
def test_what_is_not_known_is_left_out(shape: str, body: Any) -> None:
    """A provider that tells more than we ask is not told that it fails."""
    assert read(shape, body) == []


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["events", "event", "at", "Message", "mail", "headers", "event-data", "message", "timestamp", "RecordType", "Metadata", "Type"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(sorted(SHAPES)), _json)
def test_whatever_strangers_send_it_is_read(shape: str, body: Any) -> None:
    """No body makes it fail."""
    read(shape, body)
    is_genuine(shape, "secret", "", body, 0)


def test_calls_are_bounded_and_confirmations_are_seen() -> None:
    """What is beyond five thousand events is left out; Amazon asks for its confirmation."""
    assert len(read("sendgrid", sendgrid("open") * (EVENTS + 5))) == EVENTS
    asks = {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?x"}  # fmt: skip
    assert read("ses", asks) == [Confirm("https://sns.eu-west-1.amazonaws.com/?x")]


@pytest.mark.parametrize("at", [True, -1, 1e12, "yesterday", "2026-11-26", "9999-99-99T00:00:00Z", "0001-01-01T00:00:00+23:59", None])  # fmt: skip
def test_times_that_are_none(at: Any) -> None:
    """Then it happened now."""
    [found] = read("generic", {"events": [{"event": "opened", "at": at}]})
    assert isinstance(found, Told)
    assert found.at_ms is None


def test_mailgun_may_sign() -> None:
    """With the secret over time and token, while that is new; the others may not."""
    body = {"signature": {"timestamp": "1795681800", "token": "t"}}
    signature = hmac.new(b"secret", b"1795681800t", hashlib.sha256).hexdigest()
    body["signature"]["signature"] = signature
    assert is_genuine("mailgun", "secret", "", body, AT_MS)
    assert not is_genuine("mailgun", "secret", "", body, AT_MS + 301_000)
    assert not is_genuine("mailgun", "other", "", body, AT_MS)
    assert not is_genuine("mailgun", "secret", "", {"signature": {"timestamp": "x"}}, AT_MS)
    assert not is_genuine("postmark", "secret", "", body, AT_MS)
    assert is_genuine("ses", "secret", "Bearer secret", None, 0)
    assert is_genuine("ses", "secret", "Basic eDpzZWNyZXQ=", None, 0)
    assert not is_genuine("ses", "secret", "Basic eA", None, 0)
    assert marks("postmark", ID) == (("X-PM-Metadata-clarion", ID),)
    assert marks("ses", ID) == ()
