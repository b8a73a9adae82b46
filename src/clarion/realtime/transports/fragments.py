"""A WebSocket message that comes in pieces (RFC 6455 §5.4). Pure: who adds to it checks the limits first."""

import codecs

from clarion.protocol.deflate import Inflater


class Partial:
    """The fragments of an unfinished message; `size` is their bytes on the wire, `count` their number.

    Args:
        is_text: What it is.
        inflater: For a compressed message.
    """

    __slots__ = ("_decoder", "_inflater", "_parts", "count", "size")

    def __init__(self, *, is_text: bool, inflater: Inflater | None = None) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._inflater = inflater
        self._parts: list[bytes] | list[str] = []
        self.count = self.size = 0

    def add(self, data: bytes, *, is_last: bool) -> None:
        """Take a fragment.

        Raises:
            UnicodeDecodeError: Text that is no UTF-8, as soon as it is there, not only at the end (RFC 6455 §8.1).
            TooLarge: It inflates to more than the limit.
            ProtocolError: It does not inflate.
        """
        self.size += len(data)
        self.count += 1
        if self._inflater is not None:
            data = self._inflater.inflate(data, is_last=is_last)
        part = data if self._decoder is None else self._decoder.decode(data, is_last)
        self._parts.append(part)  # type: ignore[arg-type]  # all of one kind: the decoder is there or not

    def join(self) -> str | bytes:
        """The message."""
        return ("" if self._decoder is not None else b"").join(self._parts)  # type: ignore[arg-type]
