"""Sending: messages of channels are handed to providers.

Each channel has a lane of its own, which takes no more messages than its providers may be handed now: one that stands still keeps
nobody else waiting, and what waits, waits in the store.
"""

import asyncio
from collections.abc import Callable

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels import (
    Allowed,
    Channel,
    Channels,
    Provided,
    Providers,
)
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.channels.line import ProviderStatus
from clarion.notifications.channels.providers import Diverts
from clarion.notifications.lanes import CONCURRENCY, Lane, WhyNot
from clarion.notifications.runs import nothing
from clarion.settings import Sending
from clarion.storage.store import Store


class Sender:
    """Hands messages over, each channel's in its lane.

    Args:
        store: Where they are.
        channels: How.
        settings: What providers are given.
        diverts: Keeps what is not to leave.
        why_not: Says why a message is not wanted any more, '' if it is.
        clock: The time.
        ids: Jitter.
        node: Names this process in leases.
    """

    def __init__(
        self,
        store: Store,
        channels: Channels,
        settings: Sending,
        diverts: Diverts,
        why_not: WhyNot,
        *,
        clock: Clock,
        ids: Ids,
        node: str,
    ) -> None:
        self._store, self._channels, self._settings = store, channels, settings
        self._diverts, self._why_not = diverts, why_not
        self._clock, self._ids, self._node = clock, ids, node
        self._lanes: dict[str, Lane] = {}
        self.on_woken: Callable[[], None] = nothing
        """Called when runs may have been waiting for what became of a message."""

    def start(self) -> None:
        """Begin to send."""
        for lane in self._all():
            lane.loop.start()

    def wake(self) -> None:
        """There is something to send."""
        for lane in self._lanes.values():
            lane.loop.wake()

    async def look(self) -> float:
        """Take what is due and may be sent, of every channel; returns how long to wait before the next look (s)."""
        return min([await lane.look() for lane in self._all()], default=float("inf"))

    async def close(self, grace_s: float = 10.0) -> None:
        """Wait for what is in providers' hands; what is not answered by then is tried again when its lease ends."""
        lanes = list(self._lanes.values())
        await asyncio.gather(*(lane.loop.close() for lane in lanes))
        await asyncio.gather(*(lane.close(grace_s) for lane in lanes))

    def status(self) -> dict[str, list[ProviderStatus]]:
        """How the providers of each channel do, in their order."""
        lanes = self._all()
        return {lane.providers.channel: lane.providers.status() for lane in lanes}

    def _all(self) -> list[Lane]:
        for channel in self._channels.all():
            if channel.name not in self._lanes and channel.name != INBOX:
                self._lanes[channel.name] = self._lane(channel)
        return list(self._lanes.values())

    def _lane(self, channel: Channel) -> Lane:
        if isinstance(channel, Provided):
            providers = channel.providers
        else:  # it is its own provider
            providers = Providers(channel.name, self._settings, clock=self._clock, ids=self._ids)
            providers.add(
                channel, Allowed(concurrency=CONCURRENCY, timeout_s=min(channel.timeout_s, 100.0))
            )
        providers.diverts = self._diverts
        return Lane(
            self._store,
            channel,
            providers,
            self._woken,
            self._why_not,
            clock=self._clock,
            ids=self._ids,
            node=self._node,
        )

    def _woken(self) -> None:
        self.on_woken()
