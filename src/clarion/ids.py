"""Chance and identity: the only module that draws random numbers.

Every part gets an `Ids` in its constructor, so that a simulation can give a seeded one and replay a run exactly.
"""

import base64
import hashlib
import os
import random
from functools import partial
from typing import Final, Protocol


class _Source(Protocol):
    def getrandbits(self, k: int, /) -> int: ...
    def random(self) -> float: ...


class _System:
    """The operating system's random numbers, fetched 4 KiB at a time: a call for each cost a connection 6 % of its beginning.

    No byte is handed out twice, and a process that forks does not share what was fetched before.
    """

    def __init__(self) -> None:
        self._pool, self._at = b"", 0
        os.register_at_fork(after_in_child=partial(setattr, self, "_pool", b""))

    def getrandbits(self, k: int, /) -> int:
        size = (k + 7) // 8
        begin = self._at
        if begin + size > len(self._pool):
            self._pool, begin = os.urandom(max(_POOL, size)), 0
        self._at = begin + size
        return int.from_bytes(self._pool[begin : self._at], "big") >> (size * 8 - k)

    def random(self) -> float:
        return self.getrandbits(53) * 2.0**-53


_POOL: Final = 4096  # bytes
_SYSTEM: Final = _System()


class Ids:
    """Random ids and numbers from one source; `Ids()` draws from the operating system."""

    def __init__(self, source: _Source | None = None) -> None:
        self._source: _Source = source or _SYSTEM

    @classmethod
    def seeded(cls, seed: int) -> "Ids":
        """The same ids in the same order for the same seed. For simulation only: they can be guessed."""
        return cls(random.Random(seed))  # noqa: S311  chance that can be replayed is what is wanted

    def token(self, size: int = 15) -> str:
        """`size` random bytes as base64url without padding; 15 bytes make a socket's 20 characters."""
        raw = self._source.getrandbits(size * 8).to_bytes(size, "big")
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def session_id(self, node: str) -> str:
        """A session's id: 20 random characters, then the 4 of the node that owns it."""
        return self.token(15) + node

    def node(self) -> str:
        """The 4 characters that name this process among its peers."""
        return self.token(3)

    def epoch(self) -> str:
        """Names one life of a log: 8 characters."""
        return self.token(6)

    def mark(self) -> int:
        """32 random bits, added to a log's mark with each append."""
        return self._source.getrandbits(32)

    def ordered(self, now_ms: int) -> str:
        """A UUID (version 7, RFC 9562 §5.7) that sorts by its millisecond."""
        rand = self._source.getrandbits(74)
        value = (
            (now_ms & (1 << 48) - 1) << 80
            | 0x7 << 76
            | (rand >> 62) << 64
            | 0b10 << 62
            | rand & (1 << 62) - 1
        )
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return low + (high - low) * self._source.random()


def digest(text: str | bytes) -> str:
    """SHA-256 in hex: how secrets that are random enough (API keys, refresh tokens) are stored."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
