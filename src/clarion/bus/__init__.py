"""Messages between the parts of a server and between its nodes; may lose some, and says so. The only place that speaks Redis."""

from clarion.bus.base import Bus, GapListener, Receiver
from clarion.bus.local import LocalBus

__all__ = ["Bus", "GapListener", "LocalBus", "Receiver"]
