"""Opens and clicks: links lead through this server, and a picture of one point tells that a message was shown. Pure.

What a link leads to stands in it, signed: the server sends nobody anywhere that was not in an email of its own.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from msgspec import Struct

from clarion.notifications.channels.email.markup import Tag, tokens

PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one point."""
LINK_CHARS: Final = 2_048
"""A longer link stays as it is."""
LINKS: Final = 200
"""Of one message; the others stay as they are."""
EARLY_MS: Final = 2_000
"""Nobody reads that fast: what fetches a message within this time of its handing over is a filter."""
_SIGNATURE: Final = 16  # bytes of SHA-256


class Seen(Struct, frozen=True, array_like=True):
    """What a token says: whose message it is, and where its link leads ('' for an open)."""

    what: Literal["open", "click"]
    tenant: str
    id: str
    url: str = ""


class Tokens:
    """Makes and reads them.

    Args:
        secret: Whoever knows it can make some.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"clarion email tokens\0" + secret).digest()

    def make(self, seen: Seen) -> str:
        """A token: base64url."""
        said = msgspec.json.encode(seen)
        return base64.urlsafe_b64encode(self._sign(said) + said).rstrip(b"=").decode()

    def read(self, token: str) -> Seen | None:
        """What a token says; None: it is none of ours."""
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        said = raw[_SIGNATURE:]
        if not hmac.compare_digest(raw[:_SIGNATURE], self._sign(said)):
            return None
        return msgspec.json.decode(said, type=Seen)

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, hashlib.sha256)[:_SIGNATURE]


def tracked(html: str, tokens_: Tokens, base: str, tenant: str, id: str, *, opens: bool, clicks: bool) -> str:  # fmt: skip
    """An email's HTML whose links lead through `base` and that tells when it is shown. A link with `data-track="off"` stays as it is."""
    if clicks:
        html = _rewritten(html, tokens_, base, tenant, id)
    if not opens:
        return html
    token = tokens_.make(Seen("open", tenant, id))
    pixel = (
        f'<img src="{base}/v1/email/opens/{token}" width="1" height="1" alt="" style="border:0">'
    )
    at = html.lower().rfind("</body")
    # `lower` can change the length of what is beyond ASCII; then the place is looked for among the tags.
    at = at if at < 0 or html[at : at + 6].lower() == "</body" else -1
    return html + pixel if at < 0 else html[:at] + pixel + html[at:]


def _rewritten(html: str, tokens_: Tokens, base: str, tenant: str, id: str) -> str:
    parts: list[str] = []
    done = count = 0
    for tag in tokens(html):
        if not isinstance(tag, Tag) or tag.name != "a" or tag.is_end or count == LINKS:
            continue
        attributes = tag.attributes()
        url = attributes.get("href", "").strip()
        is_link = url.startswith(("http://", "https://")) and len(url) <= LINK_CHARS
        if not is_link or attributes.get("data-track") == "off":
            continue
        token = tokens_.make(Seen("click", tenant, id, url))
        parts += [html[done : tag.start], tag.replace("href", f"{base}/v1/email/clicks/{token}")]
        done, count = tag.start + len(tag.raw), count + 1
    return "".join([*parts, html[done:]])


_MACHINES: Final = (
    "bot", "crawler", "spider", "preview", "scanner", "barracuda", "mimecast", "proofpoint", "python", "curl", "wget",
    "go-http-client", "okhttp", "java/", "headless",
)  # fmt: skip


def is_machine(headers: Mapping[str, str], since_sent_ms: int) -> bool:
    """Whether a program fetched it and no person, as well as one can tell.

    Args:
        headers: Of the request, names in lower case.
        since_sent_ms: Since the message was handed over.

    Apple's Mail Privacy Protection fetches every picture, read or not, and calls itself `Mozilla/5.0` and no more. Google's proxy
    fetches when somebody looks, so it counts as a person.
    """
    if since_sent_ms < EARLY_MS:
        return True
    if any("prefetch" in headers.get(name, "").lower() for name in ("purpose", "sec-purpose", "x-moz", "x-purpose")):  # fmt: skip
        return True
    agent = headers.get("user-agent", "").strip()
    return agent in ("", "Mozilla/5.0") or any(word in agent.lower() for word in _MACHINES)
