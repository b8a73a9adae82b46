"""A bounded pool for password hashes: a flood of logins costs a queue, not the event loop or the memory.

Each hash takes 21 ms of a core and 19 MiB. Two run at a time, so many may wait; whoever comes then is told to come back.
"""

import asyncio
import base64
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from clarion.auth.passwords import SALT_BYTES, hash_password, is_password
from clarion.errors import Overloaded
from clarion.ids import Ids
from clarion.telemetry import limit_exceeded

T = TypeVar("T")

_THREADS = 2
_HASH_S = 0.025  # of one hash, for telling somebody when to come back


class Hasher:
    """Hashes and checks passwords beside the event loop.

    Args:
        queue: Calls that may wait (`limits.hashes_queued`); two more run.
        ids: Source of salts.
    """

    def __init__(self, queue: int, ids: Ids) -> None:
        self._most = queue + _THREADS
        self._ids = ids
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._pending = 0

    async def hash(self, password: str) -> str:
        """What is stored for a password.

        Raises:
            Invalid: The password is too short or too long.
            Overloaded: Too many are waiting.
        """
        salt = base64.urlsafe_b64decode(self._ids.token(SALT_BYTES) + "==")
        return await self._run(lambda: hash_password(password, salt))

    async def check(self, password: str, stored: str) -> bool:
        """Whether the password has this hash.

        Raises:
            Overloaded: Too many are waiting.
        """
        return await self._run(lambda: is_password(password, stored))

    def close(self) -> None:
        """Forget who waits, and let the hashes that run come to their end (21 ms)."""
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._most:
            limit_exceeded.labels("hashes_queued").inc()
            wait_s = math.ceil(self._pending * _HASH_S / _THREADS)
            raise Overloaded("too many people are signing in right now", retry_after_s=wait_s)
        loop = asyncio.get_running_loop()
        self._pending += 1
        future = self._threads.submit(work)
        # Not when the caller gives up, but when the thread is free of it: a cancelled caller's hash still runs.
        future.add_done_callback(lambda _: self._ended(loop))
        return await asyncio.wrap_future(future)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        # In the thread, or in the loop for one that was cancelled before it began.
        loop.call_soon_threadsafe(self._one_less)

    def _one_less(self) -> None:
        self._pending -= 1
