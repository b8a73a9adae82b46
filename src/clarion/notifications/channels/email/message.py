"""An email, written: header block and body, the same bytes each time for the same letter. Pure."""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from msgspec import Struct

from clarion.notifications.channels.email import mime
from clarion.notifications.channels.email.headers import (
    Address,
    addresses,
    clean,
    header,
    structured,
)
from clarion.notifications.channels.email.plain import to_text

_ID: Final = re.compile(
    r"<?([0-9a-f-]{36}\.\d{1,3}\.\d{1,3})(?:\.t-([a-z2-7]{1,400}))?@[^<>@\s]+>?\Z"
)
SUBJECT_CHARS: Final = 500


class Letter(Struct, frozen=True):
    """All that an email says. `html` and `text`: one of them at least; without `text` it is made from `html`.

    `unsubscribe`: where one click ends this (https), '' for none. `thread`: a Message-ID that all of a conversation refer to.
    """

    id: str
    date: datetime
    sender: Address
    to: Sequence[Address]
    subject: str
    text: str = ""
    html: str = ""
    cc: Sequence[Address] = ()
    reply_to: Sequence[Address] = ()
    thread: str = ""
    unsubscribe: str = ""
    files: Sequence[mime.File] = ()
    headers: Sequence[tuple[str, str]] = ()

    @property
    def is_utf8(self) -> bool:
        """Whether only a server with SMTPUTF8 (RFC 6531) takes it."""
        return any(each.is_utf8 for each in (self.sender, *self.to, *self.cc, *self.reply_to))


def write(letter: Letter) -> bytes:
    """The message as it goes over the wire, lines ended by CRLF, dots not doubled.

    Raises:
        Unwritable: Something cannot stand where it should.
    """
    head = b"".join(_head(letter))
    body = _body(letter)
    return head + b"MIME-Version: 1.0\r\n" + body.head + b"\r\n" + body.body


def _head(letter: Letter) -> list[bytes]:
    lines = [
        structured("Date", format_datetime(letter.date).split(" ")),
        structured("Message-ID", [letter.id]),
        addresses("From", [letter.sender]),
        addresses("To", list(letter.to)),
    ]
    if letter.cc:
        lines.append(addresses("Cc", list(letter.cc)))
    if letter.reply_to:
        lines.append(addresses("Reply-To", list(letter.reply_to)))
    lines.append(header("Subject", clean(letter.subject)[:SUBJECT_CHARS]))
    if letter.thread:
        # The one that all answer need not exist: readers group by it.
        lines += [structured("In-Reply-To", [letter.thread]), structured("References", [letter.thread])]  # fmt: skip
    if letter.unsubscribe:
        # RFC 8058: one click is a POST; RFC 2369 §2 has the angle brackets.
        lines.append(structured("List-Unsubscribe", [f"<{letter.unsubscribe}>"]))
        lines.append(structured("List-Unsubscribe-Post", ["List-Unsubscribe=One-Click"]))
    # RFC 3834 §5: no out-of-office answers.
    lines += [structured("Auto-Submitted", ["auto-generated"]), structured("X-Auto-Response-Suppress", ["All"])]  # fmt: skip
    lines += [header(name, value) for name, value in letter.headers]
    return lines


def _body(letter: Letter) -> mime.Part:
    seed = letter.id
    texts = [mime.text_part("plain", letter.text or to_text(letter.html))]
    if letter.html:
        inline = [mime.file_part(file) for file in letter.files if file.cid]
        # RFC 2387 §3.1: what the root is.
        kind = ["type=text/html"]
        page = mime.nested("related", [mime.text_part("html", letter.html), *inline], seed, kind)
        texts.append(page)
    rest = [mime.file_part(file) for file in letter.files if not (file.cid and letter.html)]
    return mime.nested("mixed", [mime.nested("alternative", texts, seed), *rest], seed)


def message_id(tenant: str, id: str, domain: str) -> str:
    """The Message-ID of one of our messages: the same at each attempt, and what `read_message_id` finds it by."""
    whose = "" if tenant == "default" else f".t-{_spelled(tenant)}"
    return f"<{id}{whose}@{domain}>"


def read_message_id(text: str) -> tuple[str, str] | None:
    """Tenant and id of the message that a Message-ID names; None: it is not one of ours."""
    found = _ID.match(text.strip())
    if found is None:
        return None
    if found[2] is None:
        return "default", found[1]
    spelled = found[2].upper()
    try:
        tenant = base64.b32decode(spelled + "=" * (-len(spelled) % 8)).decode()
    except ValueError:
        return None
    return tenant, found[1]


def thread_id(tenant: str, thread: str, domain: str) -> str:
    """What all messages of a conversation refer to. `thread` is the application's own key of it."""
    digest = hashlib.sha256(f"{tenant}\0{thread}".encode(errors="replace")).hexdigest()
    return f"<thread.{digest[:32]}@{domain}>"


def _spelled(text: str) -> str:
    return base64.b32encode(text.encode()).decode().rstrip("=").lower()
