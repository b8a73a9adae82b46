"""One limit for all processes of a server: each tells the others, once a second, how many calls it has let in of whom.

So a caller who spreads over N processes has the limit once, and what may come in the second before the others know; a check of a call
asks nobody. Who has hardly used a limit is not talked about: the most of those who have are told, at most `MOST` a second.
"""

import asyncio
from collections.abc import Hashable
from typing import Any, Final, Protocol

from clarion.api.limits import Buckets, RateLimits
from clarion.telemetry import Tasks

EVERY_S: Final = 1.0
MOST: Final = 1_000  # callers of a limit that are told at a time
SPENT: Final = "api: calls spent"


class Nodes(Protocol):
    """The processes of the server."""

    def on(self, question: str, answer: Any) -> None:
        """Hear what is told."""
        ...

    def tell(self, question: str, value: Any = None) -> None:
        """Tell the others."""
        ...


class SharedLimits:
    """Tells, and hears.

    Args:
        limits: This process' own.
        nodes: The others.
    """

    def __init__(self, limits: RateLimits, nodes: Nodes) -> None:
        self._all: dict[str, Buckets] = {each.name: each for each in limits}
        self._nodes = nodes
        self._tasks = Tasks()
        for buckets in limits:
            buckets.share()
        nodes.on(SPENT, self.hear)

    def start(self) -> None:
        """Begin to tell."""
        self._tasks.spawn_forever(self._tell_forever, name="limits: tell")

    async def close(self) -> None:
        """Tell no more."""
        await self._tasks.close()

    def tell(self) -> None:
        """Tell what was spent since the last time; nothing, if nothing was."""
        told = {name: spent for name, each in self._all.items() if (spent := each.spent(MOST))}
        if told:
            self._nodes.tell(SPENT, told)

    def hear(self, told: dict[str, list[tuple[Any, int]]]) -> None:
        """Count what another has let in."""
        for name, spent in told.items():
            if (buckets := self._all.get(name)) is not None:  # another version may have others
                for who, calls in spent:
                    buckets.add(_as_key(who), calls)

    async def _tell_forever(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.tell()


def _as_key(who: Any) -> Hashable:
    """JSON has no tuples."""
    return tuple(who) if isinstance(who, list) else who
