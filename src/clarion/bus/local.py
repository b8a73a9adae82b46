"""The bus inside one process: delivers on the loop's next turn, in order, and loses nothing.

Never in the same call stack, so that a publisher sees the same interleaving that a bus between nodes gives.
"""

import asyncio
from collections.abc import Sequence

from clarion.bus.base import GapListener, Receiver
from clarion.errors import Closed
from clarion.telemetry import get_logger

_log = get_logger(__name__)


class LocalBus:
    """In-process twin of the bus between nodes."""

    def __init__(self) -> None:
        # Dicts as ordered sets: delivery is in the order of subscribing.
        self._receivers: dict[str, dict[Receiver, None]] = {}
        self._gap_listeners: dict[GapListener, None] = {}
        self._is_closed = False

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand a message to everyone who is subscribed when it is delivered.

        Raises:
            Closed: The bus was closed.
        """
        if self._is_closed:
            raise Closed("the bus is closed")
        asyncio.get_running_loop().call_soon(self._deliver, channel, data)

    def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Call `receiver` with each message of the channel from now on."""
        self._receivers.setdefault(channel, {})[receiver] = None

    def unsubscribe(self, channel: str, receiver: Receiver) -> None:
        """Call it no more; nothing happens if it was not subscribed."""
        receivers = self._receivers.get(channel, {})
        receivers.pop(receiver, None)
        if not receivers:
            self._receivers.pop(channel, None)

    def on_gap(self, listener: GapListener) -> None:
        """Be told which subscribed channels may have missed messages: here only when `gap` says so."""
        self._gap_listeners[listener] = None

    def gap(self, channels: Sequence[str] | None = None) -> None:
        """Say that messages of these channels (None: of all subscribed ones) may be lost. Tests and simulations do."""
        names = tuple(self._receivers) if channels is None else tuple(channels)
        asyncio.get_running_loop().call_soon(self._tell_gap, names)

    async def close(self) -> None:
        """Deliver nothing more."""
        self._is_closed = True
        self._receivers.clear()
        self._gap_listeners.clear()

    def _deliver(self, channel: str, data: bytes) -> None:
        receivers = self._receivers.get(channel, {})
        for receiver in tuple(receivers):
            if receiver not in receivers:  # an earlier one has unsubscribed it
                continue
            try:
                receiver(data)
            except Exception:  # noqa: BLE001  logged; one listener's bug must not cost the others their message
                _log.exception("receiver of the bus failed", channel=channel)

    def _tell_gap(self, channels: Sequence[str]) -> None:
        for listener in tuple(self._gap_listeners):
            try:
                listener(channels)
            except Exception:  # noqa: BLE001  likewise
                _log.exception("gap listener of the bus failed")
