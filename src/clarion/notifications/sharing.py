"""Shared reads: those who ask the same while it is being read share the next read, which sees whatever was answered before they asked."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from clarion.errors import ClarionError
from clarion.storage.transaction import same
from clarion.telemetry import spawn

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_Line = list["asyncio.Task[V | ClarionError]"]


class SharedReads(Generic[K, V]):
    """Reads by key; of one key never more than two: one under way, and one that has not begun.

    Args:
        read: Reads what there is now.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._lines: dict[K, _Line[V]] = {}

    async def __call__(self, key: K) -> V:
        """What there is, not from before this call; raises what `read` raises."""
        line = self._lines.setdefault(key, [])
        if len(line) < 2:
            line.append(spawn(self._turn(key, line), name="shared-read"))
        found = await asyncio.shield(line[-1])
        if isinstance(found, ClarionError):
            raise same(found)
        return found

    async def _turn(self, key: K, line: "_Line[V]") -> V | ClarionError:
        while line[0] is not asyncio.current_task():
            await asyncio.wait([line[0]])
        try:
            return await self._read(key)
        except ClarionError as exc:
            return exc  # each of those who asked is told
        finally:
            del line[0]
            if not line:
                del self._lines[key]
