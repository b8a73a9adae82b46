"""Refresh tokens: `clr_<handle>_<secret>`. The handle stays for a whole login, the secret changes with every use.

Of a login the digests of both are kept. The handle's names the login (its family of tokens) and stands in access tokens too: whoever
sees one of those still cannot make up anything that would look like a refresh token of the family.
"""

import re

from msgspec import Struct

from clarion.ids import Ids, digest

_TOKEN = re.compile(r"clr_([A-Za-z0-9_-]{20})_([A-Za-z0-9_-]{43})")


class Refresh(Struct, frozen=True):
    """A refresh token in clear text."""

    handle: str
    secret: str

    @property
    def family(self) -> str:
        """Names the login."""
        return digest(self.handle)[:32]

    @property
    def digest(self) -> str:
        """What is stored of the secret."""
        return digest(self.secret)

    def next(self, ids: Ids) -> "Refresh":
        """The token that takes this one's place."""
        return Refresh(self.handle, ids.token(32))

    def reveal(self) -> str:
        """The whole token, as a client keeps it."""
        return f"clr_{self.handle}_{self.secret}"

    def __repr__(self) -> str:
        return f"Refresh({self.family})"


def make(ids: Ids) -> Refresh:
    """The first token of a new login."""
    return Refresh(ids.token(15), ids.token(32))


def parse(text: str) -> Refresh | None:
    """The token that was presented; None: it does not look like one."""
    found = _TOKEN.fullmatch(text)
    return Refresh(found[1], found[2]) if found else None
