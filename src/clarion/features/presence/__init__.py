"""Presence: who is here, on what, and how busy."""

from clarion.features.presence.people import Visibility
from clarion.features.presence.presence import Presence
from clarion.features.presence.rooms import Member, Members
from clarion.features.presence.statuses import DeviceStatus, UserStatus

__all__ = ["DeviceStatus", "Member", "Members", "Presence", "UserStatus", "Visibility"]
