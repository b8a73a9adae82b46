"""Which processes are there: each has a lease in Redis, which it renews while it lives.

Only processes of one server may stand side by side: same database, same secret. Otherwise tokens of one would be refused by the other, and what
one stores the other would never see; so the first that is there says what the server is, and one that is another is not let in.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from clarion.bus.scripts import Part, Script
from clarion.errors import SettingsError

if TYPE_CHECKING:
    from clarion.bus.redis import RedisClient  # of an optional extra

LEASE_S: Final = 15.0
BEAT_S: Final = 5.0  # between two renewals: two may fail

# Times are those of Redis: here nothing but leases is compared.
_LOOK: Final = Script(
    """local leases, server = KEYS[1], KEYS[2]
local node, lease, database, secret = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local backplane, channels = ARGV[5], ARGV[6]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
if node ~= '' then
  if redis.call('ZCARD', leases) == 0 then
    redis.call('DEL', server)
    redis.call('HSET', server, 'database', database, 'secret', secret)
  end
  local found = redis.call('HMGET', server, 'database', 'secret', channels)
  if found[1] ~= database then return 'database' end
  -- '' is of a former version with the application's own login, which did not say.
  if found[2] ~= secret and found[2] ~= '' then
    -- While the secret is changed, some have the former one and know this one, or the other way round.
    local known = false
    for i = 7, #ARGV do known = known or ARGV[i] == found[2] end
    if not known then return 'secret' end
    redis.call('HSET', server, 'secret', secret)
  end
  if found[3] and found[3] ~= backplane then return 'backplane' end
  if not found[3] then redis.call('HSET', server, channels, backplane) end
  redis.call('ZADD', leases, now + lease, node)
end
return redis.call('ZRANGE', leases, 0, -1)"""
)
_OTHER: Final = {
    "database": "another database: processes that share a Redis need the same database_url (PostgreSQL)",
    "backplane": "another backplane.format or backplane.mode on this backplane.prefix: they would not hear each other",
    "secret": "another auth.token_secret: what one process signs or seals would be refused by the other. It is changed by way of auth.other_secrets",
}


class Identity(Struct, frozen=True):
    """What all processes of a server have in common.

    Args:
        database: Names the database.
        secret: A digest of what signs access tokens and seals.
        backplane: How those with the same prefix act on each other's sockets; '': they do not.
        prefix: Of the backplane's names.
        others: Digests of secrets that are as good while the secret is changed.
    """

    database: str
    secret: str
    backplane: str = ""
    prefix: str = ""
    others: tuple[str, ...] = ()


def identity(
    database: str,
    secret: str,
    backplane: str = "",
    prefix: str = "socket.io",
    others: Sequence[str] = (),
) -> Identity:
    """What is told of a server: of its secrets ('' if it has none) only digests."""
    return Identity(
        database, _digest(secret), backplane, prefix, tuple(_digest(other) for other in others)
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:32] if secret else ""


class Registry:
    """The leases.

    Args:
        redis: Where they are.
        node: This process's name.
        identity: Of its server.
        prefix: Of all keys.
        address: Where other processes reach this one (`http://10.0.0.5:8000`); '': nowhere.
    """

    def __init__(
        self,
        redis: "RedisClient",
        node: str,
        identity: Identity,
        *,
        prefix: str = "clarion",
        address: str = "",
    ) -> None:
        self._redis = redis
        self._node = node
        self._identity, self._address = identity, address
        self._at = f"{prefix}:{{nodes}}:at:"
        self._keys = [f"{prefix}:{{nodes}}:{name}".encode() for name in ("leases", "server")]

    async def beat(self) -> list[str]:
        """Take a lease, or renew it; returns who is there.

        Raises:
            SettingsError: Processes of another server are there.
            Unavailable: Redis does not answer now.
        """
        reply = await self._look(self._node)
        if isinstance(reply, bytes):
            raise SettingsError(
                f"redis_url: processes that run there now have {_OTHER[reply.decode()]}; or give this server a redis_prefix of its own "
                f"(one that was killed counts for {LEASE_S:.0f} s)"
            )
        if self._address:
            key = self._key_of(self._node)
            await self._redis.call(key, "SET", key, self._address, "PX", int(LEASE_S * 1000))
        return [name.decode() for name in reply]

    async def address_of(self, node: str) -> str:
        """Where a process is reached; '': it is not there, or nowhere.

        Raises:
            Unavailable: Redis does not answer now.
        """
        key = self._key_of(node)
        return ((await self._redis.call(key, "GET", key)) or b"").decode()

    def _key_of(self, node: str) -> bytes:
        return f"{self._at}{node}".encode()

    async def living(self) -> list[str]:
        """Who is there.

        Raises:
            Unavailable: Redis does not answer now.
        """
        return [name.decode() for name in await self._look("")]

    async def leave(self) -> None:
        """Give the lease back.

        Raises:
            Unavailable: Redis does not answer now.
        """
        await self._redis.call(self._keys[0], "ZREM", self._keys[0], self._node)
        if self._address:
            key = self._key_of(self._node)
            await self._redis.call(key, "DEL", key)

    async def _look(self, node: str) -> Any:
        args: list[Part] = [
            node,
            int(LEASE_S * 1000),
            self._identity.database,
            self._identity.secret,
            self._identity.backplane,
            f"backplane {self._identity.prefix}",
            *self._identity.others,
        ]
        return await self._redis.run(_LOOK, self._keys, args)
