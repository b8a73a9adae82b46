"""Channels: the ways to reach a subscriber. Each is one small class; an application adds its own with `Channels.add`."""

from clarion.notifications.channels.base import Channel, Channels, NotSent, Outgoing, Sent

__all__ = ["Channel", "Channels", "NotSent", "Outgoing", "Sent"]
