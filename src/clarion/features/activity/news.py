"""News: what all nodes are told when a stream has changed, or what somebody follows.

A notice names what has changed and not how: whoever it concerns reads the truth. So notices may come late, twice and in any order.
"""

from typing import Final

import msgspec
from msgspec import Struct

from clarion.bus import Bus
from clarion.errors import ClarionError
from clarion.telemetry import get_logger

_log = get_logger(__name__)

CHANNEL: Final = "activity"


class Notice(Struct, frozen=True, array_like=True, omit_defaults=True):
    """Something has changed: an activity of a stream, all of a stream where `id` is '', or what `user` follows."""

    tenant: str
    stream: str = ""
    id: str = ""
    user: str = ""


decode = msgspec.json.Decoder(Notice).decode


class News:
    """Tells all nodes.

    Args:
        bus: Carries notices.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def tell(self, notice: Notice) -> None:
        """Tell, after the commit. A notice that cannot be sent is only logged: the bus says that there is a gap, and all is read anew."""
        try:
            await self._bus.publish(CHANNEL, msgspec.json.encode(notice))
        except ClarionError as exc:
            _log.warning("notice of a change lost", error=exc.code)
