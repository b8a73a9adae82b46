"""Commands that nobody waits for, such as what is published: handed over at once, sent together, in their order."""

import asyncio
import contextlib
from collections import deque
from typing import Final

from clarion.bus.link import IN_FLIGHT
from clarion.bus.redis import Command, RedisClient
from clarion.errors import ClarionError, Overloaded
from clarion.telemetry import Tasks, backplane_messages, get_logger, limit_exceeded

_log = get_logger(__name__)

AT_ONCE: Final = 1_000  # commands that are sent together
FLUSH_S: Final = 1.0  # for what waits at the end


class Pump:
    """Sends commands from the side.

    Args:
        redis: Where to.
        name: Of its task.
    """

    def __init__(self, redis: RedisClient, name: str) -> None:
        self._redis, self._name = redis, name
        self._waiting: deque[Command] = deque()
        self._something, self._nothing = asyncio.Event(), asyncio.Event()
        self._nothing.set()
        self._tasks = Tasks()

    def start(self) -> None:
        """Send what is pushed from now on."""
        self._tasks.spawn_forever(self._run, name=self._name)

    def push(self, command: Command) -> None:
        """Send this; raises `Overloaded`: too much waits already."""
        if len(self._waiting) >= IN_FLIGHT:
            limit_exceeded.labels("redis_in_flight").inc()
            raise Overloaded("Redis answers too slowly: too much waits for it", limit=IN_FLIGHT)
        self._waiting.append(command)
        self._nothing.clear()
        self._something.set()

    async def flush(self) -> None:
        """Return when everything was sent and answered, or after a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._nothing.wait()

    async def close(self) -> None:
        """Send nothing more."""
        await self._tasks.close()

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                replies = await self._redis.try_many(some)
                failed = [reply for reply in replies if isinstance(reply, ClarionError)]
                if failed:
                    backplane_messages.labels("lost").inc(len(failed))
                    why = failed[0].message
                    _log.warning("others may not have been told", count=len(failed), why=why)
            self._nothing.set()
