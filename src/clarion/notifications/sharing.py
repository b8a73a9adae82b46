"""Shared reads: those who ask the same while it is being read share the next read, which sees whatever was answered before they asked."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from clarion.telemetry import spawn

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Reads by key; of one key never more than two: one under way, and one that has not begun.

    Args:
        read: Reads what there is now.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._lines: dict[K, list[asyncio.Task[V]]] = {}

    async def __call__(self, key: K) -> V:
        """What there is, not from before this call; raises what `read` raises."""
        line = self._lines.setdefault(key, [])
        if len(line) < 2:
            line.append(spawn(self._turn(key, line), name="shared-read"))
        return await asyncio.shield(line[-1])

    async def _turn(self, key: K, line: list[asyncio.Task[V]]) -> V:
        while line[0] is not asyncio.current_task():
            await asyncio.wait([line[0]])
        try:
            return await self._read(key)
        finally:
            del line[0]
            if not line:
                del self._lines[key]
