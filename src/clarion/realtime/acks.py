"""Answers that the server waits for: of one client, or of all that a broadcast went to.

An answer is awaited for a bounded time, and not at all from a client that has left: who asked it learns of both.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from clarion.errors import AckTimeout, Disconnected, UsageError
from clarion.realtime.heartbeat import Timed, Wheel
from clarion.telemetry import limit_exceeded

DEFAULT_TIMEOUT_S: Final = 20.0
"""For an answer, where no other time is named. Node waits for ever."""


def checked_timeout(seconds: Any) -> float:
    """The time to wait. Raise UsageError unless it is a number above 0."""
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise UsageError(f"a time-out is a number of seconds above 0, not {seconds!r}")
    return seconds


class Pending(Timed):
    """One question: to how many it went, who has answered, and the future of who asked.

    Args:
        wheel: The server's timer.
        recipients: To how many clients it goes.
        timeout_s: How long to wait for all of them.
        only_one: Whether it goes to a client, and not to whoever is there: then its leaving is an error.
        all_args: Whether who asked wants all arguments of an answer, and not its first alone.
    """

    __slots__ = ("_all_args", "_answers", "_future", "_missing", "_only_one", "_wheel")

    def __init__(
        self,
        wheel: Wheel,
        recipients: int,
        timeout_s: float,
        *,
        only_one: bool,
        all_args: bool = False,
    ) -> None:
        super().__init__()
        self._wheel, self._only_one, self._all_args = wheel, only_one, all_args
        self._missing = recipients
        self._answers: list[tuple[Any, ...]] = []
        self._future: asyncio.Future[list[tuple[Any, ...]]]
        self._future = asyncio.get_running_loop().create_future()
        if recipients:
            wheel.set(self, wheel.now() + timeout_s)
        else:
            self._future.set_result([])

    async def wait(self) -> list[tuple[Any, ...]]:
        """The arguments of each answer, in the order in which they came.

        Raises:
            AckTimeout: Not all answered in time.
            Disconnected: The only client left.
        """
        try:
            return await self._future
        finally:
            self._wheel.cancel(self)

    def answered(self, args: Sequence[Any]) -> None:
        """One client has answered; after the end nobody wants to know."""
        if not self._future.done():
            self._answers.append(tuple(args))
            self._count()

    def left(self) -> None:
        """One client is gone: nothing is to be waited for."""
        if self._only_one and not self._future.done():
            self._future.set_exception(Disconnected("the client left before it answered"))
        self._count()

    def on_time(self, now: float) -> None:
        """The time for answers is over."""
        if not self._future.done():
            responses = [self.told(args) for args in self._answers]
            self._future.set_exception(AckTimeout(responses=responses, missing=self._missing))

    def told(self, args: tuple[Any, ...]) -> Any:
        """An answer as who asked wants it; None where it has no argument."""
        if self._all_args:
            return args
        return args[0] if args else None

    def _count(self) -> None:
        self._missing -= 1
        if not self._missing and not self._future.done():
            self._future.set_result(self._answers)


class Question(Protocol):
    """What waits for the answer of a client."""

    def answered(self, args: Sequence[Any]) -> None:
        """It has answered."""
        ...

    def left(self) -> None:
        """It has gone."""
        ...

    def on_time(self, now: float) -> None:
        """It is waited for no longer."""
        ...


class Acks:
    """The questions that one client has not answered."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[int, Question] = {}

    def expect(self, id: int, pending: Question, limit: int) -> None:
        """Wait for an answer; the oldest of too many is given up."""
        if len(self._pending) >= limit:
            limit_exceeded.labels("pending_acks").inc()
            self._pending.pop(next(iter(self._pending))).on_time(0.0)
        self._pending[id] = pending

    def answered(self, id: int, args: Sequence[Any]) -> None:
        """An answer came; one that nobody waits for is ignored."""
        pending = self._pending.pop(id, None)
        if pending is not None:
            pending.answered(args)

    def forget(self, id: int) -> None:
        """Wait no longer."""
        self._pending.pop(id, None)

    def left(self) -> None:
        """The client is gone."""
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.left()
