"""What carries the acts of one node on sockets of the others: each way of carrying is a module of its own, which is imported where it is used."""

from clarion.realtime.backplane.base import Wire
from clarion.realtime.backplane.others import Others

__all__ = ["Others", "Wire"]
