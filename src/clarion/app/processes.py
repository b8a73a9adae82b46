"""What this process shares with the others of its server: a bus, who they are, and the logs of topics. Alone without `redis_url` and workers."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from msgspec import Struct

from clarion.bus import Bus, LocalBus
from clarion.bus.nodes import Nodes
from clarion.bus.owner_link import OwnerLink
from clarion.bus.registry import Registry, identity
from clarion.bus.unix import UnixBus, UnixRegistry
from clarion.clock import Clock
from clarion.errors import ClarionError, SettingsError, Unavailable
from clarion.ids import Ids
from clarion.realtime.backplane.local import Local
from clarion.realtime.namespaces import Backplane
from clarion.settings import Settings
from clarion.settings.backplane import Backplane as Spoken
from clarion.storage import Store
from clarion.storage.server import name_of
from clarion.telemetry import get_logger
from clarion.topics.books import channel
from clarion.topics.stores import MemoryStore, TopicStore
from clarion.topics.stores.redis import RedisStore
from clarion.topics.stores.remote import RemoteTopics

if TYPE_CHECKING:
    from clarion.bus.redis import RedisClient

_log = get_logger(__name__)


class Processes(Struct, frozen=True):
    """How processes hear of each other, and what they keep together."""

    bus: Bus
    nodes: Nodes
    topics: TopicStore
    backplane: Backplane | None = None
    address_of: Callable[[str], Awaitable[str]] | None = None


def alone(node: str, clock: Clock, ids: Ids) -> Processes:
    """One process: everything is in its memory."""
    bus = LocalBus()
    return Processes(bus, Nodes(node, bus, ids=ids), MemoryStore(clock=clock, ids=ids))


def of_one_host(node: str, link: OwnerLink, ids: Ids) -> Processes:
    """One of the workers around the process that owns the data: what is shared is in that one's memory."""
    bus = UnixBus(link)
    nodes = Nodes(node, bus, ids=ids, registry=UnixRegistry(link))
    return Processes(bus, nodes, RemoteTopics(link), Local(bus, ids))


async def over_redis(
    settings: Settings,
    store: Store,
    node: str,
    token_secret: str,
    closing: AsyncExitStack,
    *,
    clock: Clock,
    ids: Ids,
) -> Processes:
    """One of several.

    Args:
        settings: Where Redis is, and what its keys begin with.
        store: The database, which all of them share.
        node: This process.
        token_secret: What all of them must sign and seal with.
        closing: Closes the connections.
        clock: Of positions' marks.
        ids: Of connections and epochs.

    Raises:
        SettingsError: What speaks to Redis is not installed; or other servers there speak another `backplane.format`.
        Unavailable: Redis does not answer.
    """
    try:
        from clarion.bus.redis import RedisClient  # an optional extra
        from clarion.bus.redis_bus import RedisBus
        from clarion.realtime.backplane.choice import Choice
    except ImportError as exc:
        raise SettingsError(
            'redis_url is set, and what speaks to Redis is not installed: pip install "clarion[redis]"'
        ) from exc
    prefix = settings.redis_prefix
    redis = RedisClient(settings.redis_url, ids=ids)
    closing.push_async_callback(redis.close)
    bus = RedisBus(settings.redis_url, ids=ids, prefix=f"{prefix}:")
    closing.push_async_callback(bus.close)
    try:
        await bus.start()
        choice = Choice(settings.redis_url, settings.backplane, ids)
        closing.push_async_callback(choice.close)
        await choice.start(redis)
    except Unavailable as exc:
        raise Unavailable(f"redis_url: {exc.message}") from exc
    await _warn_of_eviction(redis)
    database = await name_of(store, ids.token(12))
    registry = Registry(
        redis,
        node,
        identity(
            database,
            token_secret,
            _spoken(settings.backplane),
            settings.backplane.prefix,
            settings.auth.other_secrets,
        ),
        prefix=prefix,
        address=settings.node_url.replace("{hostname}", socket.gethostname()),
    )
    topics = RedisStore(
        redis,
        clock=clock,
        ids=ids,
        prefix=prefix,
        channel=lambda topic: bus.name_of(channel(topic)),
    )
    nodes = Nodes(node, bus, ids=ids, registry=registry)
    return Processes(bus, nodes, topics, choice.backplane, registry.address_of)


def _spoken(given: Spoken) -> str:
    """What all must have alike to hear each other."""
    return f"{given.format} {given.mode}" if given.format == "sharded" else given.format


async def _warn_of_eviction(redis: "RedisClient") -> None:
    try:
        evicts = await redis.evicts()
    except ClarionError:  # some who rent it out let nobody ask
        return
    if evicts:
        _log.warning(
            "Redis evicts keys when it is full: topics would be torn; set maxmemory-policy noeviction"
        )
