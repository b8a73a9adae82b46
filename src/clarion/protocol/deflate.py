"""permessage-deflate (RFC 7692): what is agreed in the handshake, and the two directions of it.

Pure: header values in, header values out; bytes in, bytes out. Inflating is bounded while it inflates: a kilobyte can hold a
megabyte of zeros, and the limit must be met before the memory is taken.
"""

import re
import zlib
from typing import Final

from msgspec import Struct

from clarion.errors import ProtocolError, TooLarge

NAME: Final = b"permessage-deflate"

# §7.2.1: a message ends with an empty block, whose last four bytes are not sent.
TAIL: Final = b"\x00\x00\xff\xff"
# zlib cannot make raw DEFLATE for a window of 256 bytes (8), it silently takes 9; reading it is no trouble.
LEAST_BITS: Final = 9
MOST_BITS: Final = 15
# A block may end the DEFLATE stream inside a message (§7.2.3.4) and another begin: each costs a fresh inflater.
MAX_STREAMS: Final = 16

# RFC 6455 §9.1, RFC 9110 §5.6.2: tokens, and quoted strings that hold a token.
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER: Final = re.compile(rb'(%b)(?:[ \t]*=[ \t]*(?:(%b)|"(%b)"))?' % (_TOKEN, _TOKEN, _TOKEN))
_BITS: Final = re.compile(rb"[89]|1[0-5]")


class Deflate(Struct, frozen=True):
    """How this side wants to compress."""

    threshold_bytes: int = 1024
    """Shorter messages go as they are: compressing them costs more than it saves."""
    window_bits: int = MOST_BITS
    """How far back this side looks, as a power of two: 9 to 15."""
    memory_level: int = 8
    """zlib's, 1 to 9: memory while compressing is 2^(window_bits + 2) + 2^(memory_level + 9) bytes."""
    level: int = 6
    """zlib's, 1 (fast) to 9 (small)."""
    has_takeover: bool = False
    """Whether both sides keep their window from message to message: better for many small ones, 300 KB a connection."""


class Agreed(Struct, frozen=True):
    """What both sides will do."""

    server_bits: int = MOST_BITS
    client_bits: int = MOST_BITS
    server_takeover: bool = False
    client_takeover: bool = False
    header: bytes = NAME
    """Value of the answer's `Sec-WebSocket-Extensions`."""


# ── the handshake ──
def negotiate(header: bytes, ours: Deflate) -> Agreed | None:
    """Take the first offer that can be met.

    Args:
        header: The request's `Sec-WebSocket-Extensions`, several joined by commas.
        ours: What this side wants.

    Returns:
        None: nothing acceptable was offered, and the connection goes without.

    Raises:
        ProtocolError: The header breaks the grammar (RFC 6455 §9.1).
    """
    for offer in filter(None, (each.strip(b" \t") for each in header.split(b","))):
        name, *parameters = (_parameter(each) for each in offer.split(b";"))
        if name == (NAME, None) and (agreed := _accept(parameters, ours)) is not None:
            return agreed
    return None


def _parameter(text: bytes) -> tuple[bytes, bytes | None]:
    """A name and its value."""
    found = _PARAMETER.fullmatch(text.strip(b" \t"))
    if found is None:
        raise ProtocolError("malformed Sec-WebSocket-Extensions")
    return found[1], found[2] or found[3]


def _accept(parameters: list[tuple[bytes, bytes | None]], ours: Deflate) -> Agreed | None:
    """What one offer comes to; None declines it, as it must be for what is unknown, twice there, or of a wrong value (§7)."""
    asked = dict(parameters)
    if len(asked) < len(parameters) or not all(_is_known(*each) for each in parameters):
        return None
    server_bits = min(ours.window_bits, int(asked.get(b"server_max_window_bits") or MOST_BITS))
    if server_bits < LEAST_BITS:
        return None
    # §7.1.2.2: without the parameter the client may not be asked to look less far back.
    client_bits = MOST_BITS
    if b"client_max_window_bits" in asked:
        client_bits = min(ours.window_bits, int(asked[b"client_max_window_bits"] or MOST_BITS))
    server_takeover = ours.has_takeover and b"server_no_context_takeover" not in asked
    client_takeover = ours.has_takeover and b"client_no_context_takeover" not in asked
    words = [NAME]
    if not server_takeover:
        words.append(b"server_no_context_takeover")
    if not client_takeover:
        words.append(b"client_no_context_takeover")
    if b"server_max_window_bits" in asked:
        words.append(b"server_max_window_bits=%d" % server_bits)
    if client_bits < MOST_BITS:
        words.append(b"client_max_window_bits=%d" % client_bits)
    return Agreed(server_bits, client_bits, server_takeover, client_takeover, b"; ".join(words))


def _is_known(name: bytes, value: bytes | None) -> bool:
    match name:
        case b"server_no_context_takeover" | b"client_no_context_takeover":
            return value is None
        case b"server_max_window_bits":
            return value is not None and _BITS.fullmatch(value) is not None
        case b"client_max_window_bits":
            return value is None or _BITS.fullmatch(value) is not None
        case _:
            return False


# ── messages ──
class Deflater:
    """Compresses messages, one after another.

    Args:
        ours: Level and memory.
        bits: The agreed window.
        has_takeover: Whether a message may refer to earlier ones.
    """

    __slots__ = ("_bits", "_has_takeover", "_ours", "_stream")

    def __init__(self, ours: Deflate, bits: int, *, has_takeover: bool) -> None:
        # Fixed at creation
        self._ours, self._bits, self._has_takeover = ours, bits, has_takeover
        # Only with takeover: zlib's, from the first message on
        self._stream: zlib._Compress | None = None

    def deflate(self, message: bytes) -> bytes:
        """A message as it goes into a frame with RSV1."""
        stream = self._stream
        if stream is None:
            ours = self._ours
            stream = zlib.compressobj(ours.level, zlib.DEFLATED, -self._bits, ours.memory_level)
            if self._has_takeover:
                self._stream = stream
        packed = stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(TAIL)]


class Inflater:
    """Inflates messages, one after another, each in the pieces in which it comes.

    Args:
        bits: The agreed window of the peer.
        has_takeover: Whether a message may refer to earlier ones.
        limit: Bytes of one message, inflated.
    """

    __slots__ = ("_bits", "_has_takeover", "_limit", "_size", "_stream", "_streams")

    def __init__(self, bits: int, *, has_takeover: bool, limit: int) -> None:
        # Fixed at creation
        self._bits, self._has_takeover, self._limit = bits, has_takeover, limit
        # Changes while open
        self._stream: zlib._Decompress | None = None
        # Of the message that is coming
        self._size = self._streams = 0

    def inflate(self, data: bytes, *, is_last: bool) -> bytes:
        """A piece of a message, inflated; nothing may follow an error.

        Raises:
            TooLarge: The message is longer than the limit; no more than that was inflated.
            ProtocolError: This is no DEFLATE.
        """
        if is_last:
            data += TAIL
        try:
            out = self._piece(data)
        except zlib.error as exc:
            raise ProtocolError("bad compressed data") from exc
        if is_last:
            self._size = self._streams = 0
            if not self._has_takeover:
                self._stream = None
        return out

    def _piece(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        while True:
            stream = self._stream
            if stream is None:
                # What an ended stream may refer to of its own message; a window of earlier messages is lost with it.
                window = b"".join(parts)[-(1 << self._bits) :]
                stream = self._stream = zlib.decompressobj(-self._bits, zdict=window)
            parts.append(stream.decompress(data, self._limit - self._size + 1))
            self._size += len(parts[-1])
            if self._size > self._limit:
                raise TooLarge("the message inflates beyond its limit", limit=self._limit)
            if not stream.eof:
                return b"".join(parts)
            self._stream, data = None, stream.unused_data
            self._streams += 1
            if self._streams > MAX_STREAMS:
                raise ProtocolError("too many ends of a stream in one message")
