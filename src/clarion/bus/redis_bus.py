"""The bus between nodes, over Redis' Pub/Sub: one link that comes back by itself, and says what it may have missed.

Pub/Sub keeps nothing for who is away. So whenever a link is new, every channel that was subscribed before it counts as one that may
have missed messages, and its listeners read the truth from where it is stored. One link publishes and listens: whatever breaks it, the
publisher's own node hears of the gap too. In a Cluster any server will do, since PUBLISH reaches all of them; the URL's are where it begins.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis

from clarion.bus.address import Node, parse
from clarion.bus.base import GapListener, Receiver
from clarion.bus.cluster import owners
from clarion.bus.link import DEADLINE_S, Link, dial
from clarion.bus.receivers import Receivers
from clarion.bus.redis import RedisClient
from clarion.bus.sentinel import places
from clarion.errors import Closed, Unavailable
from clarion.ids import Ids
from clarion.telemetry import Tasks, bus_connected, bus_gaps, get_logger

_log = get_logger(__name__)

HEALTH_S: Final = 5.0  # of silence, until the server is asked whether it is there
FIRST_S, LONGEST_S = (
    0.05,
    2.0,
)  # of pauses between attempts to connect, each up to twice as long as the one before
AnyReceiver = Callable[[str, bytes], None]
"""Takes the channel and one message; must not block."""
AT_ONCE: Final = 1_000  # channels in one command


class _Unsettled:
    """A channel whose subscription Redis has not confirmed yet; as often as it was asked for on this link."""

    __slots__ = ("asked", "settled")

    def __init__(self) -> None:
        self.asked = 0
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class RedisBus:
    """Publish and subscribe by channel name, for all nodes that share a Redis.

    Args:
        url: See `address.parse`.
        ids: For the spread of pauses: nodes must not come back together.
        prefix: Of the channels' names in Redis, as it is.
        deadline_s: For how long (s) an answer is waited for, and a connection.

    Raises:
        SettingsError: The URL is none.
    """

    def __init__(
        self, url: str, *, ids: Ids, prefix: str = "clarion:", deadline_s: float = DEADLINE_S
    ) -> None:
        # Fixed at creation
        self._address = parse(url)
        self._ids = ids
        self._prefix = prefix.encode()
        self._deadline_s = deadline_s
        self._redis = RedisClient(url, ids=ids, deadline_s=deadline_s)  # connects to a Cluster only
        # Changes while open
        self._receivers = Receivers()
        self._patterns: dict[bytes, AnyReceiver] = {}
        self._link: Link | None = None
        self._servers: list[Node] = []  # of a Cluster, as its servers said last
        self._unsettled: dict[str, _Unsettled] = {}
        # Channels that were subscribed before this link and are not confirmed; and those that are, whose gap is to be told.
        self._missed: dict[str, None] = {}
        self._gaps: list[str] = []
        self._tasks = Tasks()
        self._is_closed = False

    async def start(self) -> None:
        """Connect, and keep connected from now on.

        Raises:
            Unavailable: No server answers.
        """
        self._adopt(await self._dial())
        self._tasks.spawn_forever(self._keep, name="redis bus")

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand a message to everyone who is subscribed, on whatever node. Redis' answer is not waited for.

        Raises:
            Unavailable: There is no connection now; `Overloaded`: too much waits for it.
            Closed: The bus was closed.
        """
        self.say(channel, data)

    def name_of(self, channel: str) -> str:
        """What Redis calls a channel: what a script publishes there, the bus brings."""
        return self._name(channel).decode()

    def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Call `receiver` with each message of the channel, once it is settled."""
        if self._receivers.add(channel, receiver) and self._link is not None:
            self._begin(self._link, [channel])

    def unsubscribe(self, channel: str, receiver: Receiver) -> None:
        """Call it no more; nothing happens if it was not subscribed."""
        if self._receivers.remove(channel, receiver) and self._link is not None:
            self._link.tell("UNSUBSCRIBE", self._name(channel))

    def subscribe_all(self, start: str, receiver: AnyReceiver) -> None:
        """Call `receiver` with each message of every channel whose name begins so; one receiver a beginning. Gaps are not told."""
        pattern = _literal(self._name(start)) + b"*"
        self._patterns[pattern] = receiver
        if self._link is not None:
            self._link.tell("PSUBSCRIBE", pattern)

    def unsubscribe_all(self, start: str) -> None:
        """Call it no more."""
        pattern = _literal(self._name(start)) + b"*"
        if self._patterns.pop(pattern, None) is not None and self._link is not None:
            self._link.tell("PUNSUBSCRIBE", pattern)

    def say(self, channel: str, data: bytes) -> None:
        """As `publish`, at once."""
        if self._is_closed:
            raise Closed("the bus is closed")
        if self._link is None or self._link.is_lost:
            raise Unavailable("the bus is not connected to Redis")
        answer = self._link.ask("PUBLISH", self._name(channel), data)
        if answer.done():
            raise answer.result()
        answer.add_done_callback(_log_refusal)

    async def subscribers(self, channel: str) -> int:
        """How many processes are subscribed to a channel, this one included; in a Cluster at all primaries.

        Raises:
            Unavailable: There is no connection now, or no answer.
        """
        if self._link is None or self._link.is_lost:
            raise Unavailable("the bus is not connected to Redis")
        ask = ("PUBSUB", "NUMSUB", self._name(channel))
        if self._link.mode == "cluster":  # each counts those at itself
            return sum(int(answer[1]) for answer in await self._redis.call_all(*ask))
        answer = await self._link.ask(*ask)
        if isinstance(answer, Exception):
            raise Unavailable(f"Redis does not say who is there: {answer}")
        return int(answer[1])

    async def settle(self, channel: str) -> None:
        """Return when Redis has confirmed the subscription; or when the link is lost: then a gap will be told."""
        if (waiting := self._unsettled.get(channel)) is not None:
            await asyncio.shield(waiting.settled)

    def on_gap(self, listener: GapListener) -> None:
        """Be told which subscribed channels may have missed messages."""
        self._receivers.listen_for_gaps(listener)

    async def close(self) -> None:
        """Deliver nothing more."""
        self._is_closed = True
        self._receivers.clear()
        await self._tasks.close()
        if self._link is not None:
            self._link.abort("closed")
            await self._link.ended()
            self._give_up()
        await self._redis.close()

    # ── the link ──
    async def _dial(self) -> Link:
        failed = Unavailable("no server of Redis answers")
        begin = await places(self._address, deadline_s=self._deadline_s)
        for node in dict.fromkeys([*self._servers, *begin]):
            try:
                link = await dial(
                    self._address, node, deadline_s=self._deadline_s, on_push=self._on_push
                )
            except Unavailable as exc:
                failed = exc
                continue
            try:
                await self._look_at(link)
            except asyncio.CancelledError:
                link.abort("closed")
                raise
            if not link.is_lost:
                return link
        raise failed

    async def _look_at(self, link: Link) -> None:
        """Ask the server whether it is there: its deadline finds out one that is silent for good. One of a Cluster says who else is."""
        if link.mode != "cluster":
            _ = link.ask("PING")
            return
        told = await link.ask("CLUSTER", "SLOTS")
        if told == []:
            # It was taken out of its Cluster: it answers, and hears nothing of what the others publish.
            link.abort("refused")
            await link.ended()
        elif (found := owners(told, link.node)) is not None:
            former, self._servers = self._servers, list(dict.fromkeys(found))
            if link is self._link and not set(former) <= set(found):
                # A primary has died that may not have passed on what was published there last.
                self._gaps += self._receivers.channels
                self._tell_gaps()

    def _adopt(self, link: Link) -> None:
        self._link = link
        bus_connected.set(1)
        channels = self._receivers.channels
        self._missed = dict.fromkeys(channels)
        if self._patterns:
            link.tell("PSUBSCRIBE", *self._patterns)
        for at in range(0, len(channels), AT_ONCE):
            self._begin(link, channels[at : at + AT_ONCE])

    def _give_up(self) -> None:
        self._link = None
        bus_connected.set(0)
        for waiting in self._unsettled.values():
            waiting.settled.set_result(None)
        self._unsettled.clear()

    async def _keep(self) -> None:
        while True:
            if (link := self._link) is None:
                link = await self._again()
                self._adopt(link)
            while not link.is_lost:
                await asyncio.wait([link.lost], timeout=HEALTH_S)
                await self._look_at(link)
            self._give_up()
            _log.warning("the bus has lost its connection to Redis", why=link.lost.result())

    async def _again(self) -> Link:
        longest = FIRST_S
        while True:
            await asyncio.sleep(self._ids.uniform(0, longest))
            try:
                return await self._dial()
            except Unavailable as exc:
                _log.warning("the bus cannot connect to Redis", error=exc.message)
                longest = min(LONGEST_S, 2 * longest)

    def _name(self, channel: str) -> bytes:
        return self._prefix + channel.encode()

    def _begin(self, link: Link, channels: Sequence[str]) -> None:
        for channel in channels:
            self._unsettled.setdefault(channel, _Unsettled()).asked += 1
        link.tell("SUBSCRIBE", *(self._name(channel) for channel in channels))

    # ── what comes ──
    def _on_push(self, push: list[Any]) -> None:
        kind, name = push[0], push[1]
        if kind == b"pmessage":
            if (receiver := self._patterns.get(name)) is not None:
                channel = push[2][len(self._prefix) :].decode(errors="replace")
                try:
                    receiver(channel, push[3])
                except Exception:  # noqa: BLE001  logged; a bug must not cost the connection
                    _log.exception("receiver of the bus failed", channel=channel)
            return
        if kind in (b"psubscribe", b"punsubscribe"):
            return
        channel = name[len(self._prefix) :].decode()
        if kind == b"message":
            self._receivers.deliver(channel, push[2])
        elif kind == b"subscribe":
            self._confirm(channel)

    def _confirm(self, channel: str) -> None:
        waiting = self._unsettled.get(channel)
        if waiting is not None:
            waiting.asked -= 1
            if waiting.asked == 0:
                del self._unsettled[channel]
                waiting.settled.set_result(None)
        if channel in self._missed:
            del self._missed[channel]
            if not self._gaps:  # of many that are confirmed together, told together
                asyncio.get_running_loop().call_soon(self._tell_gaps)
            self._gaps.append(channel)

    def _tell_gaps(self) -> None:
        channels, self._gaps = self._gaps, []
        bus_gaps.inc(len(channels))
        self._receivers.tell_gap(channels)


def _literal(name: bytes) -> bytes:
    """A name as Redis' patterns have it."""
    return re.sub(rb"([\\*?\[\]^])", rb"\\\1", name)


def _log_refusal(answer: "asyncio.Future[Any]") -> None:
    # What was lost with the link, its gap will tell.
    if not answer.cancelled() and isinstance(answer.result(), hiredis.ReplyError):
        _log.warning("Redis did not publish", error=str(answer.result()))
