"""The bus between the workers of one host, and the list of who is there: both by way of the process that owns the data.

A message goes to the owner, which passes it to every worker that is subscribed, in the order in which it came. When the connection was lost,
every channel that was subscribed before may have missed messages, and its listeners are told.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from clarion.bus.base import GapListener, Receiver
from clarion.bus.owner_link import OwnerLink
from clarion.bus.receivers import Receivers
from clarion.errors import Closed, Overloaded, Unavailable
from clarion.telemetry import bus_gaps

_encode = msgspec.msgpack.Encoder().encode
_count = msgspec.msgpack.Decoder(int).decode
_names = msgspec.msgpack.Decoder(list[str]).decode


class UnixBus:
    """Publish and subscribe by channel name, for all workers of one owner.

    Args:
        link: The way to the owner; opened and closed by who made it.
    """

    def __init__(self, link: OwnerLink) -> None:
        self._link = link
        self._receivers = Receivers()
        # The newest subscription of each channel that the owner has not confirmed.
        self._unsettled: dict[str, asyncio.Future[bytes]] = {}
        self._is_closed = False
        link.on_push(self._receivers.deliver)
        link.on_back(self._back)

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand a message to everyone who is subscribed, on whatever worker.

        Raises:
            Unavailable: The owner is not there now.
            Closed: The bus was closed.
        """
        self.say(channel, data)

    def say(self, channel: str, data: bytes) -> None:
        """As `publish`, at once."""
        if self._is_closed:
            raise Closed("the bus is closed")
        self._link.tell("publish", _encode((channel, data)))

    async def subscribers(self, channel: str) -> int:
        """How many workers are subscribed to a channel, this one included.

        Raises:
            Unavailable: The owner is not there now.
        """
        return _count(await self._link.ask("subscribers", channel.encode()))

    def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Call `receiver` with each message of the channel, once it is settled."""
        if self._receivers.add(channel, receiver):
            # Without a connection: all are subscribed with the next one, and a gap is told.
            try:
                _ = self._begin([channel])
            except Overloaded:  # over this one it would never be heard
                self._link.give_up()
            except Unavailable:
                pass

    def unsubscribe(self, channel: str, receiver: Receiver) -> None:
        """Call it no more; nothing happens if it was not subscribed."""
        if not self._receivers.remove(channel, receiver) or self._is_closed:
            return
        with contextlib.suppress(Unavailable, Closed):  # the owner forgot it with the connection
            self._link.tell("unsubscribe", _encode([channel]))

    async def settle(self, channel: str) -> None:
        """Return when the owner has confirmed the subscription; or when the link is lost: then a gap will be told."""
        if (waiting := self._unsettled.get(channel)) is not None:
            await asyncio.wait([waiting])

    def on_gap(self, listener: GapListener) -> None:
        """Be told which subscribed channels may have missed messages."""
        self._receivers.listen_for_gaps(listener)

    async def close(self) -> None:
        """Deliver nothing more."""
        self._is_closed = True
        self._receivers.clear()

    def _back(self) -> None:
        if channels := self._receivers.channels:
            self._begin(channels).add_done_callback(lambda done: self._tell_gap(channels, done))

    def _begin(self, channels: Sequence[str]) -> "asyncio.Future[bytes]":
        answer = self._link.begin("subscribe", _encode(channels))
        for channel in channels:
            self._unsettled[channel] = answer
        answer.add_done_callback(lambda done: self._settled(channels, done))
        return answer

    def _settled(self, channels: Sequence[str], done: "asyncio.Future[bytes]") -> None:
        for channel in channels:
            if self._unsettled.get(channel) is done:
                del self._unsettled[channel]

    def _tell_gap(self, channels: Sequence[str], done: "asyncio.Future[bytes]") -> None:
        # Lost again before it was confirmed: the next connection's gap has these, too.
        if not done.cancelled() and done.exception() is None and not self._is_closed:
            bus_gaps.inc(len(channels))
            self._receivers.tell_gap(channels)


class UnixRegistry:
    """Who is there: the workers that are connected to the owner.

    Args:
        link: The way to the owner, which knows this worker's name.
    """

    def __init__(self, link: OwnerLink) -> None:
        self._link = link

    async def beat(self) -> list[str]:
        """Who is there. This worker is, because it is connected.

        Raises:
            Unavailable: The owner is not there now.
        """
        return await self.living()

    async def living(self) -> list[str]:
        """Who is there.

        Raises:
            Unavailable: The owner is not there now.
        """
        return _names(await self._link.ask("nodes"))

    async def leave(self) -> None:
        """Count no longer.

        Raises:
            Unavailable: The owner is not there now.
        """
        self._link.tell("leave")
