"""RFC 6455 frames of the server, made once and written to many.

A server frame carries no mask (§5.1), so one frame of a broadcast fits every connection. Parsing is the transport's.
"""

from enum import IntEnum
from typing import Final

from clarion.errors import UsageError

# §5.5: a control frame carries at most 125 bytes; two of them are the code of a close frame.
MAX_CONTROL = 125  # bytes
MAX_CLOSE_REASON = MAX_CONTROL - 2  # bytes


class Opcode(IntEnum):
    """Frame types that a server sends (§5.2)."""

    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def server_frame(opcode: Opcode, payload: str | bytes, *, is_compressed: bool = False) -> bytes:
    """One whole, final, unmasked frame.

    Args:
        opcode: What it carries.
        payload: Text is encoded as UTF-8.
        is_compressed: Whether the payload was deflated (RFC 7692 §6: RSV1).

    Raises:
        UsageError: A control frame with more than 125 bytes.
    """
    if isinstance(payload, str):
        payload = payload.encode()
    size = len(payload)
    first = (0xC0 if is_compressed else 0x80) | opcode  # FIN, RSV1
    if size < 126:
        return bytes((first, size)) + payload
    if opcode >= Opcode.CLOSE:
        raise UsageError(f"a control frame carries at most {MAX_CONTROL} bytes, not {size}")
    # §5.2: the shortest form of the length must be used.
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def message_frame(message: str | bytes) -> bytes:
    """A whole message as one frame: text for `str`, binary for `bytes`."""
    if type(message) is str:
        payload = message.encode()
        size = len(payload)
        if size < 126:
            return _SHORT_TEXT[size] + payload  # nearly all
        return server_frame(Opcode.TEXT, payload)
    return server_frame(Opcode.BINARY, message)


# §5.2: FIN and opcode, then a length below 126.
_SHORT_TEXT: Final = [bytes((0x80 | Opcode.TEXT, size)) for size in range(126)]


def close_payload(code: int | None, reason: str = "") -> bytes:
    """What a close frame carries.

    Args:
        code: None: a close frame without code, which the peer sees as 1005, as Node sends it.
        reason: For people; cut to 123 bytes at a character's edge, never refused.

    Raises:
        UsageError: A code that may not be sent (§7.4).
    """
    if code is None:
        return b""
    if not may_be_sent(code):
        raise UsageError(f"close code {code} must not be sent (RFC 6455 §7.4)")
    return code.to_bytes(2, "big") + cut_reason(reason).encode()


def cut_reason(reason: str) -> str:
    """As much of a reason as a close frame has room for."""
    return reason.encode(errors="replace")[:MAX_CLOSE_REASON].decode(errors="ignore")


def may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a frame: 1004-1006 and 1015 mean something only to the receiver (§7.4.1)."""
    return code in _STANDARD or 3000 <= code <= 4999


_STANDARD = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
