"""Lua scripts that run inside Redis, each at one moment: nobody sees a part of what it does, nobody comes between."""

import hashlib
from collections.abc import Sequence

Part = bytes | str | int


class Script:
    """A script, known to servers by the digest of its text.

    Args:
        source: Lua.
    """

    __slots__ = ("digest", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode()).hexdigest()  # noqa: S324  what EVALSHA means by it

    def by_digest(self, keys: Sequence[bytes], args: Sequence[Part]) -> tuple[Part, ...]:
        """The command for a server that has seen the script before. One that has not answers NOSCRIPT, and has done nothing."""
        return ("EVALSHA", self.digest, len(keys), *keys, *args)

    def in_full(self, keys: Sequence[bytes], args: Sequence[Part]) -> tuple[Part, ...]:
        """The command that runs it on any server, and makes it known there."""
        return ("EVAL", self.source, len(keys), *keys, *args)
