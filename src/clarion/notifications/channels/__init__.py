"""Channels: the ways to reach a subscriber. Each is one small class; an application adds its own with `Channels.add`."""

from clarion.notifications.channels.base import (
    Channel,
    Channels,
    KeepsAddresses,
    NotSent,
    NotYet,
    Outgoing,
    Sent,
    Tried,
)
from clarion.notifications.channels.line import Allowed, Provider
from clarion.notifications.channels.providers import Provided, Providers
from clarion.notifications.channels.urls import ProviderUrl

__all__ = [
    "Allowed",
    "Channel",
    "Channels",
    "KeepsAddresses",
    "NotSent",
    "NotYet",
    "Outgoing",
    "Provided",
    "Provider",
    "ProviderUrl",
    "Providers",
    "Sent",
    "Tried",
]
