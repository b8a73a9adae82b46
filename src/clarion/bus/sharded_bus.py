"""Redis' sharded Pub/Sub (Redis 7): in a Cluster a channel is at the server that has its slot, and no other server hears of it.

So there is one connection to each server to listen on, beside those that publish. A slot that moves takes its channels along: the old server
says that it has them no longer, and they are subscribed to at the new one. What is published meanwhile is lost, and counted as a gap.
"""

import asyncio
from typing import Any

from clarion.bus.address import Node, parse
from clarion.bus.base import Receiver
from clarion.bus.cluster import slot
from clarion.bus.link import DEADLINE_S, Link, dial
from clarion.bus.pump import Pump
from clarion.bus.receivers import Receivers
from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import FIRST_S, HEALTH_S, LONGEST_S
from clarion.errors import Closed, Unavailable
from clarion.ids import Ids
from clarion.telemetry import Tasks, bus_gaps, get_logger

_log = get_logger(__name__)


class ShardedBus:
    """Publish and subscribe by channel name.

    Args:
        url: See `address.parse`.
        ids: For the spread of pauses.
        deadline_s: For how long (s) an answer is waited for, and a connection.

    Raises:
        SettingsError: The URL is none.
    """

    def __init__(self, url: str, *, ids: Ids, deadline_s: float = DEADLINE_S) -> None:
        # Fixed at creation
        self._address, self._ids, self._deadline_s = parse(url), ids, deadline_s
        self._redis = RedisClient(url, ids=ids, deadline_s=deadline_s)
        self._pump = Pump(self._redis, "sharded bus: publish")
        # Changes while open
        self._receivers = Receivers()
        self._owners: list[Node] = []  # of each slot; one alone has them all
        self._links: dict[Node, Link] = {}
        # On which link a channel was subscribed to last; who waits until Redis confirms it; which have been confirmed before.
        self._on: dict[str, Link] = {}
        self._unsettled: dict[str, asyncio.Future[None]] = {}
        self._known: set[str] = set()
        self._leaving: dict[
            str, int
        ] = {}  # how often we have left it and Redis has not said so yet
        self._changed = asyncio.Event()
        self._tasks = Tasks()
        self._is_closed = False

    async def start(self) -> None:
        """Connect, and keep connected from now on.

        Raises:
            Unavailable: A server does not answer.
        """
        await self._connect()
        self._tasks.spawn_forever(self._keep, name="sharded bus")
        self._pump.start()

    def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Call `receiver` with each message of the channel, once it is settled."""
        if self._receivers.add(channel, receiver):
            self._place(channel)

    def unsubscribe(self, channel: str, receiver: Receiver) -> None:
        """Call it no more; nothing happens if it was not subscribed."""
        if not self._receivers.remove(channel, receiver):
            return
        self._known.discard(channel)
        if (waiting := self._unsettled.pop(channel, None)) is not None:
            waiting.set_result(None)
        if (link := self._on.pop(channel, None)) is not None:
            self._leaving[channel] = self._leaving.get(channel, 0) + 1
            link.tell("SUNSUBSCRIBE", channel)

    async def settle(self, channel: str) -> None:
        """Return when Redis has confirmed the subscription."""
        if (waiting := self._unsettled.get(channel)) is not None:
            await asyncio.shield(waiting)

    def say(self, channel: str, data: bytes) -> None:
        """Hand a message to everyone who is subscribed, on whatever node; in the order of the calls. Redis' answer is not waited for.

        Raises:
            Unavailable: The server that has the channel is not connected now; `Overloaded`: too much waits for it.
            Closed: The bus was closed.
        """
        if self._is_closed:
            raise Closed("the bus is closed")
        link = self._link_of(channel)
        if link is None or link.is_lost:
            raise Unavailable("the bus is not connected to Redis")
        name = channel.encode()
        self._pump.push((name, (b"SPUBLISH", name, data)))

    async def subscribers(self, channel: str) -> int:
        """How many processes are subscribed to a channel, this one included.

        Raises:
            Unavailable: There is no answer.
        """
        name = channel.encode()
        # Only the server that has the slot can have subscribers.
        told = await self._redis.call(name, "PUBSUB", "SHARDNUMSUB", name, is_write=False)
        return int(told[1])

    async def close(self) -> None:
        """Deliver nothing more."""
        self._is_closed = True
        self._receivers.clear()
        await self._tasks.close()
        await self._pump.flush()
        await self._pump.close()
        for link in self._links.values():
            link.abort("closed")
        await asyncio.gather(*(link.ended() for link in self._links.values()))
        for waiting in self._unsettled.values():
            waiting.cancel()
        await self._redis.close()

    def _link_of(self, channel: str) -> Link | None:
        """The link to who has the channel."""
        at = slot(channel.encode()) if len(self._owners) > 1 else 0
        return self._links.get(self._owners[at]) if self._owners else None

    # ── listening ──
    def _place(self, channel: str) -> None:
        """Subscribe where the channel is now."""
        if channel not in self._unsettled:
            self._unsettled[channel] = asyncio.get_running_loop().create_future()
        link = self._link_of(channel)
        if link is None or link.is_lost:
            self._changed.set()
            return
        self._on[channel] = link
        link.tell("SSUBSCRIBE", channel)

    async def _keep(self) -> None:
        longest = FIRST_S
        while True:
            try:
                async with asyncio.timeout(HEALTH_S):
                    await self._changed.wait()
            except TimeoutError:
                for link in self._links.values():
                    _ = link.ask("PING")  # its deadline finds out a server that is silent for good
                continue
            try:
                await self._connect()
                longest = FIRST_S
            except Unavailable as exc:
                self._changed.set()
                _log.warning("the bus cannot connect to all of Redis", error=exc.message)
                longest = min(LONGEST_S, 2 * longest)
            # A server that is asked too early may not know yet that it has a slot.
            await asyncio.sleep(self._ids.uniform(0, longest))

    async def _connect(self) -> None:
        """Find out who has which slot, and listen there."""
        self._changed.clear()
        owners = await self._redis.owners()
        for node in dict.fromkeys(owners):
            link = self._links.get(node)
            if link is None or link.is_lost:
                self._links[node] = await self._dial(node)
        for node in self._links.keys() - set(owners):
            self._links.pop(node).abort("closed")
        self._owners = owners
        for channel in self._receivers.channels:
            if self._on.get(channel) is not self._link_of(channel):
                self._place(channel)

    async def _dial(self, node: Node) -> Link:
        link = await dial(self._address, node, deadline_s=self._deadline_s, on_push=self._on_push)
        link.lost.add_done_callback(self._on_lost)
        return link

    def _on_lost(self, lost: "asyncio.Future[str]") -> None:
        self._leaving.clear()  # what is said of others will be taken for moves: then they are subscribed to once more
        self._changed.set()

    def _on_push(self, push: list[Any]) -> None:
        kind, channel = push[0], push[1].decode(errors="replace")
        if kind == b"smessage":
            self._receivers.deliver(channel, push[2])
        elif kind == b"ssubscribe":
            self._on_settled(channel)
        elif kind == b"sunsubscribe":
            self._on_left(channel)

    def _on_settled(self, channel: str) -> None:
        if channel in self._leaving:
            return  # and we have left it since
        if channel in self._known:
            bus_gaps.inc()
        elif channel in self._receivers:
            self._known.add(channel)
        if (waiting := self._unsettled.pop(channel, None)) is not None:
            waiting.set_result(None)

    def _on_left(self, channel: str) -> None:
        """Redis has it no longer for us: because we said so, or since its slot has moved."""
        if (asked := self._leaving.pop(channel, 0)) > 1:
            self._leaving[channel] = asked - 1
        elif not asked and channel in self._receivers:
            self._on.pop(channel, None)
            self._changed.set()
