"""Who listens to what on a bus, and who must know what may be lost: the part that every bus has."""

from collections.abc import Sequence

from clarion.bus.base import GapListener, Receiver
from clarion.telemetry import get_logger

_log = get_logger(__name__)


class Receivers:
    """Receivers by channel, and listeners for gaps; one that fails is logged and hurts nobody."""

    def __init__(self) -> None:
        # Dicts as ordered sets: delivery is in the order of subscribing.
        self._receivers: dict[str, dict[Receiver, None]] = {}
        self._gap_listeners: dict[GapListener, None] = {}

    @property
    def channels(self) -> tuple[str, ...]:
        """Those that somebody listens to, in the order of subscribing."""
        return tuple(self._receivers)

    def __contains__(self, channel: str) -> bool:
        return channel in self._receivers

    def add(self, channel: str, receiver: Receiver) -> bool:
        """Returns whether it is the channel's first."""
        is_first = channel not in self._receivers
        self._receivers.setdefault(channel, {})[receiver] = None
        return is_first

    def remove(self, channel: str, receiver: Receiver) -> bool:
        """Returns whether it was the channel's last."""
        receivers = self._receivers.get(channel)
        if receivers is None or receiver not in receivers:
            return False
        del receivers[receiver]
        if receivers:
            return False
        del self._receivers[channel]
        return True

    def deliver(self, channel: str, data: bytes) -> None:
        """Call every receiver of a channel."""
        receivers = self._receivers.get(channel, {})
        for receiver in tuple(receivers):
            if receiver not in receivers:  # an earlier one has unsubscribed it
                continue
            try:
                receiver(data)
            except Exception:  # noqa: BLE001  logged; one listener's bug must not cost the others their message
                _log.exception("receiver of the bus failed", channel=channel)

    def listen_for_gaps(self, listener: GapListener) -> None:
        """Call it with channels that may miss messages."""
        self._gap_listeners[listener] = None

    def tell_gap(self, channels: Sequence[str]) -> None:
        """Call every listener for gaps."""
        for listener in tuple(self._gap_listeners):
            try:
                listener(channels)
            except Exception:  # noqa: BLE001  likewise
                _log.exception("gap listener of the bus failed")

    def clear(self) -> None:
        """Forget all of them."""
        self._receivers.clear()
        self._gap_listeners.clear()
