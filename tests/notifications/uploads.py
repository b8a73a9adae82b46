"""Bodies of lines as the HTTP layer hands them over, without HTTP."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

import msgspec


class Gone(Exception):
    """The caller has broken off."""


class Upload:
    """Lines; None among them: there the caller breaks off."""

    def __init__(self, lines: Iterable[str | None], media: str = "application/x-ndjson") -> None:
        self.media, self.number = media, 0
        self._lines, self._digest = lines, hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    async def __aiter__(self) -> AsyncIterator[str]:
        for line in self._lines:
            if line is None:
                raise Gone
            self.number += 1
            self._digest.update(line.encode() + b"\n")
            yield line

    async def values(self) -> AsyncGenerator[tuple[int, Any], None]:
        async for text in self:
            yield self.number, msgspec.json.decode(text)
