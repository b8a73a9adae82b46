"""Logins and keys that ended before their time, known at once to every check of a credential.

An access token proves itself without the database, so a login that ended is remembered until its last access token has run out.
The rows say what is true; this is their copy in memory, read at the start and kept up by whoever ends a login.
"""

from collections.abc import Callable

from clarion.auth.principal import Principal, Revoked
from clarion.clock import Clock
from clarion.storage import accounts as rows
from clarion.storage.store import Store

_Identity = tuple[str, str, str, str | None]

# A key has no end, and its row is gone with it: this covers who was let in while it was being revoked.
KEY_KEPT_MS = 60_000


class Revocations:
    """What has ended.

    Args:
        store: Where ended logins are found at the start.
        clock: Time now.
        on_revoked: Called, in the loop, when something ends: closes what it had opened.
    """

    def __init__(
        self, store: Store, clock: Clock, on_revoked: Callable[[Revoked], None] = lambda _: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_revoked = on_revoked
        # Changes while open: identity → when the last credential of it has run out by itself.
        self._ended: dict[_Identity, int] = {}

    async def load(self) -> None:
        """Learn of what ended before this start."""
        for row in await self._store.fetch(rows.ENDED, now_ms=self._clock.now_ms()):
            self._ended[row.tenant, "user", row.account, row.family] = row.access_ms

    def add(self, revoked: Revoked, until_ms: int) -> bool:
        """Remember it and end what it opened; to be called after it is durable. Returns whether it is news.

        Args:
            revoked: What has ended.
            until_ms: When nobody can present it any more (ms since 1970).
        """
        identity = revoked.tenant, revoked.kind, revoked.id, revoked.family
        if identity in self._ended:
            return False
        self._ended[identity] = until_ms
        self._on_revoked(revoked)
        return True

    def has_ended(self, principal: Principal) -> bool:
        """Whether what the principal came in with has ended."""
        return (*principal.key, principal.family) in self._ended

    def forget_past(self) -> None:
        """Drop what nobody can present any more."""
        now_ms = self._clock.now_ms()
        self._ended = {who: until for who, until in self._ended.items() if until > now_ms}
