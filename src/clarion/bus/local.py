"""The bus inside one process: delivers on the loop's next turn, in order, and loses nothing.

Never in the same call stack, so that a publisher sees the same interleaving that a bus between nodes gives.
"""

import asyncio
from collections.abc import Sequence

from clarion.bus.base import GapListener, Receiver
from clarion.bus.receivers import Receivers
from clarion.errors import Closed


class LocalBus:
    """In-process twin of the bus between nodes."""

    def __init__(self) -> None:
        self._receivers = Receivers()
        self._is_closed = False

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand a message to everyone who is subscribed when it is delivered.

        Raises:
            Closed: The bus was closed.
        """
        if self._is_closed:
            raise Closed("the bus is closed")
        asyncio.get_running_loop().call_soon(self._receivers.deliver, channel, data)

    def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Call `receiver` with each message of the channel from now on."""
        self._receivers.add(channel, receiver)

    def unsubscribe(self, channel: str, receiver: Receiver) -> None:
        """Call it no more; nothing happens if it was not subscribed."""
        self._receivers.remove(channel, receiver)

    async def settle(self, channel: str) -> None:
        """Nothing is on its way: a subscription counts at once."""

    def on_gap(self, listener: GapListener) -> None:
        """Be told which subscribed channels may have missed messages: here only when `gap` says so."""
        self._receivers.listen_for_gaps(listener)

    def gap(self, channels: Sequence[str] | None = None) -> None:
        """Say that messages of these channels (None: of all subscribed ones) may be lost. Tests and simulations do."""
        names = self._receivers.channels if channels is None else tuple(channels)
        asyncio.get_running_loop().call_soon(self._receivers.tell_gap, names)

    async def close(self) -> None:
        """Deliver nothing more."""
        self._is_closed = True
        self._receivers.clear()
