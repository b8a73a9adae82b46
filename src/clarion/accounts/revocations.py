"""Logins and keys that ended before their time, and users who are blocked: known at once to every check of a credential.

An access token proves itself without the database, so a login that ended is remembered until its last access token has run out.
The rows say what is true; this is their copy in memory, read at the start and kept up by whoever ends a login.
"""

from collections.abc import Callable, Mapping

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
        tell: Called with what ended by this process's doing, and until when it counts (None: for ever; 0: a block that was taken
            back): the other processes of the server must hear of it.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        on_revoked: Callable[[Revoked], None] = lambda _: None,
        tell: Callable[[Revoked, int | None], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_revoked = on_revoked
        self._tell = tell
        # Changes while open: identity → when the last credential of it has run out by itself.
        self._ended: dict[_Identity, int] = {}
        # Tenant and user → until when (ms since 1970); None: for ever.
        self._blocked: dict[tuple[str, str], int | None] = {}
        # Whose block has changed since `blocks_are_read`; None: nobody reads.
        self._changed: dict[tuple[str, str], None] | None = None

    async def load(self) -> None:
        """Learn of logins that ended before this start, or elsewhere."""
        for row in await self._store.fetch(rows.ENDED, now_ms=self._clock.now_ms()):
            login = Revoked(tenant=row.tenant, kind="user", id=row.account, family=row.family)
            self.hear(login, row.access_ms)

    def add(self, revoked: Revoked, until_ms: int) -> bool:
        """Remember it and end what it opened; to be called after it is durable. Returns whether it is news.

        Args:
            revoked: What has ended.
            until_ms: When nobody can present it any more (ms since 1970).
        """
        if not self.hear(revoked, until_ms):
            return False
        self._tell(revoked, until_ms)
        return True

    def hear(self, revoked: Revoked, until_ms: int | None) -> bool:
        """Remember what another process has ended, and end what it opened here. Returns whether it is news.

        Args:
            revoked: What has ended.
            until_ms: As `tell` was given it.
        """
        if revoked.is_blocked:
            who = revoked.tenant, revoked.id
            if self._changed is not None:
                self._changed[who] = None
            if until_ms == 0:
                return self._blocked.pop(who, 0) != 0
            is_news = self._blocked.get(who, 0) != until_ms
            self._blocked[who] = until_ms
        else:
            identity = revoked.tenant, revoked.kind, revoked.id, revoked.family
            is_news = identity not in self._ended
            self._ended.setdefault(identity, until_ms or 0)
        if is_news:
            self._on_revoked(revoked)
        return is_news

    def block(self, tenant: str, user: str, until_ms: int | None) -> None:
        """Let a user in no more until a time (None: for ever), and end what they opened; to be called after it is durable."""
        blocked = _block_of(tenant, user)
        self.hear(blocked, until_ms)
        self._tell(blocked, until_ms)

    def unblock(self, tenant: str, user: str) -> None:
        """Let a user in again."""
        blocked = _block_of(tenant, user)
        self.hear(blocked, 0)
        self._tell(blocked, 0)

    def blocks_are_read(self) -> None:
        """Somebody begins to read what is stored of blocks: what changes from now on is newer."""
        self._changed = {}

    def replace_blocks(self, stored: Mapping[tuple[str, str], int | None]) -> None:
        """Take what was read for true (tenant and user → until when), but for what has changed meanwhile."""
        changed, self._changed = self._changed or {}, None
        for who in {**self._blocked, **stored}:
            if who not in changed:
                self.hear(_block_of(*who), stored.get(who, 0))

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


def _block_of(tenant: str, user: str) -> Revoked:
    return Revoked(tenant=tenant, kind="user", id=user, is_blocked=True)
