"""What a mail server's answer means for a message. Pure.

Source: RFC 5321 §4.2 (replies), RFC 3463 (enhanced codes: `5.1.1` is a class, a subject and a detail).
"""

import re
from typing import Final, Literal

from msgspec import Struct

Stage = Literal["connect", "auth", "sender", "recipient", "data"]

_ENHANCED: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# Addresses that do not exist, or no longer: further mail there harms the sender's name.
_GONE: Final = frozenset({(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1)})
_GONE_WORDS: Final = re.compile(
    r"user unknown|unknown user|no such (?:user|mailbox|recipient|address)|does ?n.t exist|not exist"
    r"|(?:mailbox|user|address|recipient) (?:is )?(?:not found|unavailable|disabled|unknown|inactive)",
    re.IGNORECASE,
)
_LATER: Final = re.compile(
    r"\b(\d{1,5}) ?(s|sec|secs|second|seconds|m|min|mins|minute|minutes)\b", re.IGNORECASE
)
_QUEUED: Final = re.compile(r"queued as <?([\w.@-]{1,200})|^(?:2\.\d\.\d )?ok:? <?([\w.@-]{10,200})>?", re.IGNORECASE)  # fmt: skip
LATEST_S: Final = 3_600.0
"""Longer than this is not waited because a server says so."""


class Meaning(Struct, frozen=True):
    """What to do: `is_final`, trying again cannot help; `is_mailbox`, it is about the address; `is_gone`, which does not exist.

    `is_servers`: the server's own failure, so another may take the message. `after_s`: when it said to come again, None if not.
    """

    is_final: bool
    is_mailbox: bool
    is_gone: bool
    is_servers: bool
    after_s: float | None


def meaning(code: int, text: str, stage: Stage) -> Meaning:
    """What a refusal says. `code` has three digits; `text` may begin with an enhanced one."""
    found = _ENHANCED.search(text)
    subject, detail = (int(found[2]), int(found[3])) if found else (0, 0)
    if code < 500 or stage in ("connect", "auth"):
        # 421: the server is closing, or has had enough of us. A password that is wrong is not the message's fault.
        is_servers = code == 421 or stage in ("connect", "auth") or code == 454
        return Meaning(False, False, False, is_servers, _after(text))
    if stage != "recipient":
        # Of the message itself: too large, refused by a filter, a sender that may not.
        return Meaning(True, False, False, False, None)
    is_mailbox = subject in (0, 1, 2)
    is_gone = (subject, detail) in _GONE if found else code in (550, 551, 553) and bool(_GONE_WORDS.search(text))  # fmt: skip
    return Meaning(True, is_mailbox, is_gone, False, None)


def given_id(text: str) -> str:
    """What the server calls a message that it took; '' if it does not say: `2.0.0 Ok: queued as 4Gx1`, `Ok 0102018f-…`."""
    found = _QUEUED.search(text)
    return (found[1] or found[2]).rstrip(".") if found else ""


def _after(text: str) -> float | None:
    found = _LATER.search(text)
    if found is None:
        return None
    return min(LATEST_S, int(found[1]) * (60.0 if found[2].lower().startswith("m") else 1.0))
