"""Logins and keys that ended before their time, and users who are blocked: known at once to every check of a credential.

An access token proves itself without the database, so a login that ended is remembered until its last access token has run out.
The rows say what is true; this is their copy in memory, read at the start and kept up by whoever ends a login.
"""

from collections.abc import Callable

from clarion.auth.principal import Principal, Revoked
from clarion.clock import Clock, as_datetime
from clarion.errors import Blocked, Unauthenticated
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
        # Tenant and user → until when (ms since 1970); None: for ever.
        self._blocked: dict[tuple[str, str], int | None] = {}

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

    def block(self, tenant: str, user: str, until_ms: int | None) -> None:
        """Let a user in no more until a time (None: for ever), and end what they opened; to be called after it is durable."""
        self._blocked[tenant, user] = until_ms
        self._on_revoked(Revoked(tenant=tenant, kind="user", id=user, is_blocked=True))

    def unblock(self, tenant: str, user: str) -> None:
        """Let a user in again."""
        self._blocked.pop((tenant, user), None)

    def check(self, principal: Principal) -> None:
        """Return if what the principal came in with is still good.

        Raises:
            Unauthenticated: It has ended.
            Blocked: The user may not come in.
        """
        if (*principal.key, principal.family) in self._ended:
            raise Unauthenticated("this login or API key has ended")
        if principal.kind == "user":
            self.check_user(principal.tenant, principal.id)

    def check_user(self, tenant: str, user: str) -> None:
        """Return if a user is not blocked.

        Raises:
            Blocked: They are.
        """
        until_ms = self._blocked.get((tenant, user), 0)
        if until_ms is None:
            raise Blocked("this user is blocked", until=None)
        if until_ms > self._clock.now_ms():
            until = as_datetime(until_ms).isoformat()
            raise Blocked(f"this user is blocked until {until}", until=until)

    def has_ended(self, principal: Principal) -> bool:
        """Whether what the principal came in with is good no more."""
        try:
            self.check(principal)
        except (Unauthenticated, Blocked):
            return True
        return False

    def forget_past(self) -> None:
        """Drop what nobody can present any more."""
        now_ms = self._clock.now_ms()
        self._ended = {who: until for who, until in self._ended.items() if until > now_ms}
        self._blocked = {
            who: until for who, until in self._blocked.items() if until is None or until > now_ms
        }
