"""A body that is read line by line while it comes in, however long it is: NDJSON, CSV.

What is held of it is one line and what came with it. Its size, each line's size and its encoding are judged on the way; an error
names the line. What is on a line is for the handler to say, which also decides what becomes of the lines that came before.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

from starlette.requests import Request

from clarion.api import reading
from clarion.errors import Fault, Invalid, Malformed, TooLarge
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"

_BOM: Final = b"\xef\xbb\xbf"


def fault_of_line(number: int, fault: Fault) -> Fault:
    """What is wrong with a line: its number stands first in the pointer."""
    return Fault(f"/{number}{fault.pointer}", fault.detail)


class Lines:
    """The lines of a body, to be iterated over once: their texts, without their ends.

    Args:
        request: Whose head was judged, and whose body has not been read.
        limits: `line_bytes`, `stream_bytes`.
        media: What it may be.

    Raises:
        UnsupportedMediaType: It is something else, or compressed.
        TooLarge: It says that it is longer than `limits.stream_bytes`.
    """

    def __init__(self, request: Request, limits: Limits, media: Sequence[str]) -> None:
        # Fixed at creation
        self.media = reading.check_media_type(request, media)
        """Which of them it is."""
        self._parts, self._limits = request.stream(), limits
        # Changes while it is read
        self.number = 0
        """Of the line that was read last; the first is 1."""
        self.is_read = False
        """Whether its end was seen."""
        self._digest = hashlib.sha256()
        length = request.headers.get("content-length", "")
        if length.isdigit():
            self._check_size(int(length))

    @property
    def digest(self) -> str:
        """SHA-256 of what was read so far: the same body has the same."""
        return self._digest.hexdigest()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Read it.

        Raises:
            Malformed: A line is not UTF-8, or has U+0000 in it.
            TooLarge: A line exceeds `limits.line_bytes`, or all of them `limits.stream_bytes`.
            ClientDisconnect: The caller is gone: the layer wants no answer then.
        """
        size, rest = 0, bytearray()  # a line that trickles in is not copied with each of its pieces
        async for part in self._parts:
            size += len(part)
            self._check_size(size)
            self._digest.update(part)
            rest += part
            if b"\n" in part:
                *whole, rest = rest.split(b"\n")
                for line in whole:
                    yield self._text(line)
            if len(rest) > self._limits.line_bytes:
                self._text(rest)
        self.is_read = True
        if rest:
            yield self._text(rest)

    async def values(self) -> AsyncGenerator[tuple[int, Any], None]:
        """Read it as NDJSON: the number of each line, and its value. Empty lines are counted, and left out.

        Raises:
            Malformed, Invalid: A line is no JSON as `/v1` takes it; the others are those of reading lines.
        """
        async for text in self:
            if not text.strip():
                continue
            try:
                value = reading.parse_json(text)
            except Malformed as exc:
                raise Malformed(f"line {self.number}: {exc}", line=self.number) from exc
            except Invalid as exc:
                raise Invalid(
                    f"line {self.number}: {exc}",
                    faults=[fault_of_line(self.number, each) for each in exc.faults],
                ) from exc
            yield self.number, value

    def _text(self, line: bytearray) -> str:
        self.number += 1
        if self.number == 1:
            line = line.removeprefix(_BOM)
        if len(line) > self._limits.line_bytes:
            raise self._too_large("line_bytes", f"line {self.number}", self._limits.line_bytes)
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError as exc:
            raise Malformed(f"line {self.number} is not UTF-8", line=self.number) from exc
        if "\0" in text:
            raise Malformed(f"line {self.number} has U+0000 in it", line=self.number)
        return text

    def _check_size(self, size: int) -> None:
        if size > self._limits.stream_bytes:
            raise self._too_large("stream_bytes", "the body", self._limits.stream_bytes)

    def _too_large(self, name: str, what: str, limit: int) -> TooLarge:
        limit_exceeded.labels(name).inc()
        return TooLarge(
            f"{what} exceeds limits.{name} = {limit} bytes",
            faults=[Fault("", f"at most {limit} bytes")],
            limit=limit,
        )
