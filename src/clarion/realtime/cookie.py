"""The cookie that names a session, for load balancers that know no other way to keep its requests together."""

import re
from typing import Literal

from msgspec import Struct

from clarion.errors import UsageError

# RFC 6265 §4.1.1: a token; and what may stand in a value, a path or a domain.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ATTRIBUTE = re.compile(r"[\x21-\x3a\x3c-\x7e]*")


class Cookie(Struct, frozen=True, kw_only=True):
    """Sent with the answer that begins a session on polling, and only there, as in Node. Clarion itself never reads it."""

    name: str = "io"
    path: str = "/"
    """Empty: left out."""
    domain: str = ""
    """Empty: this host alone."""
    http_only: bool = True
    same_site: Literal["lax", "strict", "none", ""] = "lax"
    """Empty: left out. Browsers want `secure` with `none`."""
    max_age_s: int | None = None
    """None: until the browser is closed."""
    secure: bool = False
    partitioned: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"{self.name!r} is no name of a cookie")
        for attribute in (self.path, self.domain):
            if not _ATTRIBUTE.fullmatch(attribute):
                raise UsageError(f"{attribute!r} can't stand in a cookie")
        if self.same_site == "none" and not self.secure:
            raise UsageError("a cookie with same_site='none' must be secure: browsers drop it")

    def header(self, sid: str) -> str:
        """The value of Set-Cookie."""
        parts = [f"{self.name}={sid}"]
        if self.max_age_s is not None:
            parts.append(f"Max-Age={self.max_age_s}")
        if self.domain:
            parts.append(f"Domain={self.domain}")
        if self.path:
            parts.append(f"Path={self.path}")
        if self.http_only:
            parts.append("HttpOnly")
        if self.secure:
            parts.append("Secure")
        if self.partitioned:
            parts.append("Partitioned")
        if self.same_site:
            parts.append(f"SameSite={self.same_site.capitalize()}")
        return "; ".join(parts)
