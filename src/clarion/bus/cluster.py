"""What a Redis Cluster says of itself: which server has which slot, and where to ask instead."""

import binascii
from typing import Any, Final

from clarion.bus.address import Node

SLOTS: Final = 16_384


def slot(key: bytes) -> int:
    """The slot of a key: CRC16 of its hash tag, or of the whole (Redis Cluster specification, "Hash tags")."""
    start = key.find(b"{") + 1
    end = key.find(b"}", start)
    return binascii.crc_hqx(key[start:end] if 0 < start < end else key, 0) % SLOTS


def owners(reply: Any, asked: Node) -> list[Node] | None:
    """Take the answer to CLUSTER SLOTS apart: the primary of each slot. None: not every slot has one, or it is an error.

    Args:
        reply: `[[first, last, [host, port, …], …], …]`; an empty host means the one that was asked.
        asked: Who answered.
    """
    if not isinstance(reply, list):
        return None
    found: list[Node | None] = [None] * SLOTS
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode()
        node = (asked[0] if host in {"", "?"} else host, primary[1])
        found[first : last + 1] = [node] * (last + 1 - first)
    whole = [node for node in found if node is not None]
    return whole if len(whole) == SLOTS else None


def redirection(error: Exception, asked: Node) -> tuple[int, Node]:
    """Slot and server of `MOVED 3999 127.0.0.1:6381` or `ASK …`; an empty host means the one that was asked."""
    _, at, where = str(error).split(" ")
    host, _, port = where.rpartition(":")
    return int(at), (host or asked[0], int(port))
