"""The body of an email: its parts, nested as RFC 2046 wants them, everything in 7 bits. Pure."""

import base64
import binascii
import hashlib
import mimetypes
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from clarion.notifications.channels.email.headers import clean, parameter, structured

_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}\Z")
_UNKNOWN: Final = "application/octet-stream"


class Part(Struct, frozen=True):
    """A part: its header block, and what it says, ready for the wire."""

    head: bytes
    body: bytes


class File(Struct, frozen=True):
    """A file that goes with an email. `cid` names one that stands in the HTML: `<img src="cid:…">`; '' is an attachment."""

    filename: str
    type: str
    data: bytes
    cid: str = ""


def text_part(subtype: str, text: str) -> Part:
    """`text/plain` or `text/html`: quoted-printable, which one can still read, unless base64 is shorter."""
    data = text.replace("\r\n", "\n").replace("\r", "\n").encode(errors="replace")
    quoted = binascii.b2a_qp(data, istext=True).replace(b"\n", b"\r\n")
    encoded = (
        _base64(data.replace(b"\n", b"\r\n") + b"\r\n") if len(quoted) > len(data) * 1.5 else b""
    )
    head = structured("Content-Type", [f"text/{subtype}", "charset=utf-8"], ";")
    if encoded:
        return Part(head + b"Content-Transfer-Encoding: base64\r\n", encoded)
    return Part(head + b"Content-Transfer-Encoding: quoted-printable\r\n", quoted + b"\r\n")


def file_part(file: File) -> Part:
    """An attachment, or an image of the HTML."""
    filename = clean(file.filename) or "attachment"
    head = structured("Content-Type", [type_of(file), *parameter("name", filename)], ";")
    how = "inline" if file.cid else "attachment"
    head += structured("Content-Disposition", [how, *parameter("filename", filename)], ";")
    if file.cid:
        head += structured("Content-ID", [f"<{file.cid}>"])
    return Part(head + b"Content-Transfer-Encoding: base64\r\n", _base64(file.data))


def nested(kind: str, parts: Sequence[Part], seed: str, parameters: Sequence[str] = ()) -> Part:
    """Parts in one: `mixed`, `related`, `alternative`. One alone needs no frame.

    The boundary follows from `seed`, so that a message that is sent again is the same. It stands in no part: neither encoding
    writes `=_`, and frames within frames have other boundaries.
    """
    if len(parts) == 1:
        return parts[0]
    boundary = f"=_{hashlib.sha256(f'{kind} {seed}'.encode()).hexdigest()[:32]}"
    head = structured(
        "Content-Type", [f"multipart/{kind}", *parameters, f'boundary="{boundary}"'], ";"
    )
    mark = f"--{boundary}".encode()
    body = b"".join(mark + b"\r\n" + part.head + b"\r\n" + part.body + b"\r\n" for part in parts)
    return Part(head, body + mark + b"--\r\n")


def type_of(file: File) -> str:
    """What a file is: as it says, or by its name. What a mail reader would take apart is bytes to it (RFC 2046 §5.2.1)."""
    found = file.type.partition(";")[0].strip().lower()
    if not found:
        found = mimetypes.guess_type(file.filename)[0] or _UNKNOWN
    if not _TYPE.match(found) or found.startswith(("multipart/", "message/")):
        return _UNKNOWN
    return found


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
