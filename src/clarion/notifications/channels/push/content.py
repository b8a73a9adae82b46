"""What a push message says, and how it is put into each protocol's words. Pure.

A browser's service worker, an Android app and Apple's are given the same: what to show, where a click leads, `data` for the
application, and a token with which the device reports that it was shown and clicked.
"""

import base64
import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.notifications.channels.push.encryption import MAX_BODY, MAX_PAYLOAD

RESERVED: Final = 400
"""Bytes that the report's token and the frame may take; the rest of `MAX_PAYLOAD` is for what a step says."""
DAY_S: Final = 86_400
LONGEST_S: Final = 28 * DAY_S  # what FCM keeps at most; others keep less

Urgency = Literal["very-low", "low", "normal", "high"]
Text = Annotated[str, Meta(max_length=4_096)]
Url = Annotated[str, Meta(max_length=2_048)]
Whole = Annotated[str, Meta(max_length=1_000)]


class Action(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A button. Browsers show two; a click on it leads to its own `url`, else to that of the message."""

    action: Annotated[str, Meta(min_length=1, max_length=64)]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    url: Url = ""
    icon: Url = ""


class _Shown(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    title: Annotated[str, Meta(min_length=1, max_length=1_000)]
    body: Text = ""
    url: Url = ""
    """Where a click leads, relative to the page's origin or whole."""
    icon: Url = ""
    image: Url = ""
    tag: Annotated[str, Meta(max_length=500)] = ""
    """Replaces the message with the same tag: on the screen, and on its way."""
    renotify: bool = False
    """Whether one that replaces another makes a sound again."""
    actions: Annotated[list[Action], Meta(max_length=4)] = []
    data: dict[str, Any] | None = None
    urgency: Urgency = "high"
    """`high` wakes a phone that sleeps; what can wait says less."""
    ttl: Annotated[int, Meta(ge=0, le=LONGEST_S)] = DAY_S
    """Seconds that a push service keeps it for a device that is off; 0: now or never."""


class PushContent(
    _Shown, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What a step says; each text is a template, `badge` as well.

    Without any template in it, its size is known when it is saved, and one that no push service would take is refused then.
    """

    badge: Annotated[int, Meta(ge=0)] | Whole | None = None
    """The number on the application's icon; 0 takes it away."""

    def __post_init__(self) -> None:
        """Refuse what never fits."""
        if not _has_template(msgspec.to_builtins(self)):
            _check_size(_payload(self))


class PushSaid(_Shown, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The same once it is rendered."""

    badge: Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=r"^\s*\d{0,9}\s*$")] | None = (
        None
    )

    def __post_init__(self) -> None:
        """Refuse what does not fit: this message fails, and no other."""
        _check_size(_payload(self))

    @property
    def number(self) -> int | None:
        """The badge; None: it stays as it is."""
        text = "" if self.badge is None else str(self.badge).strip()
        return int(text) if text else None


def web_payload(said: PushSaid, report: str) -> bytes:
    """The JSON that a service worker reads: what was said, without `ttl` and `urgency`, and `report`, its token."""
    return msgspec.json.encode(_payload(said) | {"report": report})


def topic_of(tag: str) -> str:
    """The `Topic` header (RFC 8030 §5.4): at most 32 characters of base64url, the same for the same tag."""
    return base64.urlsafe_b64encode(hashlib.sha256(tag.encode()).digest()[:24]).decode()


def fcm_message(said: PushSaid, report: str, token: str) -> dict[str, Any]:
    """The body of FCM's `messages:send`: `data` has texts only, so what the application gave is one text of JSON."""
    data = {"report": report, "url": said.url, "tag": said.tag}
    if said.data is not None:
        data["data"] = msgspec.json.encode(said.data).decode()
    android: dict[str, Any] = {
        "ttl": f"{said.ttl}s",
        "priority": "HIGH" if said.urgency == "high" else "NORMAL",
    }
    shown: dict[str, Any] = {}
    if said.tag:
        android["collapse_key"] = topic_of(said.tag)
        shown["tag"] = said.tag
    if said.number is not None:
        shown["notification_count"] = said.number
    if shown:
        android["notification"] = shown
    notification = {"title": said.title, "body": said.body, "image": said.image}
    return {
        "message": {
            "token": token,
            "notification": {name: text for name, text in notification.items() if text},
            "data": {name: text for name, text in data.items() if text},
            "android": android,
        }
    }


def apns_payload(said: PushSaid, report: str) -> bytes:
    """The body of a push to Apple's devices."""
    aps: dict[str, Any] = {"alert": {"title": said.title, "body": said.body}, "sound": "default"}
    if said.number is not None:
        aps["badge"] = said.number
    payload: dict[str, Any] = {"aps": aps, "report": report}
    if said.url:
        payload["url"] = said.url
    if said.data is not None:
        payload["data"] = said.data
    return msgspec.json.encode(payload)


APNS_PRIORITY: Final = {"very-low": "1", "low": "5", "normal": "5", "high": "10"}


def _payload(said: PushContent | PushSaid) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(said)
    shown.pop("ttl", None)
    shown.pop("urgency", None)
    badge = said.number if isinstance(said, PushSaid) else said.badge
    shown.pop("badge", None)
    return shown if badge is None else shown | {"badge": badge}


def _check_size(payload: dict[str, Any]) -> None:
    size, most = len(msgspec.json.encode(payload)), MAX_PAYLOAD - RESERVED
    if size > most:
        raise ValueError(
            f"{size} bytes of JSON, {most} are allowed: push services take {MAX_BODY} when encrypted"
        )


def _has_template(value: Any) -> bool:
    match value:
        case str():
            return "{{" in value or "{%" in value
        case dict():
            return any(map(_has_template, value.values()))
        case list():
            return any(map(_has_template, value))
        case _:
            return False
