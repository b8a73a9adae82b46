"""Header lines of an email: whatever a value holds, it stays in its own header. Pure.

The standard library's `EmailMessage` decodes encoded words in what it is given and, before Python 3.13, writes the line ends that
come out of them: a subject could add recipients. So the header block is ours: a value is plain ASCII, or it is encoded whole.

Source: RFC 5322 (lines, folding), RFC 2047 (encoded words), RFC 2231 (parameters), RFC 6531 (addresses beyond ASCII).
"""

import base64
import re
from typing import Final
from urllib.parse import quote

import idna

LINE: Final = 76
"""Characters of a line: RFC 5322 §2.1.1 wants 78 at most, RFC 2047 §2 76 where there are encoded words."""
ADDRESS_CHARS: Final = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
LOCAL_BYTES: Final = 64  # RFC 5321 §4.5.3.1.1

# Control characters, what Unicode calls line ends, and halves of surrogate pairs, which no encoding writes.
_BAD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_PLAIN: Final = re.compile(r"[ -~]*\Z")
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*\Z")
# RFC 6532 §3.2: an atom may have any character beyond ASCII; ours none that is a space, a control, or half of one.
_LOCAL_UTF8: Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff\"(),:;<>@\[\\\]]+\Z")
_DOMAIN: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\Z"
)
# Of a stripped text. No two parts of it match the same spaces: a thousand of them, tried in all ways, took 0.3 s.
_NAMED: Final = re.compile(r"(?:\"([^\"]*)\"\s*|([^<>\"]*))<([^<>]+)>\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._-]{1,60}\Z")
_CHUNK: Final = (
    42  # bytes, which are 56 characters in base64: with its frame a word has 68 of its 75
)


class Unwritable(ValueError):
    """This cannot stand in a header; says why."""


def clean(text: str) -> str:
    """A text on one line: what would break it is a space, and there are none at its ends."""
    return " ".join(_BAD.sub(" ", text).split(" ")).strip()


def header(name: str, text: str) -> bytes:
    """A header of free text.

    Raises:
        Unwritable: It has control characters; `clean` takes them out.
    """
    if _BAD.search(text):
        raise Unwritable(f"{name}: a control character")
    is_plain = _PLAIN.match(text) and "=?" not in text and text == text.strip()
    if not is_plain or len(name) + 2 + len(text) > LINE:
        text = _words(text, LINE - len(name) - 2)
    return f"{name}: {text}\r\n".encode("ascii")


def structured(name: str, parts: list[str], separator: str = "") -> bytes:
    """A header of tokens of our own making, folded between them.

    Raises:
        Unwritable: One of them is not visible ASCII, or longer than a line may be.
    """
    for part in parts:
        if not part or not part.isascii() or not part.isprintable() or len(part) > 900:
            raise Unwritable(f"{name}: {part[:40]!r}")
    return f"{name}: {(separator + chr(13) + chr(10) + ' ').join(parts)}\r\n".encode("ascii")


class Address:
    """An email address that can be written.

    Args:
        text: `ann@example.org`, or `Ann <ann@example.org>`.

    Attributes:
        name: What is displayed, '' for nothing.
        spec: The address; its domain in ASCII (IDNA 2008).
        is_utf8: Whether only servers with SMTPUTF8 take it.

    Raises:
        Unwritable: It is none.
    """

    __slots__ = ("domain", "is_utf8", "name", "spec")

    def __init__(self, text: str) -> None:
        found = _NAMED.match(text.strip())
        self.name = clean(found[1] or found[2] or "") if found else ""
        spec = (found[3] if found else text).strip()
        local, at, domain = spec.rpartition("@")
        self.is_utf8 = not local.isascii()
        is_local = _LOCAL_UTF8.match(local) and ".." not in local if self.is_utf8 else _LOCAL.match(local)  # fmt: skip
        if not at or not is_local or local[0] == "." or local[-1] == ".":
            raise Unwritable(f"{text[:80]!r} is no email address")
        self.domain = ascii_domain(domain)
        self.spec = f"{local}@{self.domain}"
        if len(local.encode()) > LOCAL_BYTES or len(self.spec.encode()) > ADDRESS_CHARS:
            raise Unwritable(f"{text[:80]!r} is too long for an email address")


def ascii_domain(domain: str) -> str:
    """A domain as mail servers know it: in lower case, and each label in ASCII (IDNA 2008, UTS 46).

    Raises:
        Unwritable: It is none.
    """
    try:
        found = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as exc:
        raise Unwritable(f"{domain[:80]!r} is no domain") from exc
    if not _DOMAIN.match(found) or len(found) > 253:
        raise Unwritable(f"{domain[:80]!r} is no domain")
    return found.lower()


def addresses(name: str, given: list[Address]) -> bytes:
    """A header of addresses, each on a line of its own. The name is always encoded: there are no rules of quoting to get wrong."""
    lines: list[str] = []
    for each in given:
        shown = _words(each.name, LINE - len(name) - 2) + "\r\n " if each.name else ""
        lines.append(f"{shown}<{each.spec}>")
    return f"{name}: {(',' + chr(13) + chr(10) + ' ').join(lines)}\r\n".encode()


def parameter(name: str, value: str) -> list[str]:
    """A parameter of a header, as parts of one line each: `filename=a.pdf`, or in pieces (RFC 2231 §3, §4) where it is not so plain."""
    value = clean(value)
    if _TOKEN.match(value):
        return [f"{name}={value}"]
    pieces, piece = [], "utf-8''"
    for char in value:
        written = quote(char, safe="")
        if len(piece) + len(written) > 60:
            pieces.append(piece)
            piece = ""
        piece += written
    pieces.append(piece)
    if len(pieces) == 1:
        return [f"{name}*={piece}"]
    return [f"{name}*{n}*={each}" for n, each in enumerate(pieces)]


def _words(text: str, room: int) -> str:
    # RFC 2047 §5: each word is whole by itself, so it is cut between characters; words are joined by folding.
    words: list[bytes] = []
    chunk = b""
    # The first stands behind the header's name.
    most = min(_CHUNK, max(3, (room - len("=?utf-8?b??=")) // 4 * 3))
    for char in text:
        encoded = char.encode()
        if len(chunk) + len(encoded) > most:
            words.append(chunk)
            chunk, most = b"", _CHUNK
        chunk += encoded
    words.append(chunk)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)
