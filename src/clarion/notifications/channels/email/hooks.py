"""What providers tell of emails, each in its own words. Pure.

    generic     {"events": [{"event": "bounced", "message": "<our Message-ID>", "permanent": true, "detail": "5.1.1 unknown"}]}
    ses         Amazon SNS with SES notifications or event publishing
    postmark, mailgun, sendgrid   their event webhooks

What is not understood is left out: a provider that adds a kind of event must not be told that its calls fail.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

Kind = Literal[
    "delivered", "deferred", "bounced", "complained", "unsubscribed", "opened", "clicked"
]
EVENTS: Final = 5_000
"""Of one call, more than any provider sends; what comes behind them is left out."""
TEXT_CHARS: Final = 500
MAILGUN_S: Final = 300  # a signature is good for so long


class Told(Struct, frozen=True):
    """One event. A message is named by our Message-ID, or by what the provider calls it; '' where it does not say.

    `is_permanent`: of a bounce, that the address is no good. `agent`: the program that opened or clicked; None: the provider has
    judged by itself, see `is_machine`.
    """

    kind: Kind
    message: str = ""
    provider_id: str = ""
    address: str = ""
    at_ms: int | None = None
    detail: str = ""
    is_permanent: bool = False
    agent: str | None = None
    is_machine: bool = False


class Confirm(Struct, frozen=True):
    """It wants to know whether it may call here: by a GET of this address."""

    url: str


def is_genuine(shape: str, secret: str, authorization: str, body: Any, now_ms: int) -> bool:
    """Whether a call comes from who knows the secret.

    `Authorization: Bearer <secret>`, or the secret as the password of Basic (`https://any:secret@…`, which all of them can be
    given); Mailgun may sign instead.
    """
    scheme, _, given = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return hmac.compare_digest(given.strip().encode(), secret.encode())
        case "basic":
            try:
                password = base64.b64decode(given.strip(), validate=True).partition(b":")[2]
            except ValueError:
                return False
            return hmac.compare_digest(password, secret.encode())
    if shape != "mailgun":
        return False
    signature = _dict(_dict(body).get("signature"))
    stamp, token = _text(signature.get("timestamp")), _text(signature.get("token"))
    if not stamp.isdecimal() or len(stamp) > 12 or abs(int(stamp) * 1000 - now_ms) > MAILGUN_S * 1000:  # fmt: skip
        return False
    expected = hmac.new(secret.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(_text(signature.get("signature")).encode(), expected.encode())


def read(shape: str, body: Any) -> list[Told | Confirm]:
    """The events of a call, in their order; at most `EVENTS`."""
    found: list[Told | Confirm] = []
    for event in SHAPES[shape](body):
        found.append(event)
        if len(found) == EVENTS:
            break
    return found


def _generic(body: Any) -> Iterator[Told]:
    for event in _list(_dict(body).get("events")):
        kind = _text(event.get("event"))
        if kind in _KINDS:
            yield Told(
                _KINDS[kind],
                message=_text(event.get("message")),
                provider_id=_text(event.get("provider_id")),
                address=_text(event.get("address")),
                at_ms=_time(event.get("at")),
                detail=_text(event.get("detail") or event.get("url")),
                is_permanent=event.get("permanent") is True,
                agent=_text(event.get("user_agent")) if "user_agent" in event else None,
                is_machine=event.get("machine") is True,
            )


_KINDS: Final[Mapping[str, Kind]] = {
    "delivered": "delivered", "deferred": "deferred", "bounced": "bounced", "complained": "complained",
    "unsubscribed": "unsubscribed", "opened": "opened", "clicked": "clicked",
}  # fmt: skip


def _ses(body: Any) -> Iterator[Told | Confirm]:
    given = _dict(body)
    if given.get("Type") == "SubscriptionConfirmation":
        yield Confirm(_text(given.get("SubscribeURL"), 2_048))
        return
    said = _dict(_json(given.get("Message")) if "Message" in given else given)
    mail = _dict(said.get("mail"))
    headers = {_text(each.get("name")).lower(): _text(each.get("value")) for each in _list(mail.get("headers"))}  # fmt: skip
    name = _text(said.get("eventType") or said.get("notificationType"))
    about = _dict(said.get(name[:1].lower() + name[1:]))
    known = Told(
        "delivered", message=headers.get("message-id", ""), provider_id=_text(mail.get("messageId"))
    )
    at_ms = _time(about.get("timestamp"))
    match name:
        case "Bounce":
            is_permanent = about.get("bounceType") == "Permanent"
            for each in _list(about.get("bouncedRecipients")):
                yield replace(known, kind="bounced" if is_permanent else "deferred", address=_text(each.get("emailAddress")), at_ms=at_ms,
                           detail=_text(each.get("diagnosticCode")), is_permanent=is_permanent)  # fmt: skip
        case "Complaint":
            for each in _list(about.get("complainedRecipients")):
                yield replace(known, kind="complained", address=_text(each.get("emailAddress")), at_ms=at_ms, detail=_text(about.get("complaintFeedbackType")))  # fmt: skip
        case "Delivery":
            yield replace(
                known, kind="delivered", at_ms=at_ms, detail=_text(about.get("smtpResponse"))
            )
        case "DeliveryDelay":
            yield replace(known, kind="deferred", at_ms=at_ms, detail=_text(about.get("delayType")))
        case "Open" | "Click":
            kind: Kind = "opened" if name == "Open" else "clicked"
            yield replace(known, kind=kind, at_ms=at_ms, detail=_text(about.get("link")), agent=_text(about.get("userAgent")))  # fmt: skip


def _postmark(body: Any) -> Iterator[Told]:
    given = _dict(body)
    message = _text(_dict(given.get("Metadata")).get("clarion"))
    known = Told(
        "delivered",
        message=message,
        provider_id=_text(given.get("MessageID")),
        address=_text(given.get("Recipient") or given.get("Email")),
    )
    match given.get("RecordType"):
        case "Delivery":
            yield replace(known, kind="delivered", at_ms=_time(given.get("DeliveredAt")), detail=_text(given.get("Details")))  # fmt: skip
        case "Bounce":
            is_permanent = given.get("Type") in ("HardBounce", "BadEmailAddress")
            yield replace(known, kind="bounced" if is_permanent else "deferred", at_ms=_time(given.get("BouncedAt")),
                       detail=_text(given.get("Details") or given.get("Description")), is_permanent=is_permanent)  # fmt: skip
        case "SpamComplaint":
            yield replace(known, kind="complained", at_ms=_time(given.get("BouncedAt")))
        case "Open" | "Click" as name:
            kind: Kind = "opened" if name == "Open" else "clicked"
            yield replace(known, kind=kind, at_ms=_time(given.get("ReceivedAt")), detail=_text(given.get("OriginalLink")),
                       agent=_text(given.get("UserAgent")))  # fmt: skip
        case "SubscriptionChange" if given.get("SuppressSending") is True:
            yield replace(known, kind="unsubscribed", at_ms=_time(given.get("ChangedAt")))


_MAILGUN: Final[Mapping[str, Kind]] = {
    "delivered": "delivered", "opened": "opened", "clicked": "clicked", "complained": "complained", "unsubscribed": "unsubscribed",
}  # fmt: skip


def _mailgun(body: Any) -> Iterator[Told]:
    given = _dict(_dict(body).get("event-data"))
    name, client = _text(given.get("event")), _dict(given.get("client-info"))
    status = _dict(given.get("delivery-status"))
    is_permanent = given.get("severity") == "permanent"
    kind = _MAILGUN.get(name)
    if name == "failed":
        kind = "bounced" if is_permanent else "deferred"
    if kind is not None:
        yield Told(
            kind,
            message=_text(_dict(_dict(given.get("message")).get("headers")).get("message-id")),
            address=_text(given.get("recipient")),
            at_ms=_time(given.get("timestamp")),
            detail=_text(given.get("url") or status.get("message") or status.get("description")),
            is_permanent=is_permanent,
            agent=_text(client.get("user-agent")) if kind in ("opened", "clicked") else None,
            is_machine=bool(client.get("bot")),
        )


_SENDGRID: Final[Mapping[str, Kind]] = {
    "delivered": "delivered", "deferred": "deferred", "bounce": "bounced", "open": "opened", "click": "clicked",
    "spamreport": "complained", "unsubscribe": "unsubscribed", "group_unsubscribe": "unsubscribed",
}  # fmt: skip


def _sendgrid(body: Any) -> Iterator[Told]:
    for event in _list(body):
        kind = _SENDGRID.get(_text(event.get("event")))
        is_permanent = kind == "bounced" and event.get("type") != "blocked"
        if kind == "bounced" and not is_permanent:
            kind = "deferred"
        if kind is not None:
            yield Told(
                kind,
                message=_text(event.get("smtp-id")),
                provider_id=_text(event.get("sg_message_id")),
                address=_text(event.get("email")),
                at_ms=_time(event.get("timestamp")),
                detail=_text(event.get("url") or event.get("reason")),
                is_permanent=is_permanent,
                agent=_text(event.get("useragent")) if kind in ("opened", "clicked") else None,
                is_machine=event.get("sg_machine_open") is True,
            )


SHAPES: Final[Mapping[str, Callable[[Any], Iterator[Told | Confirm]]]] = {
    "generic": _generic,
    "ses": _ses,
    "postmark": _postmark,
    "mailgun": _mailgun,
    "sendgrid": _sendgrid,
}


def marks(shape: str, message: str) -> tuple[tuple[str, str], ...]:
    """Headers by which a provider that names messages anew tells us of this one."""
    return (("X-PM-Metadata-clarion", message),) if shape == "postmark" else ()


# ── what strangers send may be anything ──
def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any, chars: int = TEXT_CHARS) -> str:
    """A text that can be stored: a mail server that somebody writes to says what it likes."""
    if not isinstance(value, str):
        return ""
    return value[:chars].replace("\0", "�").encode(errors="replace").decode()


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def _time(value: Any) -> int | None:
    """Seconds since 1970, or RFC 3339; None: it does not say, or nothing that could be."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11:
        return int(value * 1000)
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value[:26].rstrip("Z") + "+00:00" if value.endswith("Z") else value)  # fmt: skip
        at_ms = int(found.timestamp() * 1000) if found.tzinfo else 0
        return at_ms if at_ms > 0 else None
    except (ValueError, OverflowError):
        return None
