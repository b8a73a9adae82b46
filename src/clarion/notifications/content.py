"""What a message of the inbox says, and what it may not: one rule for what a back end sends and for what a workflow renders."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.clock import as_ms
from clarion.errors import Fault, Invalid
from clarion.notifications.workflows.durations import seconds
from clarion.patterns import worded
from clarion.protocol.jsontext import MAX_SAFE_INTEGER

# Control characters and spaces, spelled out: `\s` is not the same in ECMAScript, whose patterns JSON Schema has, and in Python.
BLANK = r"\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
# Where a button may lead: the web, a mail, or a path of the same site; not `//host`, which is another site, nor a script.
ACTION_URL = worded(
    rf"^(https?://[^\\{BLANK}]+|mailto:[^{BLANK}]+|/([^/\\{BLANK}][^\\{BLANK}]*)?)$(?!\n)",
    "an address to open: http(s)://…, mailto:…, or a path of the same site, such as /orders/7",
)
DATA_BYTES = 16 * 1024  # of JSON
# Deeper values would not fit into the events that carry them: those have 32 levels (protocol.jsontext), seven around this.
DATA_DEPTH = 20

_LEADS = re.compile(ACTION_URL)
Title = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=worded(r"^[^\u0000]*$", "text without U+0000"))
]
Body = Annotated[str, Meta(max_length=8192, pattern=worded(r"^[^\u0000]*$", "text without U+0000"))]
ActionUrl = Annotated[str, Meta(max_length=2048, pattern=ACTION_URL)]
Key = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=worded(r"^[^\u0000]*$", "text without U+0000"),
        description="A later message of the same key takes the place of this one in the same inbox: on top, unread",
    ),
]
Expires = Annotated[
    str,
    Meta(
        max_length=64,
        description="When it goes by itself: after a span (`2h`, `1d`), or at a time (RFC 3339, with its zone)",
    ),
]
Data = Annotated[dict[str, Any], Meta(description="JSON for the application, at most 16 KiB")]


class Button(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that a person can do about a message: once, and one of them."""

    id: Annotated[
        str, Meta(pattern=worded(r"^[A-Za-z0-9_-]{1,64}$", "1 to 64 of A-Z, a-z, 0-9, - and _"))
    ]
    label: Annotated[
        str,
        Meta(min_length=1, max_length=80, pattern=worded(r"^[^\u0000]*$", "text without U+0000")),
    ]
    url: Annotated[
        str,
        Meta(
            max_length=2048,
            pattern=worded(
                ACTION_URL.replace("^(", "^(|", 1),
                "empty, http(s)://…, mailto:… or a path of the same site",
            ),
            description="Where it leads as well; absent: nowhere",
        ),
    ] = ""
    style: Literal["default", "primary", "danger"] = "default"


Buttons = Annotated[
    list[Button], Meta(max_length=5, description="Its buttons, each with an id of its own")
]


_TAG = r"[A-Za-z0-9_.:-]{1,32}"
TAG = worded(rf"^{_TAG}$(?!\n)", "1 to 32 of A-Z, a-z, 0-9, _, ., : and -")
TAGS_MAX = 8
Tag = Annotated[
    str,
    Meta(
        pattern=worded(rf"^({_TAG})?$(?!\n)", "1 to 32 of A-Z, a-z, 0-9, _, ., : and -, or empty")
    ),
]
"""One tag; '': none."""
Tags = Annotated[
    list[Annotated[str, Meta(pattern=TAG)]],
    Meta(max_length=TAGS_MAX, description="What it is filed under: lists and counts narrow by one"),
]


Quiet = Annotated[
    bool,
    Meta(
        description="Where it takes the place of an earlier message of its key, it is read, seen, pinned, archived or snoozed if that was"
    ),
]


class Said(Struct, frozen=True):
    """What a message of the inbox says. `action_url` '': its click leads nowhere."""

    title: Title
    body: Body = ""
    action_url: Annotated[str, Meta(max_length=2048)] = ""
    data: Data | None = None
    key: Key = ""
    quiet: bool = False
    expires: Expires = ""
    actions: Buttons = []
    # Rendered, so that one may come out empty: then it is none.
    tags: Annotated[list[Tag], Meta(max_length=TAGS_MAX)] = []

    def __post_init__(self) -> None:
        """Refuse an address that leads where a button may not, and data that a browser would not get as it was sent."""
        if self.action_url and not _LEADS.match(self.action_url):
            raise ValueError("action_url: neither http(s), nor mailto, nor a path of the same site")
        if (wrong := wrong_json(self.data, DATA_BYTES)) is not None:
            raise ValueError(f"data: {wrong}")
        expiry_ms(self.expires, 0)
        check_buttons(self.actions)


def check_buttons(buttons: Sequence[Button]) -> None:
    """Refuse buttons that cannot be told apart.

    Raises:
        ValueError: Two have one id.
    """
    if len({each.id for each in buttons}) < len(buttons):
        raise ValueError("actions: two have one id")


def kept_buttons(buttons: Sequence[Any]) -> str:
    """Buttons as they are kept."""
    return msgspec.json.encode(buttons).decode() if buttons else ""


def kept_tags(tags: Sequence[str]) -> str:
    """Tags as they are kept, each once: a space around each, '' without any."""
    kept = [tag for tag in dict.fromkeys(tags) if tag]
    return f" {' '.join(kept)} " if kept else ""


def tags_of(text: str) -> list[str]:
    """Kept tags as they are shown."""
    return text.split()


def expiry_ms(expires: str, now_ms: int) -> int | None:
    """When what is said now expires; '' is never: None.

    Raises:
        ValueError: It is neither a span nor a time.
    """
    if not (text := expires.strip()):
        return None
    if text[:4].isdigit() and text[4:5] == "-":
        try:
            at = datetime.fromisoformat(text)
            if at.tzinfo is not None:
                at = at.astimezone(UTC)
        except (ValueError, OverflowError) as exc:
            raise ValueError(f"expires: {text[:64]!r} is no time") from exc
        if at.tzinfo is None:
            raise ValueError(f"expires: {text[:64]!r} does not say its zone")
        return as_ms(at)
    try:
        return now_ms + seconds(text) * 1000
    except ValueError as exc:
        raise ValueError(f"expires: {exc}, or a time") from exc


def check_json(value: dict[str, Any] | None, limit: int, pointer: str) -> None:
    """Refuse what a browser would not get as it was sent, while its sender is still there to hear of it.

    Raises:
        Invalid: It has more bytes of JSON than `limit`, is too deep, or has an integer that JavaScript has not.
    """
    if (wrong := wrong_json(value, limit)) is not None:
        raise Invalid(wrong, faults=[Fault(pointer, wrong)])


def wrong_json(value: dict[str, Any] | None, limit: int) -> str | None:
    """What is wrong with a value; None: nothing."""
    if value is None:
        return None
    if (size := len(msgspec.json.encode(value))) > limit:
        return f"{size} bytes of JSON, {limit} are allowed"
    return _unsafe(value, DATA_DEPTH)


def _unsafe(value: Any, depth: int) -> str | None:
    if isinstance(value, dict | list):
        if not depth:
            return f"nested deeper than {DATA_DEPTH} levels"
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return next((wrong for item in inner if (wrong := _unsafe(item, depth - 1))), None)
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        return "an integer beyond 2^53 - 1, which JavaScript does not have: send it as text"
    if isinstance(value, str) and "\0" in value:
        return "U+0000 is not allowed"
    return None
