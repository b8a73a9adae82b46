"""A WebSocket message that comes in pieces (RFC 6455 §5.4). Pure: who adds to it checks the limits first."""

import codecs


class Partial:
    """The fragments of an unfinished message; `size` is their bytes, `count` their number."""

    __slots__ = ("_decoder", "_parts", "count", "size")

    def __init__(self, *, is_text: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._parts: list[bytes] | list[str] = []
        self.count = self.size = 0

    def add(self, data: bytes, *, is_last: bool) -> None:
        """Take a fragment; text that is no UTF-8 raises here, not only at the end (RFC 6455 §8.1)."""
        self.size += len(data)
        self.count += 1
        part = data if self._decoder is None else self._decoder.decode(data, is_last)
        self._parts.append(part)  # type: ignore[arg-type]  # all of one kind: the decoder is there or not

    def join(self) -> str | bytes:
        """The message."""
        return ("" if self._decoder is not None else b"").join(self._parts)  # type: ignore[arg-type]
