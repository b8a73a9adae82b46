"""What carries small messages between the parts of one server, and later between its nodes.

A bus may lose messages (a broken connection, a restart) but says so: `on_gap` names the channels that may have missed some, and
who listens there reads the truth from where it is stored.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

Receiver = Callable[[bytes], None]
"""Takes one message; must not block."""
GapListener = Callable[[Sequence[str]], None]
"""Takes the channels whose messages may have been lost."""


class Bus(Protocol):
    """Publish and subscribe by channel name. Messages of one publisher on one channel arrive in the order of their publishing."""

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand a message to everyone who is subscribed, this node included; never delivered before this call has returned.

        Raises:
            Unavailable: The bus is not there now.
            Closed: The bus was closed.
        """
        ...

    def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Call `receiver` with each message of the channel from now on. Subscribing it twice changes nothing."""
        ...

    def unsubscribe(self, channel: str, receiver: Receiver) -> None:
        """Call it no more, not even with messages that are on their way."""
        ...

    async def settle(self, channel: str) -> None:
        """Return when everything that is published on a subscribed channel from now on will arrive, or else a gap will be told.

        Between nodes a subscription takes a moment. Who reads the truth after this has missed nothing.
        """
        ...

    def on_gap(self, listener: GapListener) -> None:
        """Be told which subscribed channels may have missed messages."""
        ...

    async def close(self) -> None:
        """Deliver nothing more."""
        ...
