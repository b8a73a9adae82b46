"""What a step of a workflow says by email."""

import base64
from typing import Annotated

from msgspec import Meta, Struct

from clarion.notifications.channels.email.headers import Address, Unwritable
from clarion.patterns import worded

_Where = Annotated[str, Meta(max_length=1_000)]


class Attachment(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file that goes with it: fetched from `url`, or given as `content` in base64. Each text is a template."""

    url: Annotated[str, Meta(max_length=2_048)] = ""
    content: str = ""
    filename: Annotated[str, Meta(max_length=255)] = ""
    type: Annotated[str, Meta(max_length=127)] = ""
    cid: Annotated[str, Meta(max_length=64, pattern=worded(r"^[A-Za-z0-9._-]*$(?!\n)", "letters, digits, `.`, `_` and `-`"), description="`<img src=\"cid:logo\">`")] = ""  # fmt: skip
    """Names an image that stands in the HTML; '' is an attachment."""

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.content):
            raise ValueError("an attachment has either a `url` or `content`")


class EmailContent(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}
):
    """What an email says; each text is a template, `html` one whose values are escaped. `text` is made from `html` where it is missing."""

    subject: Annotated[str, Meta(min_length=1, max_length=1_000)]
    text: Annotated[str, Meta(max_length=262_144)] = ""
    html: Annotated[str, Meta(max_length=262_144)] = ""
    from_: _Where = ""
    """Instead of the sender of the settings."""
    reply_to: _Where = ""
    cc: Annotated[list[_Where], Meta(max_length=20)] = []
    thread: Annotated[str, Meta(max_length=1_000)] = ""
    """Names a conversation, whose emails mail readers show together."""
    attachments: Annotated[list[Attachment], Meta(max_length=50)] = []
    track: bool = True
    """Whether opens and clicks are noticed, where the server does that at all."""

    def __post_init__(self) -> None:
        if not self.text and not self.html:
            raise ValueError("an email has `text` or `html`, or both")


class EmailSaid(EmailContent, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The same once it is rendered: what must be an address is one, and what must be base64 is that."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.subject.strip():
            raise ValueError("subject: is empty")
        given = [("from", self.from_), ("reply_to", self.reply_to), *(("cc", cc) for cc in self.cc)]
        for name, text in given:
            try:
                if text:
                    Address(text)
            except Unwritable as exc:
                raise ValueError(f"{name}: {exc}") from exc
        for each in self.attachments:
            if each.content:
                decoded(each.content)


def decoded(content: str) -> bytes:
    """Bytes given as base64, with or without ends of line.

    Raises:
        ValueError: They are not.
    """
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except ValueError as exc:
        raise ValueError("an attachment's `content` is no base64") from exc
