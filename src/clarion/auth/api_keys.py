"""API keys: `clk_<id>_<secret>`, shown once; only the secret's SHA-256 is kept.

The prefix lets scanners find a key that leaked into a repository; the id, which is no secret, says which one it was.
The secret is 256 random bits, so a fast hash is enough: there is nothing to guess.
"""

import hmac
import re

from msgspec import Struct

from clarion.ids import Ids, digest

PREFIX = "clk_"
# Hex, not base64url: an id is typed on command lines, where a leading `-` would be a flag.
_KEY = re.compile(r"clk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class ApiKey(Struct, frozen=True):
    """A key in clear text: what `make` shows once, or what a caller presents."""

    id: str
    secret: str

    @property
    def digest(self) -> str:
        """What is stored of the secret."""
        return digest(self.secret)

    def has(self, stored_digest: str) -> bool:
        """Whether this is the secret's digest; the time taken says nothing about how much of it was right."""
        return hmac.compare_digest(self.digest, stored_digest)

    def reveal(self) -> str:
        """The whole key, as a caller sends it."""
        return f"{PREFIX}{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKey({self.id})"


def make(ids: Ids) -> ApiKey:
    """A new key."""
    return ApiKey(id=digest(ids.token(15))[:16], secret=ids.token(32))


def parse(credential: str) -> ApiKey | None:
    """The key that was presented; None: it does not look like one."""
    found = _KEY.fullmatch(credential)
    return ApiKey(found[1], found[2]) if found else None
