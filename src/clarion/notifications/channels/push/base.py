"""What carries push messages: one provider for each kind of device, each with the same few words."""

from email.utils import parsedate_to_datetime
from typing import Any, Literal

from msgspec import Struct

from clarion.clock import Clock
from clarion.notifications.channels.base import NotSent, Outgoing
from clarion.notifications.channels.push.content import PushSaid

Kind = Literal["web", "fcm", "apns"]
LONGEST_WAIT_S = 86_400.0  # whatever a push service says


class Device(Struct, frozen=True):
    """Where a message goes.

    Attributes:
        id: Ours.
        kind: Who carries it there.
        address: The endpoint (web) or the device's token.
        data: What is needed beside it: `p256dh` and `auth` (web), `topic` (apns).
        updated_ms: When it was last said that it is there.
    """

    id: str
    kind: Kind
    address: str
    data: dict[str, Any]
    updated_ms: int


class Push(Outgoing, frozen=True, kw_only=True):
    """A message with all that its provider needs."""

    device: Device
    said: PushSaid
    report: str


class Gone(NotSent):
    """The device takes no more messages: it is forgotten, unless it was registered anew after `since_ms` (None: since it was read)."""

    def __init__(self, why: str, *, provider: str, since_ms: int | None = None) -> None:
        super().__init__(why, provider=provider, is_final=True)
        self.since_ms = since_ms


class Unwelcome(NotSent):
    """The device was refused for a reason that may pass, or may not: after several in a row it is forgotten."""

    def __init__(self, why: str, *, provider: str) -> None:
        super().__init__(why, provider=provider, is_final=True)


def push_of(message: Outgoing) -> Push:
    """The message as the channel made it."""
    assert isinstance(message, Push), "the channel hands nothing else over"
    return message


def retry_after_s(header: str | None, clock: Clock) -> float | None:
    """What a Retry-After header says (RFC 9110 §10.2.3), in either form; None: nothing that can be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(text)
        wait_s = at.timestamp() - clock.now_ms() / 1000
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


def words(body: bytes) -> str:
    """A provider's answer for a person: the beginning of it, on one line."""
    return " ".join(body[:500].decode(errors="replace").split())[:200]
