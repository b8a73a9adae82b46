"""Which backplane a server has over Redis, as `backplane.format` says, and whether the others that are there understand it.

Servers in two formats on one prefix would be two servers that look like one. Redis itself knows who listens to what, those of Node too.
"""

from typing import cast

from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import RedisBus
from clarion.bus.sharded_bus import ShardedBus
from clarion.errors import Internal, SettingsError
from clarion.ids import Ids
from clarion.protocol.redis_adapter.cluster import Mode
from clarion.realtime.backplane.pubsub import PubSub
from clarion.realtime.backplane.sharded import Sharded
from clarion.realtime.backplane.streams import Streams
from clarion.settings.backplane import Backplane


class Choice:
    """A backplane with a connection of its own: what servers of Node say to each other must not hold up topics.

    Args:
        url: Of Redis, as `redis_url`.
        settings: Which format, and its names.
        ids: Names this server.
    """

    def __init__(self, url: str, settings: Backplane, ids: Ids) -> None:
        self._settings = settings
        self._bus: RedisBus | ShardedBus | Streams
        self.backplane: PubSub | Sharded | Streams
        if settings.format == "sharded":
            self._bus = sharded = ShardedBus(url, ids=ids)
            mode = cast("Mode", settings.mode)  # as its pattern says
            self.backplane = Sharded(sharded, ids, settings.prefix, mode)
        elif settings.format == "streams":
            self._bus = self.backplane = Streams(url, ids, settings.prefix)
        else:
            self._bus = plain = RedisBus(url, ids=ids, prefix="")
            self.backplane = PubSub(plain, ids, settings.prefix)

    async def start(self, redis: RedisClient) -> None:
        """Connect.

        Raises:
            Unavailable: Redis does not answer.
            SettingsError: Others are there that speak another format, or Redis is too old for this one.
        """
        format, prefix = self._settings.format, self._settings.prefix
        try:
            sharded = await redis.call_all("PUBSUB", "SHARDCHANNELS")
        except Internal as exc:  # Redis 6 has none; some who rent it out let nobody ask
            if format == "sharded":
                raise SettingsError(
                    f"backplane.format sharded needs Redis 7: {exc.message}"
                ) from exc
            sharded = []
        try:
            plain = await redis.call_all("PUBSUB", "CHANNELS")
        except Internal:
            plain = []
        for other, start, said in (
            ("pubsub", f"{prefix}-request#/", plain),
            ("sharded", f"{prefix}#/", sharded),
            ("streams", f"{prefix}#/", plain),
        ):
            begins = start.encode()
            is_there = any(name.startswith(begins) for names in said for name in names)
            if is_there and other != format:
                raise SettingsError(
                    f"servers that run there now speak {other} on the prefix {prefix!r}: set backplane.format to that, or another backplane.prefix"
                )
        await self._bus.start()

    async def close(self) -> None:
        """Hear nothing more."""
        await self._bus.close()
