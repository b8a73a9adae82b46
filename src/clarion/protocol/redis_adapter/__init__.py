"""What Socket.IO servers say to each other over Redis, in the formats of Node's adapters, byte for byte.

`messages` says what is said, in no format; `classic`, `cluster` and `streams` are the three ways of writing it. Nothing that comes
is believed: whoever can write to that Redis can send anything.
"""

from clarion.protocol.redis_adapter.classic import Classic
from clarion.protocol.redis_adapter.cluster import Cluster
from clarion.protocol.redis_adapter.messages import (
    Acked,
    AllRooms,
    Beat,
    Broadcast,
    Counted,
    Disconnect,
    Done,
    Emitted,
    Fetch,
    Fetched,
    Join,
    Leave,
    ListedIds,
    ListIds,
    Message,
    Options,
    Rooms,
    ServerSide,
)
from clarion.protocol.redis_adapter.streams import Entry, Kept

__all__ = [
    "Acked",
    "AllRooms",
    "Beat",
    "Broadcast",
    "Classic",
    "Cluster",
    "Counted",
    "Disconnect",
    "Done",
    "Emitted",
    "Entry",
    "Fetch",
    "Fetched",
    "Join",
    "Kept",
    "Leave",
    "ListIds",
    "ListedIds",
    "Message",
    "Options",
    "Rooms",
    "ServerSide",
]
