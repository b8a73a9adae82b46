"""API keys of back ends: made, listed, revoked, and checked at every request.

A key that was just checked is kept in memory for five seconds, so a busy back end costs no queries and a key that another process
revoked still ends in time. When a key was last used is noted in memory and written by `flush`.
"""

import asyncio
from collections.abc import Iterable, Sequence

from clarion.accounts.forms import ApiKeyInfo, NewApiKey
from clarion.accounts.revocations import KEY_KEPT_MS, Revocations
from clarion.auth import api_keys
from clarion.auth.principal import Principal, Revoked
from clarion.auth.rights import holds
from clarion.clock import Clock, as_datetime, maybe_datetime
from clarion.errors import Forbidden, NotFound, ServerError, Unauthenticated
from clarion.ids import Ids
from clarion.storage import api_keys as rows
from clarion.storage.store import Store
from clarion.telemetry import spawn

_CACHE_S = 5.0
_CACHED_KEYS = 1_000


class Keys:
    """The keys.

    Args:
        store: Where they are kept.
        revocations: Told of keys that are revoked.
        clock: Time now.
        ids: Ids and secrets of keys.
    """

    def __init__(self, store: Store, revocations: Revocations, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._revocations = revocations
        self._clock = clock
        self._ids = ids
        # Changes while open: id → row and until when it may be believed (monotonic s), oldest first.
        self._cache: dict[str, tuple[rows.KeyRow, float]] = {}
        self._used: dict[tuple[str, str], int] = {}

    async def create(self, caller: Principal, name: str, scopes: Sequence[str]) -> NewApiKey:
        """Make a key of the caller's tenant. Its secret is in the answer, and nowhere else.

        Args:
            caller: Who makes it; that they may make keys is the door's to check.
            name: For people.
            scopes: What it may do: nothing that the caller may not.

        Raises:
            Forbidden: The caller lacks one of the scopes.
        """
        for scope in scopes:
            if not holds(caller.scopes, scope):
                raise Forbidden(f"a key cannot get {scope} from somebody without it", scope=scope)
        key, now_ms = api_keys.make(self._ids), self._clock.now_ms()
        async with self._store.transaction() as tx:
            await tx.execute(
                rows.ADD,
                tenant=caller.tenant,
                id=key.id,
                name=name,
                digest=key.digest,
                scopes=" ".join(sorted(set(scopes))),
                now_ms=now_ms,
            )
        return NewApiKey(key.id, name, sorted(set(scopes)), as_datetime(now_ms), key.reveal())

    async def list(self, caller: Principal) -> list[ApiKeyInfo]:
        """The keys of the caller's tenant, oldest first."""
        return [_info(row) for row in await self._store.fetch(rows.LIST, tenant=caller.tenant)]

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """End a key of the caller's tenant, and what it opened.

        Raises:
            NotFound: There is no such key in the tenant.
        """

        async def end() -> bool:
            async with self._store.transaction() as tx:
                gone = await tx.execute(rows.REMOVE, tenant=caller.tenant, id=key_id)
            if gone:
                self._cache.pop(key_id, None)
                revoked = Revoked(tenant=caller.tenant, kind="key", id=key_id)
                self._revocations.add(revoked, self._clock.now_ms() + KEY_KEPT_MS)
            return bool(gone)

        # Not to be cancelled half-way: the row would be gone, and what came in with the key would live on.
        if not await asyncio.shield(spawn(end(), name="end key")):
            raise NotFound("there is no such key")

    async def recheck(self, principals: Iterable[Principal]) -> None:
        """End what was opened with keys that are gone: another process has revoked them, and it was not heard."""
        for tenant, key_id in {(each.tenant, each.id): None for each in principals}:
            if not await self._store.fetch(rows.FIND, id=key_id):
                self._cache.pop(key_id, None)
                revoked = Revoked(tenant=tenant, kind="key", id=key_id)
                self._revocations.hear(revoked, self._clock.now_ms() + KEY_KEPT_MS)

    async def verify(self, credential: str) -> Principal:
        """Whose key this is.

        Raises:
            Unauthenticated: It is none, or it was revoked.
        """
        key = api_keys.parse(credential)
        row = await self._find(key.id) if key else None
        if key is None or row is None or not key.has(row.digest):
            raise Unauthenticated("the API key is unknown or was revoked")
        self._used[row.tenant, row.id] = self._clock.now_ms()
        return Principal(
            id=row.id,
            tenant=row.tenant,
            kind="key",
            scopes=frozenset(row.scopes.split()),
            token_id=row.id,
        )

    async def flush(self) -> None:
        """Write when keys were last used; see `Upkeep`.

        Raises:
            Unavailable: It is written with the next call.
        """
        used, self._used = self._used, {}
        if used:
            uses = [rows.Use(tenant, key_id, at_ms) for (tenant, key_id), at_ms in used.items()]
            try:
                await self._store.apply(rows.USED, uses)
            except ServerError:
                self._used = used | self._used  # for the next time
                raise

    async def _find(self, key_id: str) -> rows.KeyRow | None:
        row, until = self._cache.get(key_id, (None, 0.0))
        if row is not None and self._clock.monotonic() < until:
            return row
        self._cache.pop(key_id, None)
        # The deadline counts from before the read: what is read may be older than its arrival.
        until = self._clock.monotonic() + _CACHE_S
        found = await self._store.fetch(rows.FIND, id=key_id)
        if not found:
            return None
        if len(self._cache) >= _CACHED_KEYS:
            del self._cache[next(iter(self._cache))]
        self._cache[key_id] = found[0], until
        return found[0]


def _info(row: rows.KeyRow) -> ApiKeyInfo:
    used = maybe_datetime(row.used_ms)
    return ApiKeyInfo(row.id, row.name, row.scopes.split(), as_datetime(row.created_ms), used)
