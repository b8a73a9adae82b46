"""Presence: who is here, on what, and how busy."""

from clarion.features.presence.presence import Presence
from clarion.features.presence.rooms import Member, Members

__all__ = ["Member", "Members", "Presence"]
