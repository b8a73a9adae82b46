"""What webhook endpoints are signed with: a secret for each, made when it is first needed, and changed without a gap.

After a change both secrets sign for a while, so that a receiver that knows either of them accepts. Stored sealed.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import Conflict
from clarion.ids import Ids, digest
from clarion.notifications.sealing import Sealer, Unopenable
from clarion.storage import webhook_secrets as sql
from clarion.storage.store import Store

PREFIX: Final = "whsec_"
BYTES: Final = 32
_PURPOSE: Final = "webhook secret"


class EndpointSecret(Struct, frozen=True):
    """What a receiver needs to check signatures: `whsec_` and the key as base64, as libraries of Standard Webhooks take it."""

    url: str
    secret: str


def signature(secrets: Sequence[str], id: str, timestamp_s: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret, of id, time and body. Source: Standard Webhooks 1.0.0."""
    signed = f"{id}.{timestamp_s}.".encode() + body
    return " ".join(
        "v1,"
        + base64.b64encode(
            hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), signed, hashlib.sha256)
        ).decode()
        for secret in secrets
    )


class Endpoints:
    """The secrets of endpoints.

    Args:
        store: Where they are.
        sealer: Keeps them from whoever reads the database.
        clock: The time.
        ids: Makes them.
    """

    def __init__(self, store: Store, sealer: Sealer, *, clock: Clock, ids: Ids) -> None:
        self._store, self._sealer, self._clock, self._ids = store, sealer, clock, ids

    async def secret(self, tenant: str, url: str) -> EndpointSecret:
        """The present secret of an endpoint; made, if it has none.

        Raises:
            Conflict: It was sealed with another key.
        """
        try:
            return EndpointSecret(url, (await self.secrets(tenant, url))[0])
        except Unopenable as exc:
            raise Conflict("this secret was sealed with another key: rotate it") from exc

    async def secrets(self, tenant: str, url: str) -> list[str]:
        """All that sign now, the present one first.

        Raises:
            Unopenable: They were sealed with another key.
        """
        found = await self._store.fetch(sql.FIND, tenant=tenant, id=digest(url))
        if not found:
            async with self._store.transaction() as tx:
                await tx.execute(
                    sql.ADD,
                    tenant=tenant,
                    id=digest(url),
                    current=self._made(),
                    now_ms=self._clock.now_ms(),
                )
            found = await self._store.fetch(sql.FIND, tenant=tenant, id=digest(url))
        [row] = found
        secrets = [self._sealer.open(row.current, _PURPOSE)]
        if row.former and row.former_until_ms > self._clock.now_ms():
            secrets.append(self._sealer.open(row.former, _PURPOSE))
        return secrets

    async def rotate(self, tenant: str, url: str, keep_s: int) -> EndpointSecret:
        """Give an endpoint another secret; the former signs beside it for so long.

        Safe to repeat: while a former one signs, only the new one is replaced.
        """
        try:
            await self.secrets(tenant, url)
        except Unopenable:
            keep_s = 0  # nobody can sign with the former one any more
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            await tx.execute(
                sql.ROTATE,
                tenant=tenant,
                id=digest(url),
                current=self._made(),
                until_ms=now_ms + keep_s * 1000,
                now_ms=now_ms,
            )
        return await self.secret(tenant, url)

    def _made(self) -> str:
        key = base64.urlsafe_b64decode(self._ids.token(BYTES) + "=")
        return self._sealer.seal(PREFIX + base64.b64encode(key).decode(), _PURPOSE)
