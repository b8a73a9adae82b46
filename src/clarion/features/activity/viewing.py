"""Who may read a stream: whom their token lets, and those whom the stream names.

Asked with each page, each subscription and each event, and again of whoever is subscribed with every position check.
"""

import hashlib
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clarion.auth import rights
from clarion.auth.capabilities import grants
from clarion.auth.principal import Principal
from clarion.storage import Store
from clarion.storage import marks as sql
from clarion.topics.asking import Ask
from clarion.topics.kinds import SCOPES, Topic

KIND = "activity"

MaySee = Callable[[str, str], bool]
"""Whether somebody may read a stream now that they follow; takes its name, and its readers as they are stored."""

_Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Readers(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who may read a stream, besides those whose token grants it.

    Args:
        everyone: Every signed-in user of the tenant.
        followers: Who follows it: a back end lets them.
        users: These users.
        tags: Users whose token has one of these tags (`access`).
    """

    everyone: bool = False
    followers: bool = False
    users: Annotated[list[_Name], Meta(max_length=1_000)] = []
    tags: Annotated[list[_Name], Meta(max_length=100)] = []


@lru_cache(1_000)
def _readers(text: str) -> Readers:
    return msgspec.json.decode(text, type=Readers) if text else Readers()


def readers_of(text: str) -> Readers:
    """Readers as they are stored."""
    return _readers(text)


def is_named(principal: Principal, readers: Readers, *, follows: bool) -> bool:
    """Whether a stream names somebody as a reader."""
    if principal.kind != "user":
        return False
    return (
        readers.everyone
        or (readers.followers and follows)
        or principal.id in readers.users
        or any(tag in readers.tags for tag in principal.access)
    )


def everything(stream: str, readers: str) -> bool:
    """The application sees everything."""
    return True


def sees(principal: Principal) -> MaySee:
    """What somebody may read of what they follow."""

    def may_see(stream: str, readers: str) -> bool:
        return (
            rights.holds(principal.scopes, SCOPES["subscribe"])
            or grants(principal.topics, "subscribe", f"{KIND}:{stream}")
            or is_named(principal, readers_of(readers), follows=True)
        )

    return may_see


def view_of(principal: Principal) -> str:
    """A digest of what a user may read: tokens of one that grant the same see the same."""
    patterns = sorted(name for name, may in principal.topics.items() if "subscribe" in may)
    is_back_end = rights.holds(principal.scopes, SCOPES["subscribe"])
    text = msgspec.json.encode([is_back_end, patterns, sorted(principal.access)])
    return hashlib.sha256(text).hexdigest()[:16]


class MayRead(Ask):
    """Callers whose token grants `subscribe` on `activity:<stream>`, and those whom the stream names. Nothing is remembered.

    Args:
        store: Knows whom streams name.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(self._is_named)
        self._store = store

    async def allows(self, principal: Principal, action: str, topic: Topic) -> bool:
        """Whether somebody may.

        Raises:
            Unavailable: The store does not say.
        """
        if self.remembers(principal, action, topic):
            return True
        return await self._is_named(principal, action, topic)

    async def still_allows(self, principal: Principal, action: str, topic: Topic) -> bool:
        """The same."""
        return await self.allows(principal, action, topic)

    def asked_as(self, principal: Principal) -> Hashable:
        """What their token says is part of the question."""
        return principal.key, view_of(principal)

    def remembers(self, principal: Principal, action: str, topic: Topic) -> bool:
        """Whether the token says so."""
        return grants(principal.topics, "subscribe", f"{KIND}:{topic.name}")

    async def _is_named(self, principal: Principal, action: str, topic: Topic) -> bool:
        asked: dict[str, Any] = {"tenant": topic.tenant, "stream": topic.name, "usr": principal.id}
        found = await self._store.fetch(sql.READERS, **asked)
        return bool(found) and is_named(
            principal, readers_of(found[0].readers), follows=bool(found[0].follows)
        )
