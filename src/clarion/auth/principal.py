"""The principal: who is calling, and everything that their credential says they may.

Made by verifying a credential, handed to every door, never changed. What a principal may is decided by `rights` (scopes) and
`capabilities` (rooms and topics); `tenant` comes from here alone, never from a body or a path.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

DEFAULT_TENANT = "default"

Capabilities = Mapping[str, tuple[str, ...]]
"""Pattern → actions; see `capabilities.grants`."""


class Principal(Struct, frozen=True, kw_only=True):
    """An authenticated caller.

    Args:
        id: A user's id (`sub` of the token), a key's id, or the name of a part of Clarion. Unique within tenant and kind only.
        tenant: Whose data it may see.
        kind: `user`: a person or service with an inbox; `key`: an API key of a back end; `system`: the operator and Clarion itself.
        scopes: What it may do, such as `notifications:send`; patterns as `rights.check` reads them.
        rooms: Patterns of rooms → actions (`join`).
        topics: Patterns of topics → actions (`subscribe`).
        access: Tags of which a document needs one to be seen, if it has any.
        subscribe: Topics that a socket is subscribed to when it connects.
        expires_ms: When the credential ends (ms since 1970) and with it all that it opened; None: never by itself.
        token_id: The token's `jti`, or the key's id: names the credential in logs without giving it away.
        family: The login that the token comes from; ends as a whole at logout. None for keys and for an application's own tokens.
    """

    id: str
    tenant: str = DEFAULT_TENANT
    kind: Literal["user", "key", "system"] = "user"
    scopes: frozenset[str] = frozenset()
    rooms: Capabilities = {}
    topics: Capabilities = {}
    access: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    expires_ms: int | None = None
    token_id: str | None = None
    family: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """(tenant, kind, id): what a cache or a count per caller is keyed by."""
        return self.tenant, self.kind, self.id

    def has_expired(self, now_ms: int) -> bool:
        """Whether the credential has ended."""
        return self.expires_ms is not None and self.expires_ms <= now_ms


def system(name: str) -> Principal:
    """The operator or a part of Clarion that acts by itself: it may everything that a scope can grant, and owns no inbox."""
    return Principal(id=name, kind="system", scopes=frozenset({"*"}))


class Revoked(Struct, frozen=True, kw_only=True):
    """A login or an API key that has ended before its time, or a user who was blocked: what it opened must end too."""

    tenant: str
    kind: Literal["user", "key"]
    id: str
    family: str | None = None
    is_blocked: bool = False
    """All of the user's, whatever they came in with."""

    def ends(self, principal: Principal) -> bool:
        """Whether the principal came in with what has ended."""
        is_theirs = principal.key == (self.tenant, self.kind, self.id)
        return is_theirs and (self.is_blocked or principal.family == self.family)
